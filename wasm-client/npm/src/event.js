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
/** The entry of an event, read again where it was let go; and lets it go. */
let entryOf;
let letGo;

/**
 * An event from the log: `detail` is the envelope's `data`. Few fields: as many are made as there are events.
 *
 * To browsers every event of a class that is not their own is alive, and all that it holds, until they look through
 * all memory; before, they copy it about, over and over where many come. So an event that is over lets go of what nobody
 * was given, and reads it from the batch's text again if it is kept and asked.
 */
export class TidegateEvent extends Event {
  static name = "TidegateEvent";
  /** `{ key, event }`, as it came, unless it was let go. */
  #entry;
  /** `{ bus, topic, text }`, the same for all events of a batch. */
  #source;
  /** The entry's place in the batch, while it may be let go. */
  #ordinal;
  /** What was given of the entry: it is to stay the same. */
  #detail;
  /** `{ pending, settle }`, once there is something to wait for. */
  #waits;

  constructor(type, entry, source, ordinal) {
    super(type);
    this.#entry = entry;
    this.#source = source;
    this.#ordinal = ordinal;
  }

  get detail() {
    return this.#entry ? (this.#detail = this.#entry.event.data) : (this.#detail ?? entryOf(this).event.data);
  }

  get envelope() {
    const { event } = entryOf(this);
    this.#ordinal = undefined;
    return event;
  }

  get topic() {
    return this.#source.topic;
  }

  get key() {
    return entryOf(this).key;
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
    entryOf = (event) => {
      if (!event.#entry) {
        event.#entry = JSON.parse(event.#source.text).batch.entries[event.#ordinal];
        if (event.#detail !== undefined) event.#entry.event.data = event.#detail;
      }
      return event.#entry;
    };
    letGo = (event) => {
      if (event.#ordinal !== undefined) event.#entry = undefined;
    };
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
  const outcome = outcomeOf(event);
  if (outcome !== PENDING) letGo(event);
  return outcome;
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
