// The bus: a real EventTarget in front of the core, which is Rust compiled to WebAssembly.
//
// The core owns the session and the account of deliveries. Events never enter its memory: they go from `JSON.parse`
// straight to listeners, and the core learns what became of them.

import { TidegateError } from "./error.js";
import { CONSUMED, PENDING, THREW, TidegateEvent, UNHANDLED } from "./event.js";
import { describe, dispatch, isFrom, lastFailure, reported, whenSettled, wrap } from "./event.js";
import { Link } from "./link.js";
import { CLOSE, CONNECT, CURSOR, ID, PUBLISH, STREAM, SUBSCRIBE, TOKEN, UNSUBSCRIBE } from "./words.js";
import { ENDED, FETCH_TOKEN, IS_CLOSED, IS_OPEN, IS_WAITING, LEDGER, LOG, OPEN_STREAM } from "./words.js";
import { POST, PUBLISHED, REFUSED, SUBSCRIBED } from "./words.js";

const REMEMBERED = 1000;
/** The core knows them by their place. */
const TRANSPORTS = ["auto", "websocket", "stream"];

export class Bus extends EventTarget {
  /** As people see it, also where scripts are made small. */
  static name = "Bus";
  /** To the core, and through it to the bridge. */
  #link;
  #url;
  #state = "connecting";
  #transport;
  /** Ends the stream that there is, and what was posted and is not answered. */
  #streaming = new AbortController();
  #posting = new AbortController();
  #logAvailable = true;
  /** The listeners' wrappers, by listener. */
  #wrappers = new WeakMap();
  /** Event types that ever had a listener: all others need no event object. */
  #heard = new Set();
  /** Shares of subscriptions by topic, and where each event type of it goes. */
  #topics = new Map();
  /** Shares by the core's handle. */
  #shares = new Map();
  /** Publishes that wait for their answer. */
  #calls = new Map();
  /** Ids published lately, oldest first, for `echo: false`. */
  #published = new Set();

  /** For `connect` only. */
  static open(url, { token, handlerTimeout: timeout = 30_000, client = "", transport = "auto" }) {
    const transports = TRANSPORTS.indexOf(transport);
    if (transports < 0) throw new TypeError(`connect: options.transport must be one of ${TRANSPORTS.join(", ")}`);
    const bus = new Bus();
    bus.#url = url.replace(/^ws/, "http");
    const opened = new Promise((resolve, reject) => {
      const dispatch = (batch, stretch) => bus.#batch(batch, stretch);
      bus.#link = new Link(url, [client, timeout, transports], bus.#makeHooks(token, resolve, reject), dispatch);
    });
    bus.#link.tell(CONNECT);
    return { bus, opened };
  }

  get state() {
    return this.#state;
  }

  get transport() {
    return this.#transport;
  }

