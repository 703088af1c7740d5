// The core's adapter: tells it what happens on the socket, and does what it says.

import { make, tell } from "./core.js";
import { look } from "./looked.js";
import { take } from "./told.js";
import { CLOSED, DISPATCHED, FRAME, OPENED, SETTLED, TICK, WAKE } from "./words.js";
import { ANSWER, DISCONNECT, IS_CLOSED, LEDGER, OPEN_SOCKET, OPEN_STREAM, SEND } from "./words.js";

/** What `setTimeout` can hold. */
const LONGEST = 2 ** 31 - 1;
const SUBPROTOCOL = "tidegate.v1";
/** Milliseconds of work after which the page may paint and listen to others, however much there is to do. */
const SLICE = 16;
/** Events between two looks at the clock, at most, and the milliseconds beyond which they are fewer. */
const LOOK = 32;
const SLOW = 0.5;

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
  /** What the core has told and is yet to be done. */
  #told = [];
  /** Whether what the core says is to be done as soon as the page's code that runs now has returned. */
  #soon = false;
  /** The body of the frame that is being obeyed. */
  #body;
  /** What came and has yet to be told, in order: functions that tell it. */
  #waiting = [];
  /** The batch that is being dispatched: `{ topic, text, session, view, seq, entries, next, exceptions }`. */
  #batch;
  /** What became meanwhile of deliveries that were pending. */
  #settled = [];
  /** When the slice of work ends, and when the last one ended. */
  #until = 0;
  #ended = 0;
  /** Whether the page has the thread between two slices. */
  #resting = false;
  /** Events until the next look at the clock, and when the last look was. */
  #stride = 1;
  #looked = 0;

  /**
   * `options` are the core's own: a client's name, the handlers' time, a number for the transports allowed. `does` has a
   * function for each thing that the core may tell but what is the socket's business, by its number, and `hangUp` for a
   * stream; `dispatch` takes a batch and what tells how many events there is time for: it dispatches from `next` on, and
   * puts into `exceptions`, by threes, ordinal, outcome and reason of what was not simply consumed. None of them throws.
   * The core is at rest until it is told to `CONNECT`.
   */
  constructor(url, options, does, dispatch) {
    const wake = () => this.tell(WAKE);
    this.#url = url;
    this.#dispatch = dispatch;
    this.#does = {
      ...does,
      [SEND]: (frame) => this.#socket?.send(frame),
      [OPEN_SOCKET]: () => this.#connect(),
      [OPEN_STREAM]: () => {
        this.#waiting = [];
        does[OPEN_STREAM]();
      },
      [DISCONNECT]: (code, reason) => {
        this.#waiting = [];
        if (this.#socket) this.#drop(code, reason);
        else does.hangUp();
      },
      [IS_CLOSED]: (...problem) => {
        removeEventListener("online", wake);
        // What is left of a batch is not for later.
        this.#until = Infinity;
        does[IS_CLOSED](...problem);
      },
      [LEDGER]: (...handles) => does[LEDGER](handles, this.#body),
    };
    this.#core = look(options, () => make(this));
    addEventListener("online", wake);
  }

  /** Tells the core something, with what belongs to it, and does what it says. */
  tell(what, ...details) {
    this.#hear(what, details);
    this.#obey();
  }

  /** The same for the page, which must know the answer before it is told what followed. */
  ask(what, ...details) {
    const answer = this.#hear(what, details);
    this.#obeySoon();
    return answer;
  }

  /** Tells the core something and keeps what it says for later. Answers with what it was asked, a list. */
  #hear(what, details) {
    let answer;
    take();
    const deadline = look(details, () => tell(this.#core, now(), what));
    for (const told of take()) {
      if (told[0] === ANSWER) answer = told.slice(1);
      else this.#told.push(told);
    }
    // A call that comes too early does no harm and costs less than setting the timer anew.
    if (deadline < this.#due) {
      clearTimeout(this.#timer);
      this.#due = deadline;
      const tick = () => {
        this.#due = Infinity;
        this.tell(TICK);
      };
      this.#timer = setTimeout(tick, Math.min(deadline - now(), LONGEST));
    }
    return answer;
  }

  /** What became of a delivery that was pending. The core knows of none before its batch is dispatched. */
  settled(...delivery) {
    if (this.#batch) {
      this.#settled.push(delivery);
    } else {
      this.ask(SETTLED, ...delivery);
    }
  }

  /** A frame's text has come, over a socket or a stream. */
  heard(text) {
    this.#inTurn(() => this.#frame(text));
  }

  /** The socket or stream has ended. */
  over(code, reason) {
    this.#inTurn(() => this.tell(CLOSED, code, reason));
  }

  /** Dispatches what is left of a batch that was begun: as far as the page knows, it came whole. */
  finish() {
    if (!this.#batch || !this.#resting) return;
    this.#resting = false;
    this.#until = Infinity;
    this.#goOn();
    this.#resting = true;
  }

  #inTurn(work) {
    this.#waiting.push(work);
    if (this.#resting) return;
    const at = performance.now();
    // What follows at once may well be part of the same task.
    if (at - this.#ended > 1) this.#until = at + SLICE;
    this.#work();
  }

  #work() {
    while (this.#batch || this.#waiting.length) {
      if (performance.now() >= this.#until) return this.#rest();
      if (this.#batch) this.#goOn();
      else this.#waiting.shift()();
    }
    this.#ended = performance.now();
  }

  /** Goes on in a task of its own. Timers would come later, and in a tab that is not seen much later. */
  #rest() {
    const { port1, port2 } = new MessageChannel();
    this.#resting = true;
    port1.onmessage = () => {
      port1.close();
      this.#resting = false;
      this.#until = performance.now() + SLICE;
      this.#work();
    };
    port2.postMessage(0);
  }

  #frame(text) {
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
    const batch = this.#hear(FRAME, [known, body, text.length * 2]);
    if (batch) {
      const [topic, session] = batch;
      const { view, seq, entries } = body;
      this.#batch = { topic, text, session, view, seq, entries, next: 0, exceptions: [] };
      // Effects come after what is to be dispatched, which may itself bring about some.
      return;
    }
    this.#body = body;
    this.#obey();
    this.#body = undefined;
  }

  /** Goes on with the batch, to its end if there is time. */
  #goOn() {
    const { entries, exceptions } = this.#batch;
    this.#dispatch(this.#batch, () => this.#stretch());
    if (this.#batch.next < entries.length) return;
    this.#batch = undefined;
    this.#hear(DISPATCHED, [entries.length, exceptions]);
    for (const delivery of this.#settled.splice(0)) this.#hear(SETTLED, delivery);
    this.#obey();
  }

  /** How many events there is time for before the next look at the clock: a look costs little, but not nothing. */
  #stretch() {
    const at = performance.now();
    this.#stride = at - this.#looked < SLOW ? Math.min(this.#stride * 2, LOOK) : 1;
    this.#looked = at;
    return at < this.#until ? this.#stride : 0;
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
    while (this.#told.length) {
      const [what, ...rest] = this.#told.shift();
      this.#does[what](...rest);
    }
  }

  #connect() {
    // The old one, if there still is one, goes before the new one is heard.
    this.#drop(1000, "");
    let socket;
    try {
      socket = new WebSocket(this.#url, SUBPROTOCOL);
    } catch {
      this.tell(CLOSED, 1006, "the address is refused by the browser");
      return;
    }
    this.#socket = socket;
    socket.onopen = () => this.tell(OPENED);
    // The protocol has no binary messages.
    socket.onmessage = ({ data }) => typeof data === "string" && this.heard(data);
    socket.onclose = ({ code, reason }) => {
      this.#socket = undefined;
      this.over(code, reason);
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
