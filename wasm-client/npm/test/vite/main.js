import init, { connect } from "@tidegate/client";

await init();
globalThis.seen = [];
const bus = await connect(`ws://${location.host}/v1/ws`, { token: () => "good" });
bus.addEventListener("order.created", (event) => seen.push(event.detail));
await bus.subscribe("orders").ready;
globalThis.ready = true;
