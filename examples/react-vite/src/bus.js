// The only file that knows Tidegate. The rest of the page knows an EventTarget.

import init, { connect } from "@tidegate/client";

export async function connectBus() {
  await init();
  const url = new URL("/v1/ws", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const bus = await connect(url, { token: fetchToken });
  bus.subscribe("orders");
  return bus;
}

/** In earnest the page's own backend answers this, which knows who is signed in. */
async function fetchToken() {
  const answer = await fetch("/dev/token?tenant=globex&user=hank");
  if (!answer.ok) throw new Error(`no token: status ${answer.status}`);
  return answer.text();
}
