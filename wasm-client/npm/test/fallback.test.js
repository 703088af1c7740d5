// Pages behind a proxy that breaks WebSockets: they fall back to a stream, and come back from it.

import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { after, afterEach, before, beforeEach, test as run } from "node:test";
import { fileURLToPath } from "node:url";
import { install, launch, LONG, open, serve } from "./setup.js";

const test = (name, work) => run(name, { timeout: 2 * LONG }, work);
const here = dirname(fileURLToPath(import.meta.url));
let browser;
let client;
let web;
let page;
let loaded;

before(async () => {
  client = install();
  browser = await launch();
});

after(() => browser.close());

beforeEach(async () => {
  web = await serve({ "/client/": client, "/plain/": join(here, "plain") });
  page = await open(browser, `${web.origin}/plain/page.html`);
  loaded = [];
  page.on("request", (request) => loaded.push(new URL(request.url()).pathname));
});

afterEach(async () => {
  await page.close();
  await web.close();
});

const order = (id, type = "order.created") => ({ type, key: `order/${id}`, data: { id } });

const seen = async (count) => {
  await page.waitForFunction((count) => seen.length >= count, count, { polling: 10 });
  return page.evaluate(() => seen);
};

/** Connects, and notes the ids that come and the transport of each session. */
const follow = (connect) =>
  page.evaluate(async (connect) => {
    globalThis.told = [];
    await started(connect);
    told.push(bus.transport);
    bus.addEventListener("open", ({ transport }) => told.push(transport));
    bus.addEventListener("gap", () => told.push("gap"));
    bus.addEventListener("order.created", ({ detail }) => seen.push(detail.id));
    bus.addEventListener("order.paid", ({ detail }) => seen.push(detail.id));
    globalThis.subscription = bus.subscribe("orders", { types: ["order.created"] });
    await subscription.ready;
  }, connect);

const told = () => page.evaluate(() => told);

/** The subscriptions that the newest stream was asked for. */
const asked = () => web.bridge.streams.at(-1).slice(1).map(({ subscribe: { topic, types, from } }) => [topic, types, from]);

for (const proxy of [502, 400, "cut", "swallow"]) {
  test(`a proxy that ${proxy > 0 ? `answers ${proxy}` : `${proxy}s`}: receives, publishes, survives a cut, comes back`, async () => {
    web.bridge.proxy = proxy;
    await follow();
    assert.deepEqual(await told(), ["stream"]);
    assert.equal(web.bridge.upgrades, proxy === "swallow" ? 1 : 2);
    web.bridge.append("orders", order(1));
    assert.deepEqual(await seen(1), [1]);
    const published = await page.evaluate(() => bus.publish("orders", { type: "order.created", data: { id: 2 } }, { key: "order/2" }));
    const [{ topic, key, event, token, id }] = web.bridge.posts;
    assert.deepEqual([topic, key, event.data, token], ["orders", "order/2", { id: 2 }, "Bearer good"]);
    assert.deepEqual([id, published], [event.id, { id: event.id, correlationId: event.id }]);
    await seen(2);
    web.bridge.cut();
    web.bridge.append("orders", order(3), order(4));
    assert.deepEqual(await seen(4), [1, 2, 3, 4]);
    assert.deepEqual(await told(), ["stream", "stream"]);
    // The proxy has mended its ways. The network was away, so what was learnt of it is tried again.
    web.bridge.proxy = undefined;
    await page.evaluate(() => {
      bus.addEventListener("reconnecting", () => dispatchEvent(new Event("online")), { once: true });
    });
    web.bridge.cut();
    web.bridge.append("orders", order(5));
    assert.deepEqual(await seen(5), [1, 2, 3, 4, 5]);
    assert.deepEqual(await told(), ["stream", "stream", "websocket"]);
    await web.bridge.heard("report");
    assert.deepEqual([page.reported, page.violations], [[], []]);
  });
}

