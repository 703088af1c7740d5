/** What an event's envelope holds. Members that are agreed between publishers and readers are kept. */
export interface Envelope<Data = unknown> {
  readonly version: string;
  readonly id: string;
  readonly type: string;
  readonly correlation_id: string;
  readonly causation_id?: string;
  /** RFC 3339, UTC. */
  readonly timestamp: string;
  readonly tenant_id: string;
  readonly action?: { readonly command: string; readonly target?: string };
  readonly requester?: unknown;
  readonly responder?: unknown;
  readonly response?: {
    readonly command?: string;
    readonly target?: string;
    readonly result?: number;
    readonly error?: string;
  };
  readonly data?: Data;
  readonly traceparent?: string;
  readonly tracestate?: string;
  readonly [member: string]: unknown;
}

/** An event from the log, dispatched on the bus or on a target of the page's own. */
export declare class TidegateEvent<Data = unknown> extends Event {
  private constructor();
  /** The envelope's `data`. */
  readonly detail: Data;
  readonly envelope: Envelope<Data>;
  /** The logical topic it came from. */
  readonly topic: string;
  /** The record's key, where it is text. */
  readonly key: string | undefined;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** The delivery is consumed when the promise is fulfilled, and has failed when it rejects or takes too long. */
  waitUntil(promise: PromiseLike<unknown>): void;
  /** Reserved: throws `NotSupportedError`. */
  respondWith(response: unknown): never;
}

/** A refusal or failure. `code` is stable. */
export declare class TidegateError extends Error {
  constructor(code: string, message?: string, retryable?: boolean, pointer?: string, retryAfter?: number);
  readonly code: string;
  /** Whether trying the same again later can succeed. */
  readonly retryable: boolean;
  /** JSON pointer to what is wrong in the event. */
  readonly pointer: string | undefined;
  /** After how many milliseconds the same can succeed, where the bridge knows it (`rate_limited`). */
  readonly retryAfter: number | undefined;
}

/** How frames travel: over a WebSocket; or, behind proxies that break those, as a stream and requests over HTTP. */
export type Transport = "websocket" | "stream";

export type State = "connecting" | "open" | "reconnecting" | "closed";

/** The bus's own events. Nothing on the wire has a type without a dot. */
export interface BusEventMap {
  /** The bridge welcomed the client, the first time or again. */
  open: Event & { readonly transport: Transport };
  /** `state` has changed, or the bridge told whether it reaches the log. */
  state: Event & { readonly state: State; readonly logAvailable: boolean };
  /** There is no connection, for the reason told; the next attempt follows after `delay` milliseconds. */
  reconnecting: Event & { readonly delay: number; readonly error: TidegateError };
  /** Events of a topic may have been missed: retention or a new topic overtook the subscription. */
  gap: Event & { readonly topic: string; readonly reason: string | undefined };
  /** The bus is closed for good; `error` says why, unless the page closed it. */
  close: Event & { readonly error: TidegateError | undefined };
  /** Something failed that no promise stands for, or that nobody may be waiting for. */
  error: Event & { readonly error: TidegateError };
}

/** Where a subscription begins. */
export type From = "latest" | "earliest" | Date | { cursor: string };

/** `"order.*"` and `"order.line.*"` for `"order.line.added"`. */
export type Beginning<Type extends string> = string extends Type
  ? string
  : Type extends `${infer Word}.${infer Rest}`
    ? `${Word}.*` | `${Word}.${Beginning<Rest>}`
    : never;

export interface SubscribeOptions<Type extends string = string> {
  /** Event types wanted, or their beginnings (`"order.*"`); all when absent. */
  types?: readonly (Type | Beginning<Type>)[];
  /** Keys wanted; all when absent. Components that share a topic's subscription name the same ones. */
  keys?: readonly string[];
  /** `"latest"` when absent. The others but a cursor need the `replay` grant. */
  from?: From;
  /** Where events are dispatched: the bus when absent. */
  target?: EventTarget;
  /** `false`: what this client published is not dispatched to it. */
  echo?: boolean;
}

/** One component's share of a subscription. */
export interface Subscription {
  readonly topic: string;
  /** Fulfilled once the bridge has accepted it, rejected with a `TidegateError` when it refuses. */
  readonly ready: Promise<void>;
  /** Where the subscription stands, sealed: give it as `from: { cursor }` to go on from there. */
  readonly cursor: string | undefined;
  /** Ends this share; the last one ends the subscription. */
  close(): void;
}

/** An event to publish. The bridge fills what is absent, and stamps tenant and identity from the token. */
export interface Outgoing<Type extends string = string, Data = unknown> {
  type?: Type;
  data?: Data;
  id?: string;
  correlation_id?: string;
  causation_id?: string;
  timestamp?: string;
  action?: { command: string; target?: string };
  response?: { command?: string; target?: string; result?: number; error?: string };
  traceparent?: string;
  tracestate?: string;
  [member: string]: unknown;
}

export interface Published {
  readonly id: string;
  readonly correlationId: string;
}

