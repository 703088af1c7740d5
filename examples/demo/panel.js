// One tenant's panel: its connection, its listeners, and the events as they come.

import { LISTENERS } from "./listeners.js";
import { describe, invent } from "./orders.js";

const ROWS = 80;
const TOPICS = ["orders", "invoices", "carts"];
const TOPIC_OF = { "order.created": "orders", "order.paid": "orders", "invoice.ready": "invoices" };
const FAILED = new Set(["threw", "rejected", "timed out"]);
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });

export class Panel {
  #root;
  #tenant;
  #timeout;
  #bus;
  #tallies = { received: 0, consumed: 0, failed: 0, inFlight: 0, foreign: 0 };
  #outcomes = new Map();
  #published = new Set();
  #paused = false;

  constructor(parent, { tenant, user, product }, timeout) {
    this.#tenant = tenant;
    this.#timeout = timeout;
    const root = document.querySelector("#panel").content.cloneNode(true).firstElementChild;
    this.#root = root;
    root.dataset.tenant = tenant;
    root.setAttribute("aria-labelledby", `${tenant}-name`);
    const name = root.querySelector("h2");
    name.id = `${tenant}-name`;
    name.textContent = tenant;
    root.querySelector(".crest").textContent = tenant[0].toUpperCase();
    root.querySelector(".user").textContent = `signed in as ${user}`;
    root.querySelector(".product").textContent = product;
    this.#listListeners();
    this.#listenToButtons(product);
    parent.append(root);
  }

  /** Joins the panel to a bus that is open. */
  use(bus) {
    this.#bus = bus;
    this.state(bus.state);
    bus.addEventListener("state", ({ state, logAvailable }) => this.state(state, logAvailable));
    bus.addEventListener("error", ({ error }) => this.notice(error.message));
    for (const listener of LISTENERS) bus.addEventListener(listener.type, (event) => this.#handle(listener, event));
    for (const topic of TOPICS) {
      bus.subscribe(topic).ready.catch((error) => this.notice(`${topic}: ${error.message}`));
    }
    // The button dispatches an ordinary DOM event on the panel; the bus puts it onto the log.
    bus.forward(this.#root, "cart.add", {
      topic: "carts",
      map: ({ type, detail }) => ({ id: this.#own(), type, data: detail }),
    });
    for (const button of this.#root.querySelectorAll("[data-publish], .cart")) button.disabled = false;
  }

  /** Shows the connection's state. */
  state(state, logAvailable = true) {
    const badge = this.#root.querySelector(".state");
    const shown = state === "open" && !logAvailable ? "log away" : state;
    badge.dataset.state = shown;
    badge.textContent = shown;
    if (state === "open") this.notice("");
  }

  /** Shows a message, until an empty one. */
  notice(message) {
    const notice = this.#root.querySelector(".notice");
    notice.textContent = message;
    notice.hidden = !message;
  }

  /** Handles an event as a page would, and shows what became of it. */
  #handle({ type, handle }, event) {
    this.#add("received");
    if (event.envelope.tenant_id !== this.#tenant) {
      // Never, if the bridge does what it is for.
      this.#add("foreign");
      this.#root.querySelector(".foreign").classList.add("leak");
    }
    const row = this.#row(event);
    let settled = false;
    const settle = (outcome, reason) => {
      if (settled) return;
      settled = true;
      const failed = FAILED.has(outcome);
      this.#add(failed ? "failed" : "consumed");
      this.#outcome(type, failed);
      show(row, outcome, reason);
    };
    let result;
    try {
      result = handle(event);
    } catch (error) {
      settle("threw", error.message);
      throw error;
    }
    if (!result) return settle("consumed");
    this.#add("inFlight");
    show(row, "working");
    const late = setTimeout(() => done("timed out", `no answer in ${this.#timeout / 1000} s`), this.#timeout);
    const done = (outcome, reason) => {
      if (!settled) this.#add("inFlight", -1);
      clearTimeout(late);
      settle(outcome, reason);
    };
    result.then(() => done("consumed"), (error) => done("rejected", error.message));
    // What a listener returns counts as given to event.waitUntil().
    return result;
  }

  #row({ type, detail, envelope }) {
    const row = document.querySelector("#event").content.cloneNode(true).firstElementChild;
    const time = row.querySelector("time");
    time.dateTime = envelope.timestamp;
    time.textContent = CLOCK.format(new Date(envelope.timestamp));
    row.querySelector(".type").textContent = type;
    row.querySelector(".type").dataset.kind = type.split(".")[0];
    row.querySelector(".what").textContent = describe(type, detail);
    row.querySelector(".own").hidden = !this.#published.has(envelope.id);
    if (!this.#paused) {
      const list = this.#root.querySelector(".feed ol");
      list.prepend(row);
      while (list.childElementCount > ROWS) list.lastElementChild.remove();
      this.#root.querySelector(".empty").hidden = true;
    }
    return row;
  }

  #add(tally, by = 1) {
    this.#tallies[tally] += by;
    this.#root.querySelector(`[data-tally=${tally}]`).textContent = this.#tallies[tally].toLocaleString();
  }

  #outcome(type, failed) {
    const counts = this.#outcomes.get(type);
    counts[failed ? "failed" : "consumed"] += 1;
    counts.shown.textContent = `${counts.consumed} ✓`;
    counts.shownFailed.textContent = counts.failed ? `${counts.failed} ✕` : "";
  }

  #listListeners() {
    const list = this.#root.querySelector(".listeners ul");
    for (const { type, does } of LISTENERS) {
      const item = document.createElement("li");
      const [code, text, shown, shownFailed] = ["code", "span", "b", "b"].map((tag) => document.createElement(tag));
      code.textContent = type;
      text.textContent = does;
      shown.textContent = "0 ✓";
      shown.className = "good";
      shownFailed.className = "bad";
      item.append(code, text, shown, shownFailed);
      list.append(item);
      this.#outcomes.set(type, { consumed: 0, failed: 0, shown, shownFailed });
    }
  }

  #listenToButtons(product) {
    for (const button of this.#root.querySelectorAll("[data-publish]")) {
      button.disabled = true;
      button.addEventListener("click", () => this.#publish(button.dataset.publish));
    }
    const cart = this.#root.querySelector(".cart");
    cart.disabled = true;
    cart.addEventListener("click", () => {
      cart.dispatchEvent(new CustomEvent("cart.add", { bubbles: true, detail: { product, quantity: 1 } }));
    });
    const pause = this.#root.querySelector(".pause");
    pause.addEventListener("click", () => {
      this.#paused = !this.#paused;
      pause.setAttribute("aria-pressed", String(this.#paused));
    });
  }

  /** An id for an event of this page's own, so that its row can say so when it comes back. */
  #own() {
    const id = crypto.randomUUID();
    this.#published.add(id);
    return id;
  }

  async #publish(type) {
    const { key, data } = invent(type);
    try {
      await this.#bus.publish(TOPIC_OF[type], { id: this.#own(), type, data }, { key });
    } catch (error) {
      this.notice(`${type} was not published: ${error.message}`);
    }
  }
}

function show(row, outcome, reason) {
  const cell = row.querySelector(".outcome");
  row.dataset.outcome = outcome;
  cell.textContent = reason ? `${outcome}: ${reason}` : outcome;
}
