// One event of the bus, how listeners are called with it, and what became of it.

/** What a dispatch came to. The numbers are the core's too. */
export const CONSUMED = 0;
export const UNHANDLED = 1;
export const PENDING = 2;
export const THREW = 3;

// Set while an event is being dispatched; dispatches of the bus do not nest.
let current;
let handled;
let failed;
let failure;

/** Reads and settles what only this module may. */
let outcomeOf;
let whenSettled;
let isFrom;

/** An event from the log: `detail` is the envelope's `data`. Few fields: as many are made as there are events. */
export class TidegateEvent extends Event {
  static name = "TidegateEvent";
  /** `{ key, event }`, as it came. */
  #entry;
  /** `{ bus, topic }`, the same for all events of a batch. */
  #source;
  /** `{ pending, settle }`, once there is something to wait for. */
  #waits;

  constructor(type, entry, source) {
    super(type);
    this.#entry = entry;
    this.#source = source;
  }

  get detail() {
    return this.#entry.event.data;
  }

  get envelope() {
    return this.#entry.event;
  }

  get topic() {
    return this.#source.topic;
  }

  get key() {
    return this.#entry.key;
  }

  get attempt() {
    return 1;
  }

  waitUntil(promise) {
    if (this !== current && !this.#waits?.pending) {
      throw new DOMException("waitUntil: the event is already settled", "InvalidStateError");
    }
    const waits = (this.#waits ??= { pending: 0 });
    waits.pending++;
    Promise.resolve(promise).then(
      () => --waits.pending || waits.settle?.(),
      (reason) => {
        waits.pending--;
        waits.settle?.(describe(reason));
      },
    );
  }

  respondWith() {
    throw new DOMException("respondWith: requests are not supported yet", "NotSupportedError");
  }

  static {
    outcomeOf = (event) => (failed ? THREW : event.#waits?.pending ? PENDING : handled ? CONSUMED : UNHANDLED);
    whenSettled = (event, settle) => (event.#waits.settle = settle);
    isFrom = (event, bus) => #source in event && event.#source.bus === bus;
  }
}

/**
 * Calls `settle` once all promises of a pending event are fulfilled, or with the reason at the first that
 * rejects. It may be called again; the first call counts.
 */
export { whenSettled };

/** Whether the bus dispatched the event: such a one it never forwards. A page can not forge it. */
export { isFrom };

/** Reports an error that nobody catches. */
export const reported =
  globalThis.reportError ??
  ((error) =>
    setTimeout(() => {
      throw error;
    }));

/**
 * The function that stands for a listener. `dispatchEvent` swallows what a listener throws and what it
 * returns; the wrapper keeps both. One for each listener, whatever the type, so that the platform's own
 * rules about duplicates, `once`, `signal` and `capture` hold unchanged.
 */
export function wrap(listener) {
  return function (event) {
    const ours = event === current;
    handled = true;
    let result;
    try {
      result = typeof listener === "function" ? listener.call(this, event) : listener.handleEvent(event);
    } catch (error) {
      if (ours) fail(error);
      reported(error);
      return;
    }
    if (ours && typeof result?.then === "function") {
      event.waitUntil(result);
      // Without the wrapper the browser would have reported it.
      result.then(undefined, reported);
    }
  };
}

/** Dispatches onto the bus and other targets, and says what it came to. */
export function dispatch(event, bus, targets) {
  current = event;
  handled = failed = false;
  failure = undefined;
  for (const target of targets) {
    if (target === bus) bus.dispatchEvent(event);
    else elsewhere(target, event);
  }
  current = undefined;
  return outcomeOf(event);
}

/** What the last dispatch failed with. */
export function lastFailure() {
  return failure;
}

/** Listeners there are the page's own: a throw shows only in the `error` event that it raises at once. */
function elsewhere(target, event) {
  handled = true;
  const seen = (raised) => fail(raised.error ?? raised.message);
  globalThis.addEventListener("error", seen, true);
  try {
    target.dispatchEvent(event);
  } finally {
    globalThis.removeEventListener("error", seen, true);
  }
}

function fail(error) {
  if (!failed) failure = error;
  failed = true;
}

/** A failure as text for a person, never longer than the bridge takes. */
export function describe(error) {
  let text;
  try {
    text = String(error?.stack?.includes?.(error.message) ? error.stack : error);
  } catch {
    text = "unprintable";
  }
  return text.slice(0, 1024);
}