export interface ForwardOptions<E extends Event = Event> {
  /** The topic to publish to. */
  topic: string;
  /** Makes the event to publish; nothing is published where it returns nothing. Default: the DOM event's `type` and `detail`. */
  map?: (event: E) => Outgoing | null | undefined;
  /** The record's key. */
  key?: string | ((event: E) => string | undefined);
}

export type LedgerColumn = "tenant" | "topic" | "type" | "consumer";

/** Counts since the node began; what is absent is zero. */
export interface LedgerCounts {
  readonly sent?: number;
  readonly received?: number;
  readonly consumed?: number;
  readonly dead_lettered?: number;
  readonly given_up?: number;
  readonly abandoned?: number;
  readonly in_flight?: number;
  readonly failed?: number;
  readonly retried?: number;
  readonly redelivered?: number;
  readonly unhandled?: number;
  readonly unreported?: number;
}

/** One node's totals: add up the newest of each node and incarnation. */
export interface LedgerReport {
  readonly node: string;
  readonly incarnation: string;
  readonly at: number;
  readonly rows: readonly (LedgerCounts & { readonly [column in LedgerColumn]?: string })[];
  readonly other: LedgerCounts;
  readonly topics: readonly {
    readonly topic: string;
    readonly records: number;
    readonly events: number;
    readonly tombstones: number;
    readonly quarantined: number;
    readonly lag: number;
  }[];
  readonly sessions: { readonly open: number; readonly paused: number; readonly behind: number };
}

/** Event types and their data, where an application names none. */
export type AnyEvents = Record<string, unknown>;

/** A listener; a promise it returns counts as given to `waitUntil`. */
export type Listener<E extends Event> = ((event: E) => unknown) | { handleEvent(event: E): unknown } | null;

/** The log's events as an `EventTarget`. `Events` maps event types to their data. */
export declare class Bus<Events extends object = AnyEvents> extends EventTarget {
  private constructor();
  readonly state: State;
  /** How the newest session's frames travel. */
  readonly transport: Transport | undefined;

  addEventListener<Type extends keyof BusEventMap>(
    type: Type,
    listener: Listener<BusEventMap[Type]>,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener<Type extends keyof Events & string>(
    type: Type,
    listener: Listener<TidegateEvent<Events[Type]>>,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof BusEventMap>(
    type: Type,
    listener: Listener<BusEventMap[Type]>,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener<Type extends keyof Events & string>(
    type: Type,
    listener: Listener<TidegateEvent<Events[Type]>>,
    options?: boolean | EventListenerOptions,
  ): void;

  /**
   * Asks for a topic's events. Components share one subscription of a topic, of the types that any of them named; one
   * that names another `from`, or other keys, is refused by a `TidegateError` with the code `already_subscribed`.
   */
  subscribe(topic: string, options?: SubscribeOptions<keyof Events & string>): Subscription;

  /** Puts an event onto a topic; fulfilled once it is on the log. */
  publish<Type extends keyof Events & string>(
    topic: string,
    event: Outgoing<Type, Events[Type]>,
    options?: { key?: string },
  ): Promise<Published>;

  /** Publishes the DOM events of a type that `source` sees, except what the bus itself dispatched. */
  forward<E extends Event = CustomEvent>(source: EventTarget, type: string, options: ForwardOptions<E>): { close(): void };

  /** Calls back with each node's totals, once a second. Needs the `observe` grant. */
  ledger(options: { groupBy?: readonly LedgerColumn[] }, callback: (report: LedgerReport) => void): {
    readonly ready: Promise<void>;
    close(): void;
  };

  /** Later: rejects with code `unsupported`. */
  request(topic: string, action: { command: string; target?: string }, options?: { timeout?: number }): Promise<never>;
  /** Later: throws with code `unsupported`. */
  respond(command: string, handler: (request: TidegateEvent) => unknown): never;

  /** Ends the session. Deliveries that are not settled are abandoned. */
  close(): void;
}

export interface ConnectOptions {
  /** Fetches a token: called for each connection, and again before a token runs out. */
  token: () => string | PromiseLike<string>;
  /** Milliseconds that a delivery's promises may take; 30,000 unless given. */
  handlerTimeout?: number;
  /** Names this client; a newer connection of the same name and subject replaces the older. Random unless given. */
  client?: string;
  /**
   * `"auto"` unless given: a WebSocket, and where a proxy breaks it a stream over HTTP, for as long as WebSockets do not
   * pass. Over a stream there are no reports: what arrived counts as consumed, whatever listeners do with it.
   */
  transport?: "auto" | Transport;
  /** Gives up connecting. */
  signal?: AbortSignal;
}

/** Connects to a bridge; fulfilled with the bus once the bridge has welcomed it. */
export declare function connect<Events extends object = AnyEvents>(
  url: string | URL,
  options: ConnectOptions,
): Promise<Bus<Events>>;

/** Loads the WebAssembly module, once however often it is called. `source` says where it is, if not beside the script. */
export default function init(
  source?: string | URL | Request | Response | PromiseLike<Response> | BufferSource | WebAssembly.Module,
): Promise<void>;
