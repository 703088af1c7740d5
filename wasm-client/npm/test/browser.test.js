// The packed tarball in Chromium: a plain page under a strict policy, a worker, and a Vite build.

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { after, afterEach, before, beforeEach, test as run } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { install, launch, LONG, open, serve } from "./setup.js";

const test = (name, work) => run(name, { timeout: 2 * LONG }, work);
const here = dirname(fileURLToPath(import.meta.url));
let browser;
let client;
let web;
let page;

before(async () => {
  client = install();
  browser = await launch();
});

after(() => browser.close());

beforeEach(async () => {
  web = await serve({ "/client/": client, "/plain/": join(here, "plain") });
  page = await open(browser, `${web.origin}/plain/page.html`);
});

afterEach(async () => {
  await page.close();
  await web.close();
});

const order = (id, type = "order.created") => ({ type, key: `order/${id}`, data: { id } });

/** Waits until the page has seen `count` things. */
const seen = async (count) => {
  await page.waitForFunction((count) => seen.length >= count, count, { polling: 10 });
  return page.evaluate(() => seen);
};

/** Waits until reports have told of `count` settled deliveries. */
const settled = async (count) => {
  const size = ([seq1, first, seq2, last]) => (seq1 === seq2 ? last - first + 1 : count);
  await web.bridge.heard("report", () => web.bridge.account().settled.reduce((sum, span) => sum + size(span), 0) >= count);
  return web.bridge.account();
};

const subscribed = (work = () => {}, argument) =>
  page.evaluate(
    async ([work, argument]) => {
      await started(argument?.connect);
      // The policy forbids `eval`; the test driver may.
      globalThis.note = (event) => seen.push(event.detail);
      globalThis.subscription = bus.subscribe("orders", argument?.subscribe);
      await subscription.ready;
    },
    [null, argument],
  ).then(() => page.evaluate(work));

test("using it before init() says so", async () => {
  const error = await page.evaluate(() => client.connect(url, { token: () => "good" }).catch((e) => [e.code, e.message]));
  assert.equal(error[0], "not_initialized");
  assert.match(error[1], /call init\(\) first/);
});

test("init is done once, and works under a strict policy", async () => {
  assert.equal(await page.evaluate(async () => (await Promise.all([init(), init()])) && init() === init()), true);
  assert.deepEqual(page.violations, []);
});

test("events are dispatched with all their parts", async () => {
  await subscribed(() => {
    bus.addEventListener("order.created", (e) =>
      seen.push([e.type, e.detail, e.topic, e.key, e.attempt, e.envelope.tenant_id, e.target === bus, e instanceof client.TidegateEvent]),
    );
  });
  web.bridge.append("orders", order(1));
  assert.deepEqual(await seen(1), [["order.created", { id: 1 }, "orders", "order/1", 1, "acme", true, true]]);
  const { dispatched, failed, unhandled } = await settled(1);
  assert.deepEqual([dispatched, failed, unhandled], [1, [], []]);
  assert.deepEqual(page.violations, []);
});

test("an event that is kept stays what it was, whatever was looked at before", async () => {
  await subscribed(() => {
    globalThis.kept = [];
    bus.addEventListener("order.created", (e) => {
      const { length } = kept;
      if (length === 1) e.detail.seen = true;
      if (length === 2) e.envelope.data.seen = true;
      if (length === 3) e.envelope.data = { id: "another" };
      kept.push({ event: e, detail: length === 1 && e.detail, envelope: length >= 2 && e.envelope });
      seen.push(e.type);
    });
  });
  web.bridge.append("orders", ...[1, 2, 3, 4].map((id) => order(id)));
  await seen(4);
  await settled(4);
  const parts = await page.evaluate(() => kept.map(({ event, detail, envelope }) => [
    event.detail, event.key, event.envelope.tenant_id, event.envelope.data === event.detail, event.envelope === event.envelope,
    !detail || event.detail === detail, !envelope || event.envelope === envelope,
  ]));
  const same = ["acme", true, true, true, true];
  assert.deepEqual(parts, [
    [{ id: 1 }, "order/1", ...same],
    [{ id: 2, seen: true }, "order/2", ...same],
    [{ id: 3, seen: true }, "order/3", ...same],
    [{ id: "another" }, "order/4", ...same],
  ]);
});

