import { useEvents } from "./useEvents.js";

const KEPT = 12;

export function App({ bus }) {
  const { orders, turnover, open } = useEvents(bus, ["order.created", "order.paid"], book, NOTHING);
  const state = useEvents(bus, ["state"], (_, event) => event.state, bus.state);
  return (
    <main>
      <header>
        <h1>Orders</h1>
        <p className="state" role="status" data-state={state}>{state}</p>
      </header>
      <dl>
        <div><dt>waiting for payment</dt><dd>{open}</dd></div>
        <div><dt>paid so far</dt><dd>{money(turnover)}</dd></div>
      </dl>
      <ol aria-label="Newest orders">
        {orders.map((order) => (
          <li key={order.id} data-paid={order.paid}>
            <span>#{order.id}</span>
            <span>{order.customer}</span>
            <span>{money(order.total)}</span>
            <b>{order.paid ? "paid" : "open"}</b>
          </li>
        ))}
      </ol>
      {orders.length === 0 && <p className="empty">No order yet since this page was opened.</p>}
    </main>
  );
}

const NOTHING = { orders: [], turnover: 0, open: 0 };

function book(state, { type, detail }) {
  if (type === "order.created") {
    const orders = [{ ...detail, paid: false }, ...state.orders.filter(({ id }) => id !== detail.id)].slice(0, KEPT);
    return { ...state, orders, open: state.open + 1 };
  }
  const known = state.orders.some(({ id, paid }) => id === detail.id && !paid);
  return {
    orders: state.orders.map((order) => (order.id === detail.id ? { ...order, paid: true } : order)),
    turnover: state.turnover + detail.total,
    open: known ? state.open - 1 : state.open,
  };
}

function money(amount) {
  return Number(amount).toLocaleString(undefined, { style: "currency", currency: "EUR" });
}
