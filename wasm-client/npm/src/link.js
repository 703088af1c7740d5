// The core's adapter: tells it what happens on the socket, and does what it says.
//
// The core speaks in texts: a frame to send is an object, all else an array, `["what", …]`.

import { look } from "./looked.js";

/** What `setTimeout` can hold. */
const LONGEST = 2 ** 31 - 1;
const SUBPROTOCOL = "tidegate.v1";

/** Milliseconds since the epoch, on a clock that never goes back. */
const now = () => performance.timeOrigin + performance.now();

export class Link {
  #core;
  #url;
  #does;
  #dispatch;
  #socket;
  #timer;
  /** When the timer calls. */
  #due = Infinity;
  /** Whether what the core says is to be done as soon as the page's code that runs now has returned. */
  #soon = false;
  /** The body of the frame that is being obeyed. */
  #body;

  /**
   * `does` has a function for each thing that the core may say but what is the socket's business, `dispatch` takes a
   * batch and answers nothing when all was consumed, else `[ordinal, outcome, reason, …]`. None of them throws. The core
   * is at rest until it is told to `connect`.
   */
  constructor(Core, url, options, does, dispatch) {
    const wake = () => this.tell("wake");
    this.#url = url;
    this.#dispatch = dispatch;
    this.#does = {
      ...does,
      connect: () => this.#connect(),
      disconnect: (code, reason) => (this.#socket ? this.#drop(code, reason) : does.hang_up()),
      closed: (problem) => {
        removeEventListener("online", wake);
        does.closed(problem);
      },
      ledger: (handles) => does.ledger(handles, this.#body),
    };
    const seed = crypto.getRandomValues(new Uint32Array(4));
    this.#core = look({ ...options, seed }, () => new Core());
    addEventListener("online", wake);
  }

  /** Tells the core something, with the details, and does what it says. */
  tell(what, details) {
    const answer = look(details, () => this.#core.tell(now(), what));
    this.#obey();
    return answer;
  }

  /** The same for the page, which must know the answer before it is told what followed. */
  ask(what, details) {
    const answer = look(details, () => this.#core.tell(now(), what));
    this.#obeySoon();
    return answer;
  }

  /** What became of a delivery that was pending. */
  settled(session, view, seq, ordinal, failure) {
    this.#core.settled(now(), session, view, seq, ordinal, failure);
    this.#obeySoon();
  }

  /** A frame's text has come, over a socket or a stream. */
  heard(text) {
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      // It is no frame, then.
    }
    const [name, ...more] = Object.keys(frame ?? {});
    const body = frame?.[name];
    // Credit is counted in UTF-8 bytes, which a string does not tell. Twice its length is never less than half of
    // them, and so reports still go out before the credit is used up.
    const known = body && !more.length ? name : "";
    const core = this.#core;
    const topic = look(body, () => core.frame(now(), known, text.length * 2));
    // Effects come after what is to be dispatched, which may itself bring about some.
    if (topic !== undefined) {
      const { view, seq, entries } = body;
      const exceptions = this.#dispatch(topic, core.session(), view, seq, entries) ?? [];
      for (let at = 0; at < exceptions.length; at += 3) {
        core.exception(exceptions[at], exceptions[at + 1], exceptions[at + 2] ?? "");
      }
      core.dispatched(now(), entries.length);
    }
    this.#body = body;
    this.#obey();
    this.#body = undefined;
  }

  #obeySoon() {
    if (this.#soon) return;
    this.#soon = true;
    queueMicrotask(() => {
      this.#soon = false;
      this.#obey();
    });
  }

  #obey() {
    for (let text; (text = this.#core.next(now())) !== undefined; ) {
      if (text[0] === "{") {
        this.#socket?.send(text);
      } else {
        const [what, ...rest] = JSON.parse(text);
        this.#does[what](...rest);
      }
    }
    const deadline = this.#core.deadline();
    // A call that comes too early does no harm and costs less than setting the timer anew.
    if (deadline < this.#due) {
      clearTimeout(this.#timer);
      this.#due = deadline;
      const tick = () => {
        this.#due = Infinity;
        this.tell("tick");
      };
      this.#timer = setTimeout(tick, Math.min(deadline - now(), LONGEST));
    }
  }

  #connect() {
    // The old one, if there still is one, goes before the new one is heard.
    this.#drop(1000, "");
    let socket;
    try {
      socket = new WebSocket(this.#url, SUBPROTOCOL);
    } catch {
      this.tell("closed", { code: 1006, reason: "the address is refused by the browser" });
      return;
    }
    this.#socket = socket;
    socket.onopen = () => this.tell("opened");
    // The protocol has no binary messages.
    socket.onmessage = ({ data }) => typeof data === "string" && this.heard(data);
    socket.onclose = ({ code, reason }) => {
      this.#socket = undefined;
      this.tell("closed", { code, reason });
    };
  }

  /** Closes the socket, if there is one, and hears nothing more of it. */
  #drop(code, reason) {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = socket.onopen = socket.onmessage = socket.onclose = undefined;
    socket.close(code, reason);
  }
}