test("a refused token rejects connect and names the code", async () => {
  const error = await page.evaluate(async () => {
    await init();
    return client.connect(url, { token: () => "bad" }).catch((e) => [e.code, e.retryable, e instanceof client.TidegateError]);
  });
  assert.deepEqual(error, ["invalid_token", false, true]);
});

test("a type without a listener is unhandled, one without a dot is never dispatched", async () => {
  await subscribed(() => {
    bus.addEventListener("order.created", note);
    bus.addEventListener("open", () => seen.push("open"));
  });
  web.bridge.append("orders", order(1, "order.deleted"), order(2, "open"), order(3));
  assert.deepEqual(await seen(1), [{ id: 3 }]);
  assert.deepEqual((await settled(3)).unhandled, [[1, 0], [1, 1]]);
});

test("a throw fails the delivery, is reported, and does not stop others", async () => {
  await subscribed(() => {
    bus.addEventListener("order.created", (e) => {
      if (e.detail.id === 1) throw new Error("boom");
    });
    bus.addEventListener("order.created", note);
  });
  web.bridge.append("orders", order(1), order(2));
  assert.deepEqual(await seen(2), [{ id: 1 }, { id: 2 }]);
  const { failed, settled: spans } = await settled(2);
  assert.equal(failed.length, 1);
  assert.deepEqual([failed[0].at, failed[0].kind, failed[0].last], [[1, 0], "threw", true]);
  assert.match(failed[0].reason, /boom/);
  assert.deepEqual(spans, [[1, 0, 1, 1]]);
  assert.deepEqual(page.reported, ["boom"]);
});

test("a promise decides: returned or given to waitUntil, fulfilled, rejected, too late", async () => {
  await subscribed(
    () => {
      const after = (ms, work) => new Promise((resolve, reject) => setTimeout(() => work(resolve, reject), ms));
      bus.addEventListener("order.created", async (e) => {
        if (e.detail.id === 1) await after(20, (resolve) => resolve());
        if (e.detail.id === 2) throw new Error("returned");
      });
      bus.addEventListener("order.created", (e) => {
        if (e.detail.id === 3) e.waitUntil(after(20, (_, reject) => reject(new Error("given"))));
        if (e.detail.id === 4) e.waitUntil(after(5000, (resolve) => resolve()));
        if (e.detail.id === 5) globalThis.late = e;
      });
    },
    { connect: { handlerTimeout: 1000 } },
  );
  web.bridge.append("orders", ...[1, 2, 3, 4, 5].map((id) => order(id)));
  const { failed } = await settled(5);
  const outcomes = failed.map(({ at: [, ordinal], kind }) => [ordinal + 1, kind]).sort();
  assert.deepEqual(outcomes, [[2, "rejected"], [3, "rejected"], [4, "timed_out"]]);
  assert.match(failed.find(({ kind }) => kind === "rejected").reason, /returned|given/);
  assert.deepEqual(page.reported, ["returned"]);
  assert.equal(await page.evaluate(() => { try { late.waitUntil(Promise.resolve()); } catch (e) { return e.name; } }), "InvalidStateError");
  assert.equal(await page.evaluate(() => { try { late.respondWith(1); } catch (e) { return e.name; } }), "NotSupportedError");
});

test("wrapped listeners keep the platform's rules", async () => {
  await subscribed(() => {
    const twice = () => seen.push("same listener");
    bus.addEventListener("order.created", twice);
    bus.addEventListener("order.created", twice);
    bus.addEventListener("order.created", twice, { capture: true });
    const object = { name: "object", handleEvent() { seen.push(this.name); } };
    bus.addEventListener("order.created", object);
    bus.addEventListener("order.created", () => seen.push("once"), { once: true });
    const controller = new AbortController();
    bus.addEventListener("order.created", () => seen.push("never"), { signal: controller.signal });
    controller.abort();
    const removed = () => seen.push("never");
    bus.addEventListener("order.created", removed);
    bus.removeEventListener("order.created", removed);
    bus.addEventListener("order.created", null);
  });
  web.bridge.append("orders", order(1));
  assert.deepEqual(await seen(4), ["same listener", "same listener", "object", "once"]);
  web.bridge.append("orders", order(2));
  assert.deepEqual((await seen(7)).slice(4), ["same listener", "same listener", "object"]);
});

