// The bus: a real EventTarget in front of the core, which is Rust compiled to WebAssembly.
//
// The core owns the socket, the session and the account of deliveries. Events never enter its memory:
// they go from `JSON.parse` straight to listeners, and the core learns what became of them.

import { TidegateError } from "./error.js";
import { CONSUMED, PENDING, THREW, TidegateEvent, UNHANDLED } from "./event.js";
import { describe, dispatch, lastFailure, whenSettled, wrap } from "./event.js";

const REMEMBERED = 1000;

export class Bus extends EventTarget {
  #core;
  #state = "connecting";
  /** The listeners' wrappers, by listener. */
  #wrappers = new WeakMap();
  /** Event types that ever had a listener: all others need no event object. */
  #heard = new Set();
  /** Shares by topic. */
  #shares = new Map();
  /** Promises that the core will answer, by its number. */
  #promised = new Map();
  /** Ids published, oldest first, for `echo: false`. */
  #published = new Set();
  /** What this bus dispatched is never forwarded by it. */
  #dispatched = new WeakSet();

  /** For `connect` only. */
  static open(Core, url, { token, handlerTimeout = 30_000, client = crypto.randomUUID?.() ?? String(Math.random()) }) {
    const bus = new Bus();
    const opened = new Promise((resolve, reject) => bus.#promised.set(0, { resolve, reject }));
    bus.#core = new Core(String(url), client, handlerTimeout, bus.#hooks(token));
    return { bus, opened };
  }

  get state() {
    return this.#state;
  }

  addEventListener(type, listener, options) {
    type = String(type);
    if (hasDot(type)) this.#heard.add(type);
    super.addEventListener(type, this.#wrapper(type, listener), options);
  }

  removeEventListener(type, listener, options) {
    super.removeEventListener(type, this.#wrapper(String(type), listener), options);
  }

  subscribe(topic, { types = [], from = "latest", target = this, echo = true } = {}) {
    const share = { types: types.length ? new Set(types) : undefined, target, echo };
    const [kind, value] = start(from);
    const number = this.#core.subscribe(topic, types, kind, value);
    const shares = this.#shares.get(topic) ?? { routes: new Map(), all: new Set() };
    this.#shares.set(topic, shares);
    shares.all.add(share);
    shares.routes.clear();
    const core = this.#core;
    const ready = this.#promise(number);
    // Who does not look at `ready` learns of a refusal by the bus's `error` event.
    ready.catch(() => {});
    const close = () => {
      if (!shares.all.delete(share)) return;
      shares.routes.clear();
      core.unsubscribe(number);
    };
    return {
      topic,
      ready,
      get cursor() {
        return core.cursor(topic);
      },
      close,
    };
  }

  async publish(topic, event, { key } = {}) {
    const id = event.id ?? this.#core.new_id();
    const text = JSON.stringify({ ...event, id });
    this.#published.add(id);
    if (this.#published.size > REMEMBERED) this.#published.delete(this.#published.values().next().value);
    return this.#promise(this.#core.publish(topic, key, text));
  }

  forward(source, type, { topic, map = ({ type, detail }) => ({ type, data: detail }), key }) {
    const forward = async (event) => {
      if (this.#dispatched.has(event)) return;
      try {
        const outgoing = map(event);
        if (outgoing) await this.publish(topic, outgoing, { key: typeof key === "function" ? key(event) : key });
      } catch (error) {
        this.#tell("error", { error });
      }
    };
    source.addEventListener(type, forward);
    return { close: () => source.removeEventListener(type, forward) };
  }

  ledger({ groupBy = [] }, callback) {
    const number = this.#core.ledger(groupBy, callback);
    const ready = this.#promise(number);
    ready.catch(() => {});
    return { ready, close: () => this.#core.unsubscribe(number) };
  }

  async request() {
    throw unsupported("request");
  }

  respond() {
    throw unsupported("respond");
  }

  close() {
    this.#core.close();
  }

  /** What the core calls. */
  #hooks(token) {
    return {
      token: async () => {
        try {
          this.#core.token(String(await token()));
        } catch (error) {
          this.#core.no_token(describe(error));
        }
      },
      state: (state, logAvailable) => {
        this.#state = state;
        this.#tell("state", { state, logAvailable });
        if (state === "open") {
          this.#answer(0, "resolve");
          this.#tell("open");
        }
      },
      reconnecting: (delay) => this.#tell("reconnecting", { delay }),
      closed: (code, reason) => {
        this.#state = "closed";
        this.#tell("state", { state: "closed", logAvailable: false });
        const error = new TidegateError(reason || "closed", `the bus is closed (${code} ${reason})`);
        for (const { reject } of this.#promised.values()) reject(error);
        this.#promised.clear();
        this.#tell("close", { code, reason });
      },
      ready: (number) => this.#answer(number, "resolve"),
      published: (number, id, correlationId) => this.#answer(number, "resolve", { id, correlationId }),
      failed: (number, code, message, retryable, pointer) => {
        const error = new TidegateError(code, message, retryable, pointer);
        this.#answer(number, "reject", error) || this.#tell("error", { error });
      },
      batch: (topic, view, seq, entries) => this.#batch(topic, view, seq, entries),
    };
  }

  /** Dispatches a batch whole; says what did not end as consumed, by ordinal. */
  #batch(topic, view, seq, entries) {
    const shares = this.#shares.get(topic);
    let outcomes;
    for (let ordinal = 0; ordinal < entries.length; ordinal++) {
      const outcome = this.#deliver(topic, shares, view, seq, ordinal, entries[ordinal]);
      if (outcome === CONSUMED) continue;
      outcomes ??= [];
      outcomes.push(ordinal, outcome, outcome === THREW ? describe(lastFailure()) : undefined);
    }
    return outcomes;
  }

  #deliver(topic, shares, view, seq, ordinal, { key, event: envelope }) {
    const type = envelope.type;
    // What has no dot belongs to the bus itself and never comes from the wire.
    if (!shares || typeof type !== "string" || !hasDot(type)) return UNHANDLED;
    const own = this.#published.has(envelope.id);
    let targets = own ? undefined : shares.routes.get(type);
    if (!targets) {
      const wanted = [...shares.all].filter((share) => (!share.types || share.types.has(type)) && (share.echo || !own));
      if (own && !wanted.length) return CONSUMED;
      targets = [...new Set(wanted.map((share) => share.target))];
      if (!own) shares.routes.set(type, targets);
    }
    if (!this.#heard.has(type) && targets.every((target) => target === this)) return UNHANDLED;
    const event = new TidegateEvent(type, envelope, topic, key);
    this.#dispatched.add(event);
    const outcome = dispatch(event, this, targets);
    if (outcome === PENDING) {
      const settled = (kind, reason) => this.#core.settled(view, seq, ordinal, kind, kind && describe(reason));
      whenSettled(event, settled);
    }
    return outcome;
  }

  #wrapper(type, listener) {
    // `null` listeners and the bus's own events are the platform's business.
    if (!hasDot(type) || !listener) return listener;
    let wrapper = this.#wrappers.get(listener);
    if (!wrapper) this.#wrappers.set(listener, (wrapper = wrap(listener)));
    return wrapper;
  }

  #promise(number) {
    return new Promise((resolve, reject) => this.#promised.set(number, { resolve, reject }));
  }

  #answer(number, how, value) {
    const promise = this.#promised.get(number);
    this.#promised.delete(number);
    promise?.[how](value);
    return promise;
  }

  #tell(type, members) {
    this.dispatchEvent(Object.assign(new Event(type), members));
  }
}

function hasDot(type) {
  return type.includes(".");
}

function start(from) {
  if (from instanceof Date) return ["time", from.getTime()];
  if (from?.cursor) return ["cursor", from.cursor];
  return [from];
}

function unsupported(what) {
  return new TidegateError("unsupported", `${what} is not supported yet`);
}
