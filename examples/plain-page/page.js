// A page without a build: the client comes from the bridge, which serves this page too.

import init, { connect } from "/client/index.js";

await init();
const socket = new URL("/v1/ws", location.href);
socket.protocol = location.protocol === "https:" ? "wss:" : "ws:";
const bus = await connect(socket, { token: fetchToken });

// Events of the log are events of the bus.
bus.subscribe("orders");
bus.subscribe("carts");
bus.addEventListener("order.created", show);
bus.addEventListener("order.paid", show);
bus.addEventListener("cart.add", show);

// What is published comes back the same way, to this page and to all others of the tenant.
document.querySelector("#order").addEventListener("submit", async (submit) => {
  submit.preventDefault();
  const form = new FormData(submit.target);
  const id = Math.floor(1000 + Math.random() * 9000);
  const data = { id, customer: form.get("customer"), total: Number(form.get("total")) };
  try {
    await bus.publish("orders", { type: "order.created", data }, { key: `order/${id}` });
    say(`Order ${id} is on the log.`);
  } catch (error) {
    say(`Not published: ${error.message}`);
  }
});

// DOM events of the page go onto the log as they are.
bus.forward(document, "cart.add", { topic: "carts" });
document.querySelector("#cart").addEventListener("click", ({ target }) => {
  target.dispatchEvent(new CustomEvent("cart.add", { bubbles: true, detail: { id: "anvil", quantity: 1 } }));
});

// The connection's own events have no dot.
showState(bus.state);
bus.addEventListener("state", ({ state }) => showState(state));
bus.addEventListener("error", ({ error }) => say(error.message));

/** In earnest a page asks its own backend, which knows who is signed in. */
async function fetchToken() {
  const answer = await fetch("/dev/token?tenant=acme&user=ada");
  if (!answer.ok) throw new Error(`no token: status ${answer.status}`);
  return answer.text();
}

function show({ type, detail, envelope }) {
  const row = document.createElement("tr");
  const when = new Date(envelope.timestamp).toLocaleTimeString();
  const total = typeof detail?.total === "number" ? detail.total.toFixed(2) : "";
  for (const text of [when, type, detail?.id ?? "", total]) row.insertCell().textContent = text;
  const events = document.querySelector("#events");
  events.prepend(row);
  while (events.rows.length > 50) events.deleteRow(-1);
}

function showState(state) {
  const badge = document.querySelector("#state");
  badge.textContent = badge.dataset.state = state;
}

function say(text) {
  document.querySelector("#said").textContent = text;
}