/** Follows orders with a listener that takes 2 ms, and every tenth time a promise. */
const slowly = () =>
  subscribed(() => {
    bus.addEventListener("order.created", ({ detail: { id } }) => {
      for (const until = performance.now() + 2; performance.now() < until; );
      seen.push(id);
      if (id % 10 === 0) return Promise.resolve();
    });
  });
const many = Array.from({ length: 100 }, (_, n) => n + 1);

test("a page with slow listeners paints meanwhile; order, promises and reports hold", async () => {
  await slowly();
  await page.evaluate(() => {
    globalThis.turns = new Set();
    requestAnimationFrame(function paint() {
      turns.add(seen.length);
      requestAnimationFrame(paint);
    });
  });
  web.bridge.append("orders", ...many.map((id) => order(id)));
  web.bridge.append("orders", order(101), order(102));
  assert.deepEqual(await seen(102), [...many, 101, 102]);
  const { dispatched, failed, unhandled, settled: spans } = await settled(102);
  assert.deepEqual([dispatched, failed, unhandled, spans], [2, [], [], [[1, 0, 2, 1]]]);
  const painted = await page.evaluate(() => [...turns].filter((count) => count > 0 && count < 100).length);
  assert.ok(painted >= 3, `it painted ${painted} times within a batch of 200 ms`);
});

test("a cursor and an end wait for nothing: what is left of a batch is dispatched first", async () => {
  for (const how of ["cursor", "close"]) {
    await slowly();
    web.bridge.append("orders", ...many.map((id) => order(id)));
    const [before, after] = await page.evaluate(async (how) => {
      while (!seen.length) await new Promise((resolve) => setTimeout(resolve));
      const before = seen.length;
      if (how === "cursor") subscription.cursor;
      else bus.close();
      const counts = [before, seen.length];
      bus.close();
      seen.length = 0;
      return counts;
    }, how);
    assert.ok(before < 100, `${how}: ${before} events came before the page had its turn`);
    assert.equal(after, 100, how);
  }
});

test("another target sees events; its throws count, and promises through waitUntil", async () => {
  await subscribed(() => {}, {});
  await page.evaluate(async () => {
    subscription.close();
    const element = document.querySelector("#element");
    await bus.subscribe("orders", { target: element, types: ["order.created"] }).ready;
    element.addEventListener("order.created", (e) => {
      seen.push([e.detail, e.target === element]);
      if (e.detail.id === 1) throw new Error("on element");
      if (e.detail.id === 2) e.waitUntil(Promise.reject(new Error("given")));
    });
    bus.addEventListener("order.created", () => seen.push("not the bus"));
  });
  web.bridge.append("orders", order(1), order(2), order(3));
  assert.deepEqual(await seen(3), [[{ id: 1 }, true], [{ id: 2 }, true], [{ id: 3 }, true]]);
  const { failed } = await settled(3);
  assert.deepEqual(failed.map(({ at, kind }) => [at[1], kind]), [[0, "threw"], [1, "rejected"]]);
  assert.deepEqual(page.reported, ["on element"]);
});

test("publish answers with ids; refusals are errors with code and pointer", async () => {
  const answers = await subscribed(async () => {
    const { id, correlationId } = await bus.publish("orders", { type: "order.viewed", data: { id: 7 } }, { key: "order/7" });
    const refused = await bus.publish("orders", { data: 1 }).catch((e) => [e.code, e.retryable, e.pointer, e instanceof Error]);
    const unknown = await bus.publish("blackhole", { type: "order.viewed" }).catch((e) => [e.code, e.retryable]);
    const busy = await bus.publish("busy", { type: "order.viewed" }).catch((e) => [e.code, e.retryable, e.retryAfter]);
    return { id, correlationId, refused, unknown, busy };
  });
  const sent = await web.bridge.heard("publish");
  assert.deepEqual([sent.topic, sent.key, sent.event.data], ["orders", "order/7", { id: 7 }]);
  assert.match(sent.event.id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/);
  assert.deepEqual([answers.id, answers.correlationId], [sent.event.id, sent.event.id]);
  assert.deepEqual(answers.refused, ["invalid_event", false, "/type", true]);
  assert.deepEqual(answers.unknown, ["outcome_unknown", true]);
  assert.deepEqual(answers.busy, ["rate_limited", true, 250]);
});

