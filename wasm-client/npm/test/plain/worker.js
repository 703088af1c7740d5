import init, { connect } from "/client/index.js";

await init();
const bus = await connect(`ws://${location.host}/v1/ws`, { token: () => "good" });
bus.addEventListener("order.created", (event) => postMessage(event.detail));
await bus.subscribe("orders").ready;
postMessage("ready");
