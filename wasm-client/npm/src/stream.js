// The way around a proxy that breaks WebSockets: frames come as Server-Sent Events, publishes go as requests.
// Loaded only where it is needed, and without an import, so that no bundler splits what all pages load for its sake.

/** Nothing that a bridge sends is so long: its largest frame holds one event, or 64 KiB. */
const LONGEST = 1 << 26;
const ANSWER_MS = 30_000;

/** Publishes of the same key, one after another: by topic and key the last one's end. */
const underway = new Map();

/**
 * Makes a reader of Server-Sent Events, which is given text in whatever pieces it comes and calls back with the name
 * (empty where there is none) and the data of each message.
 */
export function reader(told) {
  let rest = "";
  let name = "";
  let data;
  let afterReturn = false;
  const take = (line) => {
    if (!line) {
      if (data !== undefined) told(name, data);
      name = "";
      data = undefined;
      return;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + (line[colon + 1] === " " ? 2 : 1));
    if (field === "data") data = data === undefined ? value : `${data}\n${value}`;
    else if (field === "event") name = value;
  };
  return (text) => {
    if (!text) return;
    // A line may end with CR, LF or both, and the two may come in different pieces.
    if (afterReturn && text[0] === "\n") text = text.slice(1);
    afterReturn = text.endsWith("\r");
    const lines = text.split(/\r\n|\r|\n/);
    lines[0] = rest + lines[0];
    rest = lines.pop();
    if (rest.length > LONGEST) throw new Error("a message without an end");
    lines.forEach(take);
  };
}

/** Requests a stream; `heard` with each frame's text, and in the end `closed` with a close code and a reason. */
export async function stream(url, body, signal, heard, closed) {
  let end = [1006, ""];
  try {
    const response = await fetch(new URL("stream", url), { method: "POST", body, signal, cache: "no-store" });
    const type = response.headers.get("content-type") ?? "";
    if (response.ok && type.startsWith("text/event-stream")) {
      const read = reader((name, data) => {
        if (signal.aborted) return;
        if (!name) heard(data);
        else if (name === "close") end = closing(data);
      });
      const pieces = response.body.getReader();
      const decoder = new TextDecoder();
      for (;;) {
        const { done, value } = await pieces.read();
        if (done) break;
        read(decoder.decode(value, { stream: true }));
      }
    } else {
      end[1] = `the request for a stream was answered ${response.status}`;
      const text = await response.text();
      // What the bridge itself says is an `error` frame; all else is a proxy's page.
      if (JSON.parse(text).error?.code) heard(text);
    }
  } catch (error) {
    end[1] = String(error);
  }
  if (!signal.aborted) closed(...end);
}

/** Publishes an event's JSON text; those of one key in the order of the calls. `Refusal` is what it rejects with. */
export async function post(Refusal, url, topic, key, event, token, signal) {
  const { id, correlation_id, action } = JSON.parse(event);
  // What must stay in order, as the bridge itself sees it.
  const order = JSON.stringify([topic, key ?? action?.target ?? correlation_id ?? id]);
  const address = new URL(`topics/${encodeURIComponent(topic)}/events`, url);
  if (key !== undefined) address.searchParams.set("key", key);
  const headers = { authorization: `Bearer ${token}`, "content-type": "application/json", "idempotency-key": id };
  const send = async () => {
    if (signal.aborted) throw new Refusal("closed", "the bus is closed; the event was not sent");
    const giving = new AbortController();
    const up = () => giving.abort();
    const timer = setTimeout(up, ANSWER_MS);
    signal.addEventListener("abort", up);
    try {
      return await answer(Refusal, fetch(address, { method: "POST", headers, body: event, signal: giving.signal, cache: "no-store" }));
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", up);
    }
  };
  const sent = Promise.resolve(underway.get(order)).then(send, send);
  underway.set(order, sent);
  try {
    return await sent;
  } finally {
    if (underway.get(order) === sent) underway.delete(order);
  }
}

async function answer(Refusal, request) {
  let said;
  try {
    said = await (await request).json();
  } catch {
    // No answer, or none of the bridge's own.
  }
  if (said?.id) return { id: said.id, correlationId: said.correlation_id };
  const unknown = { code: "outcome_unknown", message: "no answer came: the event may or may not be on the log", retryable: true };
  const { code, message, retryable, pointer, retry_after_ms } = said?.error ?? unknown;
  throw new Refusal(code, message, retryable, pointer, retry_after_ms);
}

function closing(data) {
  try {
    const { code, reason } = JSON.parse(data);
    return [Number(code), String(reason)];
  } catch {
    return [1006, "a close that is none"];
  }
}