test("echo: false keeps back what this client published, and counts it as consumed", async () => {
  await subscribed(
    async () => {
      bus.addEventListener("order.created", note);
      await bus.publish("orders", { type: "order.created", data: { id: 1 } });
    },
    { subscribe: { echo: false } },
  );
  web.bridge.append("orders", order(2));
  assert.deepEqual(await seen(1), [{ id: 2 }]);
  assert.deepEqual((await settled(2)).unhandled, []);
});

test("forward publishes the page's own events and never what the bus dispatched", async () => {
  await subscribed(
    () => {
      globalThis.forwarding = bus.forward(document, "cart.add", { topic: "orders", key: (e) => e.detail.key });
      document.addEventListener("cart.add", (e) => seen.push(e.constructor.name));
      document.dispatchEvent(new CustomEvent("cart.add", { detail: { key: "cart/1" } }));
    },
    { subscribe: { target: undefined } },
  );
  await page.evaluate(() => bus.subscribe("orders", { target: document }).ready);
  const { topic, key, event } = await web.bridge.heard("publish");
  assert.deepEqual([topic, key, event.type, event.data], ["orders", "cart/1", "cart.add", { key: "cart/1" }]);
  web.bridge.append("orders", { type: "cart.add", data: {} });
  assert.ok((await seen(2)).includes("TidegateEvent"));
  await page.evaluate(() => {
    forwarding.close();
    document.dispatchEvent(new CustomEvent("cart.add", { detail: {} }));
  });
  await page.evaluate(() => bus.publish("orders", { type: "order.viewed" }));
  assert.equal(web.bridge.said.filter((frame) => frame.publish?.event.type === "cart.add").length, 1);
});

test("components share a subscription; the last close ends it; a refusal is told", async () => {
  await subscribed(async () => {
    const second = bus.subscribe("orders");
    await second.ready;
    subscription.close();
    globalThis.second = second;
    bus.addEventListener("error", ({ error }) => seen.push(error.code));
    seen.push(await bus.subscribe("secret").ready.catch((e) => e.code));
    try {
      bus.subscribe("orders", { from: "earliest" });
    } catch (e) {
      seen.push(e.code);
    }
  });
  assert.deepEqual((await seen(3)).sort(), ["already_subscribed", "denied", "denied"]);
  assert.equal(web.bridge.said.filter((frame) => frame.subscribe?.topic === "orders").length, 1);
  assert.equal(web.bridge.said.filter((frame) => frame.unsubscribe).length, 0);
  await page.evaluate(() => second.close());
  await web.bridge.heard("unsubscribe");
});

test("types by their beginnings, and keys, are asked for; a listener sees what any component asked for", async () => {
  await subscribed(
    async () => {
      for (const type of ["order.created", "order.line.added", "cart.add"]) bus.addEventListener(type, note);
      await bus.subscribe("orders", { types: ["cart.add", "order.created"], keys: ["order/2", "order/1"] }).ready;
      for (const options of [{}, { keys: ["order/1"] }]) {
        try {
          bus.subscribe("orders", options);
        } catch (e) {
          seen.push(e.code);
        }
      }
    },
    { subscribe: { types: ["order.*"], keys: ["order/1", "order/2"] } },
  );
  const asked = web.bridge.said.filter((frame) => frame.subscribe).map(({ subscribe: { types, keys } }) => [types, keys]);
  const keys = ["order/1", "order/2"];
  assert.deepEqual(asked, [[["order.*"], keys], [["order.*", "cart.add"], keys]]);
  web.bridge.append("orders", order(1), order(3), order(2, "order.line.added"), order(1, "cart.add"), order(1, "cart.drop"));
  assert.deepEqual(await seen(5), ["already_subscribed", "already_subscribed", { id: 1 }, { id: 2 }, { id: 1 }]);
});

test("another target sees only the types that its component asked for", async () => {
  await subscribed(
    async () => {
      bus.addEventListener("order.created", note);
      document.addEventListener("order.created", () => seen.push("not asked for"));
      document.addEventListener("cart.add", note);
      await bus.subscribe("orders", { types: ["cart.*"], target: document }).ready;
    },
    { subscribe: { types: ["order.*"] } },
  );
  web.bridge.append("orders", order(1), order(2, "cart.add"));
  assert.deepEqual(await seen(2), [{ id: 1 }, { id: 2 }]);
});

