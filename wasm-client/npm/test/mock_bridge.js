// A bridge in a few lines: one log in memory, the frames that the client needs, and every report kept.

import { WebSocketServer } from "ws";

export class MockBridge {
  /** Events by topic; an event's index is its offset. */
  log = new Map();
  /** What clients said, by frame kind. */
  said = [];
  sessions = new Set();
  #waiting = [];
  #views = 0;

  constructor(server) {
    this.sockets = new WebSocketServer({ server, path: "/v1/ws" });
    this.sockets.on("connection", (socket) => this.#session(socket));
  }

  /** Appends events and sends them to who listens, as one batch. */
  append(topic, ...events) {
    const log = this.#topic(topic);
    log.push(...events.map((event) => ({ key: event.key, event: complete(event) })));
    for (const session of this.sessions) session.feed();
  }

  /** Breaks every socket without a close frame. */
  cut() {
    for (const session of this.sessions) session.socket.terminate();
  }

  /** Sends a frame to every session. */
  send(frame) {
    for (const session of this.sessions) session.send(frame);
  }

  /** Waits until a frame of the kind was said that `when` holds of. */
  async heard(kind, when = () => true) {
    for (;;) {
      const found = this.said.find((frame) => frame[kind] && when(frame[kind]));
      if (found) return found[kind];
      await new Promise((resolve) => this.#waiting.push(resolve));
    }
  }

  /** What all reports said of a view, together. */
  account() {
    const sum = { dispatched: 0, settled: [], failed: [], unhandled: [] };
    for (const { report } of this.said) {
      for (const view of report?.views ?? []) {
        sum.dispatched = Math.max(sum.dispatched, view.dispatched ?? 0);
        for (const name of ["settled", "failed", "unhandled"]) sum[name].push(...(view[name] ?? []));
      }
    }
    return sum;
  }

  close() {
    this.cut();
    this.sockets.close();
  }

  #topic(name) {
    if (!this.log.has(name)) this.log.set(name, []);
    return this.log.get(name);
  }

  #session(socket) {
    const subscriptions = new Map();
    const send = (frame) => socket.send(JSON.stringify(frame));
    const feed = () => {
      for (const subscription of subscriptions.values()) {
        const log = this.#topic(subscription.topic);
        const { next } = subscription;
        subscription.next = log.length;
        const entries = log.slice(next).filter((entry) => isWanted(subscription, entry));
        if (!entries.length) continue;
        send({ batch: { view: subscription.view, seq: subscription.seq++, entries, cursor: `d${log.length}` } });
      }
    };
    const session = { socket, send, feed, subscriptions };
    const answer = {
      hello: ({ token }) => {
        if (token === "bad") {
          send({ error: { code: "invalid_token", message: "no such key", retryable: false } });
          return socket.close(3500, "invalid_token");
        }
        this.sessions.add(session);
        const limits = { credit: 262144, unsettled: 10000, frame_bytes: 1048576, event_bytes: 1048576, subscriptions: 64 };
        const welcome = { session: "s", node: "n", tenant: "acme", subject: "ann", heartbeat_ms: 25000, limits };
        send({ welcome: { ...welcome, features: [] } });
      },
      subscribe: ({ id, topic, types, keys, from }) => {
        if (topic === "secret") return send({ error: { id, code: "denied", message: "no grant", retryable: false } });
        const log = this.#topic(topic);
        const at = from?.cursor ? Math.max(...from.cursor.map((c) => +c.slice(1))) : from === "earliest" ? 0 : log.length;
        const view = ++this.#views;
        subscriptions.set(view, { view, topic, types, keys, seq: 1, next: at });
        send({ subscribed: { id, subscription: view, view, seq: 1, cursor: `f${at}`, recovered: !!from?.cursor } });
        if (topic === "$ledger") send({ ledger: ledger(view) });
        feed();
      },
      unsubscribe: ({ id, subscription }) => {
        subscriptions.delete(subscription);
        send({ unsubscribed: { id, subscription } });
      },
      publish: ({ id, topic, key, event }) => {
        if (!event.type) {
          const error = { id, code: "invalid_event", message: "type is missing", retryable: false, pointer: "/publish/event/type" };
          return send({ error });
        }
        if (topic === "blackhole") return socket.terminate();
        const whole = complete({ ...event, key });
        send({ published: { id, event_id: whole.id, correlation_id: whole.correlation_id } });
        this.append(topic, { ...event, key });
      },
      refresh: ({ id }) => send({ refreshed: { id } }),
    };
    socket.on("message", (text) => {
      const frame = JSON.parse(text);
      const [kind] = Object.keys(frame);
      this.said.push(frame);
      answer[kind]?.(frame[kind]);
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
    socket.on("close", () => this.sessions.delete(session));
    socket.on("error", () => {});
  }
}

function isWanted({ types, keys }, { key, event: { type } }) {
  const fits = (wanted) => wanted === type || (wanted.endsWith(".*") && type.startsWith(wanted.slice(0, -1)));
  return (!types || types.some(fits)) && (!keys || keys.includes(key));
}

let count = 0;

function complete({ key, ...event }) {
  const id = event.id ?? `00000000-0000-7000-8000-${String(++count).padStart(12, "0")}`;
  return { version: "1.0", id, correlation_id: id, timestamp: "2026-01-01T00:00:00Z", tenant_id: "acme", ...event };
}

function ledger(subscription) {
  const rows = [{ tenant: "acme", topic: "orders", received: 3, consumed: 3 }];
  return { subscription, node: "n", incarnation: "i", at: 1, rows, other: {}, topics: [], sessions: { open: 1, paused: 0, behind: 0 } };
}
