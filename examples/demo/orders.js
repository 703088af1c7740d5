// The demo's little world: what its events hold, and how to say it in a line.

const CUSTOMERS = ["Grace", "Alan", "Edsger", "Barbara", "Donald", "Frances", "Ken", "Radia"];

/** A new event's key and data. */
export function invent(type) {
  const id = Math.floor(1000 + Math.random() * 9000);
  const customer = CUSTOMERS[id % CUSTOMERS.length];
  const total = Math.round(500 + Math.random() * 20_000) / 100;
  const data = {
    "order.created": { id, customer, total },
    "order.paid": { id, total, method: id % 2 ? "card" : "transfer" },
    "invoice.ready": { id, order: id, pages: 1 + (id % 4) },
  }[type];
  return { key: `order/${id}`, data };
}

/** An event's data in a line. */
export function describe(type, data) {
  if (data === null || typeof data !== "object") return data === undefined ? "" : String(data);
  const { id, order = id, customer, total, method, pages, product, quantity } = data;
  const parts = [
    order !== undefined && (typeof order === "number" ? `#${order}` : order),
    customer && `for ${customer}`,
    typeof total === "number" && money(total),
    method && `by ${method}`,
    pages && `${pages} ${pages === 1 ? "page" : "pages"}`,
    product && `${quantity ?? 1} × ${product}`,
  ].filter(Boolean);
  return parts.length ? parts.join(" · ") : JSON.stringify(data);
}

function money(amount) {
  return amount.toLocaleString(undefined, { style: "currency", currency: "EUR" });
}