test("what is subscribed to grows and shrinks without gap or duplicate, and without the page being told", async () => {
  await follow({ transport: "stream" });
  web.bridge.append("orders", order(1), order(2, "order.paid"));
  await seen(1);
  await page.evaluate(async () => {
    globalThis.others = [bus.subscribe("orders", { types: ["order.paid"] }), bus.subscribe("carts")];
    await Promise.all(others.map(({ ready }) => ready));
  });
  assert.deepEqual(await asked(), [["orders", ["order.created", "order.paid"], { cursor: ["f0", "d2"] }], ["carts", undefined, undefined]]);
  web.bridge.append("orders", order(3, "order.paid"), order(4));
  assert.deepEqual(await seen(3), [1, 3, 4]);
  await page.evaluate(() => others.forEach((subscription) => subscription.close()));
  await web.bridge.heard("subscribe", () => web.bridge.streams.at(-1).length === 2);
  web.bridge.append("orders", order(5));
  assert.deepEqual(await seen(4), [1, 3, 4, 5]);
  assert.deepEqual(await told(), ["stream"]);
  assert.equal(web.bridge.sessions.size, 1);
});

test("refusals of publishes are errors with code and pointer; what gets no answer is unknown", async () => {
  await follow({ transport: "stream" });
  const codes = await page.evaluate(async () => [
    await bus.publish("orders", { data: 1 }).catch((e) => [e.code, e.retryable, e.pointer, e instanceof client.TidegateError]),
    await bus.publish("blackhole", { type: "order.viewed" }).catch((e) => [e.code, e.retryable]),
    await bus.publish("busy", { type: "order.viewed" }).catch((e) => [e.code, e.retryable, e.retryAfter]),
  ]);
  assert.deepEqual(codes, [["invalid_event", false, "/type", true], ["outcome_unknown", true], ["rate_limited", true, 250]]);
});

test("publishes of one key go out in their order", async () => {
  await follow({ transport: "stream" });
  await page.evaluate(() =>
    Promise.all(Array.from({ length: 40 }, (_, n) => bus.publish("carts", { type: "cart.add", data: n }, { key: `cart/${n % 2}` }))),
  );
  const posted = web.bridge.posts.map(({ key, event }) => [key, event.data]);
  for (const rest of [0, 1]) {
    const one = posted.filter(([key]) => key === `cart/${rest}`).map(([, n]) => n);
    assert.deepEqual(one, Array.from({ length: 20 }, (_, n) => n * 2 + rest));
  }
});

test("a refused token rejects connect, and a revoked session ends it", async () => {
  const error = await page.evaluate(async () => {
    await init();
    return client.connect(url, { token: () => "bad", transport: "stream" }).catch((e) => [e.code, e.retryable]);
  });
  assert.deepEqual(error, ["invalid_token", false]);
  await follow({ transport: "stream" });
  await page.evaluate(() => bus.addEventListener("close", ({ error }) => seen.push(error.code)));
  for (const session of web.bridge.sessions) session.socket.close(3503, "revoked");
  assert.deepEqual(await seen(1), ["revoked"]);
});

test("only who needs the stream's module loads it, and only WebSockets are used where nothing else is allowed", async () => {
  await follow();
  assert.deepEqual(await told(), ["websocket"]);
  assert.equal(loaded.filter((path) => path.endsWith("/stream.js")).length, 0);
  const refused = await page.evaluate(async () => client.connect(url, { token: () => "good", transport: "pigeon" }).catch((e) => e.name));
  assert.equal(refused, "TypeError");
  web.bridge.proxy = 502;
  await page.evaluate(() => {
    client.connect(url, { token: () => "good", transport: "websocket" }).then(() => seen.push("connected"));
  });
  const before = web.bridge.upgrades;
  while (web.bridge.upgrades < before + 4) await new Promise((resolve) => setTimeout(resolve, 20));
  web.bridge.proxy = undefined;
  assert.deepEqual(await seen(1), ["connected"]);
  assert.equal(web.bridge.streams.length, 0);
});
