// The demo: two tenants side by side, each with a bus and a token of its own.

import init, { connect } from "/client/index.js";
import { Panel } from "./panel.js";
import { chooseTheme } from "./theme.js";

/** How long a listener's promise may take; short, so that a hanging one is seen. */
const HANDLER_TIMEOUT = 4_000;

const TENANTS = [
  { tenant: "acme", user: "ada", product: "anvil" },
  { tenant: "globex", user: "hank", product: "doomsday device" },
];

chooseTheme(document.querySelector("#theme"));
const main = document.querySelector("#panels");
const panels = TENANTS.map((who) => new Panel(main, who, HANDLER_TIMEOUT));

// Whoever follows the link is signed in as an operator, who may observe all tenants.
const dashboard = document.querySelector("#dashboard");
token("acme", "operator", "operator").then((token) => (dashboard.hash = `token=${token}`), console.error);

try {
  await init();
  await Promise.all(TENANTS.map((who, index) => open(who, panels[index])));
} catch (error) {
  for (const panel of panels) panel.notice(`The client did not start: ${error.message}`);
  throw error;
}

async function open({ tenant, user }, panel) {
  const socket = new URL("/v1/ws", location.href);
  socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  try {
    const bus = await connect(socket, { token: () => token(tenant, user), handlerTimeout: HANDLER_TIMEOUT });
    panel.use(bus);
  } catch (error) {
    panel.state("closed");
    panel.notice(`No connection: ${error.message}`);
  }
}

/** A token of `tidegate dev`. A real page asks its own backend. */
async function token(tenant, user, roles = "") {
  const answer = await fetch(`/dev/token?${new URLSearchParams({ tenant, user, roles })}`);
  if (!answer.ok) throw new Error(`the bridge gives no demo token (status ${answer.status}); was it started by "tidegate dev"?`);
  return answer.text();
}
