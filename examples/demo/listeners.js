// What the page does with each type of event. Some of it fails on purpose, and always for the same events.

export const LISTENERS = [
  { type: "order.created", does: "shows it", handle() {} },
  {
    type: "order.paid",
    does: "books it, which takes a moment",
    async handle(event) {
      await moment(300 + 60 * chance(event));
      if (chance(event) === 0) throw new Error("clerk at lunch");
    },
  },
  {
    type: "invoice.ready",
    does: "prints it, on a bad printer",
    handle(event) {
      const luck = chance(event);
      if (luck < 2) throw new Error("paper jam");
      if (luck === 2) return moment(500).then(() => Promise.reject(new Error("printer offline")));
      if (luck === 3) return new Promise(() => {});
      return moment(700);
    },
  },
  { type: "cart.add", does: "shows the page’s own event, come back from the log", handle() {} },
];

/** 0 to 9, from the event's id: whoever handles the event meets the same luck. */
function chance({ envelope }) {
  return parseInt(envelope.id.slice(-4), 16) % 10;
}

function moment(milliseconds) {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
