// Checked by `tsc --strict`: what a typed page looks like, and what the types refuse.
import init, { connect, TidegateError, type Bus, type Subscription } from "@tidegate/client";

interface Order {
  id: number;
  total: number;
}

type Events = {
  "order.created": Order;
  "order.viewed": { id: number };
};

await init();
const bus: Bus<Events> = await connect<Events>("/v1/ws", { token: async () => "token", handlerTimeout: 5000, transport: "auto" });

bus.addEventListener("order.created", (event) => {
  const total: number = event.detail.total;
  const tenant: string = event.envelope.tenant_id;
  event.waitUntil(Promise.resolve([total, tenant, event.key, event.topic, event.attempt]));
});
bus.addEventListener("order.viewed", { handleEvent: async (event) => void event.detail.id }, { once: true });
bus.addEventListener("open", ({ transport }) => console.log(transport === "stream", bus.transport));
bus.addEventListener("reconnecting", (event) => console.log(event.delay, event.error.code));
bus.addEventListener("error", ({ error }) => console.error(error.code, error.retryable, error.pointer));

const orders: Subscription = bus.subscribe("orders", { types: ["order.created"], from: new Date(), target: window, echo: false });
await orders.ready;
bus.subscribe("orders", { from: { cursor: orders.cursor ?? "" } }).close();

bus.subscribe("orders", { types: ["order.*", "order.viewed"], keys: ["order/42"] });

try {
  const { id, correlationId } = await bus.publish("orders", { type: "order.viewed", data: { id: 1 } }, { key: "order/1" });
  console.log(id, correlationId);
} catch (error) {
  if (error instanceof TidegateError && error.retryable) console.log(error.code);
}

bus.forward(document, "cart.add", { topic: "carts", key: (event: CustomEvent<Order>) => `order/${event.detail.id}` });
bus.forward<MouseEvent>(document, "click", { topic: "clicks", map: (event) => ({ type: "page.clicked", data: event.clientX }) });
bus.ledger({ groupBy: ["topic", "type"] }, (report) => console.log(report.node, report.rows[0]?.consumed, report.rows[0]?.topic));

// @ts-expect-error: not one of the types
bus.addEventListener("order.deleted", () => {});
// @ts-expect-error: none of them begins so
bus.subscribe("orders", { types: ["cart.*"] });
// @ts-expect-error: data of another type
await bus.publish("orders", { type: "order.viewed", data: { id: "one" } });
// @ts-expect-error: a token source is needed
await connect("/v1/ws", {});

// Where an application names no types, anything goes.
const any = await connect("/v1/ws", { token: () => "token" });
any.subscribe("orders", { types: ["what.*", "ever.so.*"] });
any.addEventListener("what.ever", (event) => console.log(event.detail));
