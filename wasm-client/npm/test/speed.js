// Events a second to a listener in Chromium, without a network: `node speed.js` after `cargo xtask package`.
// The plain client only parses and dispatches; ours also keeps account of every delivery and reports it.

import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { install, launch, open, serve } from "./setup.js";

const here = dirname(fileURLToPath(import.meta.url));
const web = await serve({ "/client/": install(), "/plain/": join(here, "plain") });
const browser = await launch();

/** Runs in the page: feeds messages to a socket that is none. */
const measure = async ({ name, batches, each }) => {
  const event = (id) => ({
    key: `order/${id}`,
    event: {
      version: "1.0",
      id: `00000000-0000-7000-8000-${String(id).padStart(12, "0")}`,
      type: "order.created",
      timestamp: "2026-01-01T00:00:00.000Z",
      tenant_id: "acme",
      data: { id, note: "x".repeat(30) },
    },
  });
  const message = (frame) => ({ data: JSON.stringify(frame) });
  const batch = (seq) => message({ batch: { view: 1, seq, entries: Array.from({ length: each }, (_, n) => event(n)), cursor: `d${seq}` } });
  const messages = Array.from({ length: batches }, (_, n) => batch(n + 1));
  let count = 0;
  const listener = (e) => {
    if (e.detail.id >= 0) count++;
  };
  let feed;
  if (name === "plain") {
    const target = new EventTarget();
    target.addEventListener("order.created", listener);
    feed = ({ data }) => {
      for (const { event } of JSON.parse(data).batch.entries) {
        target.dispatchEvent(new CustomEvent(event.type, { detail: event.data }));
      }
    };
  } else {
    let socket;
    globalThis.WebSocket = class {
      constructor() {
        socket = this;
        setTimeout(() => this.onopen());
      }
      send(text) {
        const { hello, subscribe } = JSON.parse(text);
        const limits = { credit: 262144, unsettled: 10000, frame_bytes: 1048576, event_bytes: 1048576, subscriptions: 64 };
        const welcome = { session: "s", node: "n", tenant: "acme", subject: "ann", heartbeat_ms: 25000, limits, features: [] };
        const subscribed = { id: subscribe?.id, subscription: 1, view: 1, seq: 1, cursor: "f0", recovered: false };
        const answer = hello ? { welcome } : subscribe ? { subscribed } : undefined;
        if (answer) setTimeout(() => this.onmessage(message(answer)));
      }
      close() {}
    };
    await started();
    bus.addEventListener("order.created", listener);
    await bus.subscribe("orders").ready;
    feed = (data) => socket.onmessage(data);
  }
  const begin = performance.now();
  messages.forEach((data) => feed(data));
  const took = performance.now() - begin;
  return count === batches * each ? Math.round(count / took) : `only ${count}`;
};

for (const each of [250, 10]) {
  for (let round = 0; round < 3; round++) {
    const said = [];
    for (const name of ["plain", "tidegate"]) {
      const page = await open(browser, `${web.origin}/plain/page.html`);
      said.push(`${name} ${await page.evaluate(measure, { name, batches: 200_000 / each, each })}`);
      await page.close();
    }
    console.log(`${each} events a message, thousands a second: ${said.join(", ")}`);
  }
}
await browser.close();
await web.close();
