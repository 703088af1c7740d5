// A bridge in a few lines: one log in memory, the frames that the client needs, and every report kept.

import { WebSocketServer } from "ws";

const BUSY = { code: "rate_limited", message: "too fast", retryable: true, retry_after_ms: 250 };

export class MockBridge {
  /** Events by topic; an event's index is its offset. */
  log = new Map();
  /** What clients said, by frame kind. */
  said = [];
  sessions = new Set();
  /** The frames of each request for a stream, and what was published by requests. */
  streams = [];
  posts = [];
  #waiting = [];
  #swallowed = [];
  #views = 0;

  /** What a proxy does to WebSockets: nothing, or it answers with a status, cuts each at once, or lets nothing pass. */
  proxy = undefined;
  /** Upgrades asked for. */
  upgrades = 0;

  constructor(server) {
    this.sockets = new WebSocketServer({ noServer: true });
    server.on("upgrade", (request, socket, head) => {
      this.upgrades++;
      socket.on("error", () => {});
      if (this.proxy === "swallow") return this.#swallowed.push(socket);
      if (this.proxy > 0) return socket.end(`HTTP/1.1 ${this.proxy} No\r\nconnection: close\r\n\r\n`);
      this.sockets.handleUpgrade(request, socket, head, (socket) => {
        if (this.proxy === "cut") return socket.terminate();
        this.#socket(socket);
      });
    });
  }

  /** A request that is the bridge's: says whether it was. */
  request(request, response) {
    if (request.method !== "POST") return false;
    const [, topic] = request.url.match(/^\/v1\/topics\/([^/]+)\/events/) ?? [];
    let body = "";
    request.setEncoding("utf8").on("data", (text) => (body += text));
    request.on("end", () => (topic ? this.#post(topic, request, body, response) : this.#stream(body, response)));
    return true;
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
    for (const socket of this.#swallowed) socket.destroy();
    this.sockets.close();
  }

  #topic(name) {
    if (!this.log.has(name)) this.log.set(name, []);
    return this.log.get(name);
  }

  #socket(socket) {
    const send = (frame) => socket.send(JSON.stringify(frame));
    const session = this.#session(socket, send);
    socket.on("message", (text) => session.said(JSON.parse(text)));
    socket.on("close", () => this.sessions.delete(session));
    socket.on("error", () => {});
  }

  /** `POST /v1/stream`: bytes go out in pieces that end anywhere. */
  #stream(body, response) {
    const frames = body.split("\n").map((line) => JSON.parse(line));
    if (frames[0].hello.token === "bad") {
      response.writeHead(401, { "content-type": "application/json" });
      return response.end(JSON.stringify({ error: { code: "invalid_token", message: "no such key", retryable: false } }));
    }
    response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
    const write = (text) => Buffer.from(text).forEach((_, at, bytes) => at % 7 || response.write(bytes.subarray(at, at + 7)));
    const send = (frame) => write(`data: ${JSON.stringify(frame, null, 1).replaceAll("\n", "\r\ndata: ")}\r\n\r\n`);
    const close = (code, reason) => {
      write(`event: close\ndata: ${JSON.stringify({ code, reason })}\n\n`);
      response.end();
    };
    const session = this.#session({ close, terminate: () => response.destroy() }, send);
    session.isStream = true;
    response.on("close", () => this.sessions.delete(session));
    this.streams.push(frames);
    frames.forEach((frame) => session.said(frame));
  }

  /** `POST /v1/topics/{topic}/events`: one event. */
  #post(topic, request, body, response) {
    const event = JSON.parse(body);
    const key = new URL(request.url, "http://x").searchParams.get("key") ?? undefined;
    this.posts.push({ topic, key, event, token: request.headers.authorization, id: request.headers["idempotency-key"] });
    if (topic === "blackhole") return request.socket.destroy();
    response.setHeader("content-type", "application/json");
    if (topic === "busy") return response.writeHead(429).end(JSON.stringify({ error: BUSY }));
    if (!event.type) {
      const error = { code: "invalid_event", message: "type is missing", retryable: false, pointer: "/type" };
      return response.writeHead(400).end(JSON.stringify({ error }));
    }
    const { id, correlation_id } = complete(event);
    this.append(topic, { ...event, key });
    response.end(JSON.stringify({ id, correlation_id }));
  }

  /** A session that speaks through `socket`. */
  #session(socket, send) {
    const subscriptions = new Map();
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
        if (topic === "busy") return send({ error: { id, ...BUSY } });
        if (topic === "blackhole") return socket.terminate();
        const whole = complete({ ...event, key });
        send({ published: { id, event_id: whole.id, correlation_id: whole.correlation_id } });
        this.append(topic, { ...event, key });
      },
      refresh: ({ id }) => send({ refreshed: { id } }),
    };
    session.said = (frame) => {
      const [kind] = Object.keys(frame);
      this.said.push(frame);
      answer[kind]?.(frame[kind]);
      for (const resolve of this.#waiting.splice(0)) resolve();
    };
    return session;
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