  addEventListener(type, listener, options) {
    type = String(type);
    if (hasDot(type)) this.#heard.add(type);
    super.addEventListener(type, this.#wrapper(type, listener), options);
  }

  removeEventListener(type, listener, options) {
    super.removeEventListener(type, this.#wrapper(String(type), listener), options);
  }

  subscribe(topic, { types = [], keys = [], from, target = this, echo = true } = {}) {
    if (from !== undefined && from !== "latest" && from !== "earliest" && !(from instanceof Date) && !from?.cursor) {
      throw new TypeError('subscribe: from must be "latest", "earliest", a Date or { cursor }');
    }
    const time = { latest: Infinity, earliest: -Infinity }[from] ?? from?.getTime?.();
    const cursor = from?.cursor?.split(",");
    return this.#share({ topic, types: [...types], target, echo }, [...keys], time, cursor);
  }

  ledger({ groupBy = [] }, callback) {
    return this.#share({ topic: "$ledger", types: [], callback }, [], undefined, [], [...groupBy]);
  }

  async publish(topic, event, { key } = {}) {
    if (this.#state === "closed") throw closed();
    const id = event.id ?? this.#link.ask(ID)[0];
    this.#published.add(id);
    if (this.#published.size > REMEMBERED) this.#published.delete(this.#published.values().next().value);
    const [call] = this.#link.ask(PUBLISH, topic, JSON.stringify({ ...event, id }), key);
    return new Promise((resolve, reject) => this.#calls.set(call, { resolve, reject }));
  }

  forward(source, type, { topic, map = ({ type, detail }) => ({ type, data: detail }), key }) {
    const forward = async (event) => {
      if (isFrom(event, this)) return;
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

  async request() {
    throw new TidegateError("unsupported", "request is not supported yet");
  }

  respond() {
    throw new TidegateError("unsupported", "respond is not supported yet");
  }

  close() {
    this.#link.finish();
    this.#link.tell(CLOSE);
  }

  /** What the core calls. Nothing here throws. */
  #makeHooks(fetchToken, opened, refused) {
    let wasOpen = false;
    const change = (state) => {
      if (state === this.#state) return;
      this.#state = state;
      this.#tell("state", { state, logAvailable: this.#logAvailable });
    };
    const answer = (call, how, value) => {
      this.#calls.get(call)?.[how](value);
      this.#calls.delete(call);
    };
    return {
      [FETCH_TOKEN]: async (ask) => {
        try {
          const token = String(await fetchToken());
          this.#link.tell(TOKEN, ask, token);
        } catch (error) {
          this.#link.tell(TOKEN, ask, undefined, describe(error));
        }
      },
      [IS_OPEN]: (streaming) => {
        wasOpen = true;
        const transport = (this.#transport = TRANSPORTS[streaming ? 2 : 1]);
        change("open");
        opened();
        this.#tell("open", { transport });
      },
      [OPEN_STREAM]: () => this.#stream(),
      hangUp: () => this.#streaming.abort(),
      [POST]: (call, token, topic, key, event) => {
        const post = (module) => {
          return module.post(TidegateError, this.#url, topic, key, event, token, this.#posting.signal);
        };
        import("./stream.js").then(post).then(
          (published) => answer(call, "resolve", published),
          (error) => answer(call, "reject", error),
        );
      },
      [IS_WAITING]: (delay, ...problem) => {
        if (wasOpen) change("reconnecting");
        this.#tell("reconnecting", { delay, error: failure(problem) });
      },
      [IS_CLOSED]: (...problem) => {
        const error = problem.length ? failure(problem) : undefined;
        this.#posting.abort();
        change("closed");
        refused(error ?? closed());
        this.#tell("close", { error });
      },
      [LOG]: (available) => {
        this.#logAvailable = !!available;
        this.#tell("state", { state: this.#state, logAvailable: this.#logAvailable });
      },
      [SUBSCRIBED]: (recovered, reason, ...handles) => {
        for (const handle of handles) {
          const share = this.#shares.get(handle);
          share?.accept();
          if (share && !recovered) this.#tell("gap", { topic: share.topic, reason });
        }
      },
      [ENDED]: (handle, ...problem) => {
        const share = this.#shares.get(handle);
        const error = failure(problem);
        this.#drop(handle);
        share?.reject(error);
        this.#tell("error", { error });
      },
      [PUBLISHED]: (call, id, correlationId) => answer(call, "resolve", { id, correlationId }),
      [REFUSED]: (call, ...problem) => answer(call, "reject", failure(problem)),
      [LEDGER]: (handles, report) => {
        for (const handle of handles) {
          try {
            this.#shares.get(handle)?.callback(report);
          } catch (error) {
            reported(error);
          }
        }
      },
    };
  }

  /** Opens a stream instead of the one that there may be. */
  #stream() {
    this.#streaming.abort();
    const { signal } = (this.#streaming = new AbortController());
    const link = this.#link;
    const closed = (code, reason) => link.over(code, reason);
    import("./stream.js").then(
      (module) => signal.aborted || module.stream(this.#url, link.ask(STREAM)[0], signal, (text) => link.heard(text), closed),
      (error) => signal.aborted || closed(1006, describe(error)),
    );
  }

  /** Takes up what is wanted, and notes what its handle stands for. */
  #share(share, ...want) {
    const { topic, types } = share;
    const link = this.#link;
    const [handle, ...problem] = link.ask(SUBSCRIBE, topic, types, ...want);
    if (problem.length) throw failure([handle, ...problem]);
    const ready = new Promise((accept, reject) => Object.assign(share, { accept, reject }));
    // Who does not look at it learns of a refusal by the bus's `error` event.
    ready.catch(() => {});
    this.#shares.set(handle, share);
    const shared = this.#topics.get(topic) ?? { shares: new Set(), routes: new Map() };
    this.#topics.set(topic, shared);
    shared.shares.add(share);
    shared.routes.clear();
    return {
      topic,
      ready,
      get cursor() {
        // It stands behind the whole batch.
        link.finish();
        return link.ask(CURSOR, handle).join() || undefined;
      },
      close: () => {
        if (this.#drop(handle)) link.ask(UNSUBSCRIBE, handle);
      },
    };
  }

  #drop(handle) {
    const share = this.#shares.get(handle);
    if (!share) return false;
    this.#shares.delete(handle);
    const shared = this.#topics.get(share.topic);
    shared.shares.delete(share);
    shared.routes.clear();
    return true;
  }

  /** Dispatches a batch from where it stands, whole or until it is time to stop. */
  #batch(batch, stretch) {
    const { topic, text, session, view, seq, entries, exceptions } = batch;
    const shared = this.#topics.get(topic);
    const source = { bus: this, topic, text };
    for (let left = 0; batch.next < entries.length; left--) {
      if (!left && !(left = stretch())) return;
      const ordinal = batch.next++;
      const entry = entries[ordinal];
      const route = shared && this.#route(shared, entry.event?.type);
      let outcome = UNHANDLED;
      if (route) {
        const { type, targets, own } = route;
        // Ids are only looked for where it makes a difference.
        const wanted = own !== targets && this.#published.has(entry.event.id) ? own : targets;
        if (!wanted) continue;
        if (this.#heard.has(type) || wanted.some((target) => target !== this)) {
          const event = new TidegateEvent(type, entry, source, ordinal);
          outcome = dispatch(event, this, wanted);
          if (outcome === CONSUMED) continue;
          if (outcome === PENDING) {
            whenSettled(event, (failure) => this.#link.settled(session, view, seq, ordinal, failure));
          }
        }
      }
      exceptions.push(ordinal, outcome, outcome === THREW ? describe(lastFailure()) : "");
    }
  }

  /**
   * Where events of a type go, and where those that this client published (`own`): nothing where nobody wants their
   * echo. What has no dot goes nowhere: it belongs to the bus itself and never comes from the wire.
   */
  #route({ shares, routes }, type) {
    let route = routes.get(type);
    if (!route && typeof type === "string" && hasDot(type)) {
      const wanted = [...shares].filter(({ types }) => takes(types, type));
      const echoed = wanted.filter(({ echo }) => echo);
      const targets = targetsOf(wanted);
      const all = echoed.length === wanted.length ? targets : targetsOf(echoed);
      const own = echoed.length || !shares.size ? all : undefined;
      // The one text for all events of the type: the browser need not look it up each time.
      routes.set(type, (route = { type, targets, own }));
    }
    return route;
  }

  #wrapper(type, listener) {
    // No listener at all, and the bus's own events, are the platform's business.
    if (!hasDot(type) || !listener) return listener;
    let wrapper = this.#wrappers.get(listener);
    if (!wrapper) this.#wrappers.set(listener, (wrapper = wrap(listener)));
    return wrapper;
  }

  #tell(type, members) {
    this.dispatchEvent(Object.assign(new Event(type), members));
  }
}

/** Whether a list of types and of their beginnings (`order.*`), where an empty one means all, takes a type. */
function takes(types, type) {
  return !types.length || types.some((one) => one === type || (one.endsWith(".*") && type.startsWith(one.slice(0, -1))));
}

/** Each target of some shares, once. */
function targetsOf(shares) {
  return [...new Set(shares.map(({ target }) => target))];
}

function hasDot(type) {
  return type.includes(".");
}

/** A problem that the core tells of. */
function failure([code, message, retryable, pointer, retryAfter]) {
  return new TidegateError(code, message, !!retryable, pointer, retryAfter);
}

function closed() {
  return new TidegateError("closed", "the bus is closed");
}