test("a cut socket is resumed by cursor, without gap or duplicate", async () => {
  await subscribed(() => {
    bus.addEventListener("order.created", (e) => seen.push(e.detail.id));
    globalThis.states = [];
    bus.addEventListener("state", (e) => states.push(e.state));
    bus.addEventListener("reconnecting", (e) => states.push(typeof e.delay, e.error.code));
  });
  web.bridge.append("orders", order(1));
  await seen(1);
  const cursor = await page.evaluate(() => subscription.cursor);
  web.bridge.cut();
  web.bridge.append("orders", order(2), order(3));
  assert.deepEqual(await seen(3), [1, 2, 3]);
  const states = await page.evaluate(() => states);
  assert.deepEqual([states[0], states.at(-1)], ["reconnecting", "open"]);
  assert.ok(states.includes("number"));
  const again = await web.bridge.heard("subscribe", ({ from }) => from?.cursor);
  assert.deepEqual(again.from.cursor, ["f0", "d1"]);
  assert.equal(cursor, "f0,d1");
});

test("close reports what there is, rejects what waits, and ends", async () => {
  await subscribed(() => bus.addEventListener("order.created", note));
  web.bridge.append("orders", order(1));
  await seen(1);
  const closed = await page.evaluate(async () => {
    const done = new Promise((resolve) => bus.addEventListener("close", (e) => resolve(String(e.error))));
    bus.close();
    const refused = await bus.publish("orders", { type: "a.b" }).catch((e) => e.code);
    return [await done, bus.state, refused];
  });
  assert.deepEqual(closed, ["undefined", "closed", "closed"]);
  assert.equal((await settled(1)).dispatched, 1);
});

test("the ledger is called back with each node's totals", async () => {
  await subscribed(() => bus.ledger({ groupBy: ["tenant", "topic"] }, (report) => seen.push(report.rows[0])));
  assert.deepEqual(await seen(1), [{ tenant: "acme", topic: "orders", received: 3, consumed: 3 }]);
  assert.deepEqual((await web.bridge.heard("subscribe", ({ topic }) => topic === "$ledger")).group_by, ["tenant", "topic"]);
});

test("what a page asks with may use the bus while it is looked at", async () => {
  await subscribed(() => {
    const get = () => (bus.subscribe("invoices"), "type");
    bus.ledger({ groupBy: Object.defineProperty([], 0, { get, enumerable: true }) }, () => {});
  });
  assert.deepEqual((await web.bridge.heard("subscribe", ({ topic }) => topic === "$ledger")).group_by, ["type"]);
  await web.bridge.heard("subscribe", ({ topic }) => topic === "invoices");
});

test("pings are answered", async () => {
  await subscribed();
  web.bridge.send({ ping: {} });
  await web.bridge.heard("pong");
});

test("what comes later says so", async () => {
  const codes = await subscribed(async () => {
    const request = await bus.request("orders", { command: "approve" }).catch((e) => e.code);
    try {
      bus.respond("approve", () => {});
    } catch (e) {
      return [request, e.code];
    }
  });
  assert.deepEqual(codes, ["unsupported", "unsupported"]);
});

test("works in a worker", async () => {
  await page.evaluate(() => {
    globalThis.worker = new Worker("worker.js", { type: "module" });
    worker.onmessage = ({ data }) => seen.push(data);
  });
  await seen(1);
  web.bridge.append("orders", order(5));
  assert.deepEqual(await seen(2), ["ready", { id: 5 }]);
});

test("works in a Vite build", async () => {
  const out = join(here, "../../../target/npm/vite");
  await build({ root: join(here, "vite"), logLevel: "error", build: { outDir: out, emptyOutDir: true, target: "es2022" } });
  const built = await serve({ "/": out });
  const vite = await open(browser, `${built.origin}/index.html`);
  built.bridge.append("orders", order(9));
  await vite.waitForFunction(() => seen.length, null, { polling: 10 });
  assert.deepEqual(await vite.evaluate(() => seen), [{ id: 9 }]);
  assert.deepEqual(vite.violations, []);
  await vite.close();
  await built.close();
});
