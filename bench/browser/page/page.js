// A page that only counts: events of the bus, or the same without a bus, a bridge and a network.

import init, { connect } from "/client/index.js";

const TYPES = [
  "order.created",
  "order.paid",
  "order.packed",
  "order.shipped",
  "order.delivered",
  "order.returned",
  "cart.changed",
  "stock.counted",
];

/** How many the plain page dispatches before it lets others have the thread. */
const SLICE = 1000;

let wanted = 0;
let count = 0;
let sum = 0;
let began;
let painting;
/** What the plain page dispatches. */
let texts = [];
let [finished, failed] = [];

/** One listener for all types, in both measurements. */
function listener(event) {
  sum += event.detail.order;
  if (++count === 1) begin();
  if (count === wanted) finished?.(performance.now());
}

/** Joins the bus of the bridge that served the page. */
globalThis.join = async (topic, token) => {
  await init();
  const bus = await connect("/v1/ws", { token: () => token });
  for (const type of TYPES) bus.addEventListener(type, listener);
  for (const type of ["gap", "close", "error", "reconnecting"]) {
    bus.addEventListener(type, ({ reason, error }) => failed?.(new Error(`${type}: ${reason ?? error?.message}`)));
  }
  await bus.subscribe(topic).ready;
};

function begin() {
  painting = wanted ? watch() : undefined;
  began = performance.now();
}

/** So many events of the bus are expected. */
globalThis.expect = (events) => {
  [wanted, count] = [events, 0];
  globalThis.arrived = new Promise((...ways) => ([finished, failed] = ways)).then(async (ended) => ({
    events_per_s: ((events - 1) / (ended - began)) * 1000,
    ...(await painting()),
  }));
};

/** Makes so many events for the plain page, once: else the garbage would be cleared away in the other's time. */
globalThis.prepare = (events) => {
  texts = Array.from({ length: events }, (_, number) => envelope(number));
};

/** What a page that had the events already could do: `JSON.parse`, and one event object for the listener. */
globalThis.plain = async () => {
  const events = texts.length;
  const target = new EventTarget();
  for (const type of TYPES) target.addEventListener(type, listener);
  [wanted, count] = [0, 0];
  let took = 0;
  for (let at = 0; at < events; at += SLICE) {
    await new Promise((resolve) => setTimeout(resolve));
    const began = performance.now();
    for (const text of texts.slice(at, at + SLICE)) {
      const { type, data } = JSON.parse(text);
      target.dispatchEvent(new CustomEvent(type, { detail: data }));
    }
    took += performance.now() - began;
  }
  if (count !== events) throw new Error(`${count} of ${events} events`);
  return { events_per_s: (events / took) * 1000 };
};

/** Watches how the page paints, until the function that is returned is called. */
function watch() {
  let frames = 0;
  let longest = 0;
  let before = performance.now();
  const began = before;
  let watching = true;
  requestAnimationFrame(function paint() {
    const now = performance.now();
    [frames, longest, before] = [frames + 1, Math.max(longest, now - before), now];
    if (watching) requestAnimationFrame(paint);
  });
  const tasks = [];
  const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries()));
  observer.observe({ type: "longtask" });
  return async () => {
    const seconds = (performance.now() - began) / 1000;
    watching = false;
    // A task is told of once it is over.
    await new Promise((resolve) => setTimeout(resolve, 100));
    tasks.push(...observer.takeRecords());
    observer.disconnect();
    const durations = tasks.filter(({ startTime }) => startTime >= began).map(({ duration }) => duration);
    return {
      long_tasks: durations.length,
      longest_task_ms: Math.max(0, ...durations),
      longest_frame_ms: longest,
      frames_per_s: frames / seconds,
    };
  };
}

/** An event of the bench's kind. */
function envelope(number) {
  const id = crypto.randomUUID();
  return JSON.stringify({
    version: "1.0",
    id,
    type: TYPES[Math.floor(Math.random() * TYPES.length)],
    correlation_id: id,
    timestamp: new Date().toISOString(),
    tenant_id: "tenant-0",
    data: { user: "user-0", order: 1000 + (number % 9000), sent: Date.now() * 1_000_000 },
  });
}

globalThis.ready = true;
