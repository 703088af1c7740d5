// Pages behind a proxy that breaks WebSockets: a stream over HTTP brings them what a socket would, no more and no less.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, open, seen, until } from "./chromium.js";
import * as kafka from "./kafka.js";
import { proxyTo } from "./proxy.js";
import { bridge, carts, event, hasty, metrics, numbers, SKEW, tenant, token } from "./stage.js";

let browser;
let proxy;
let of;

before(async () => (browser = await launch()));

after(async () => {
  await browser.close();
  for (const node of [bridge, hasty]) {
    const imbalance = (await metrics(node)).filter(([name]) => name === "tidegate_ledger_imbalance");
    assert.deepEqual(imbalance, [["tidegate_ledger_imbalance", 0]], node);
  }
});

beforeEach(async () => {
  of = tenant();
  proxy = await proxyTo(hasty);
});

afterEach(() => proxy.close());

/** Puts numbered events of one key, so that their order is the log's. */
const put = (range, data = {}) => kafka.kcat(carts, range.map((n) => [`${of}/cart`, event(of, "cart.add", { n, ...data })]));

/** A page behind the proxy that follows the carts. */
async function follower(tokens = token(of)) {
  const page = await open(browser, proxy.origin, tokens);
  await page.evaluate(() => follow("carts", "cart.add"));
  return page;
}

const transport = (page) => page.evaluate(() => bus.transport);

/** Wakes a page that waits, as the browser does when the network is back. */
const online = (page) => page.evaluate(() => dispatchEvent(new Event("online")));

for (const fate of [502, 400, "cut", "swallow"]) {
  test(`a proxy that ${fate > 0 ? `answers ${fate}` : `${fate}s`}`, async () => {
    proxy.upgrades(fate);
    const page = await follower();
    assert.equal(await transport(page), "stream");
    await put(numbers(0, 10));
    await seen(page, 10);
    const { id } = await page.evaluate(() => bus.publish("carts", { type: "cart.add", data: { n: 10 } }, { key: "cart" }));
    await seen(page, 11);
    const [{ key, event: written }] = (await kafka.read(carts)).filter(({ event }) => event?.id === id);
    assert.deepEqual([key, written.requester, written.tenant_id], [`${of}/cart`, undefined, of]);
    // Cut off, it resumes as a stream; led past the proxy, as a socket.
    proxy.cut();
    await put(numbers(11, 10));
    await until(page, () => told.includes("reconnecting"));
    proxy.mend();
    await seen(page, 21);
    assert.equal(await transport(page), "stream");
    proxy.upgrades(undefined);
    for (let tries = 0; (await transport(page)) !== "websocket"; tries++) {
      // A page that comes back by itself before it is told that the network was away goes on as it did.
      assert.ok(tries < 5, "it never tries a socket again");
      proxy.cut();
      if (tries === 0) await put(numbers(21, 10));
      await until(page, () => told.at(-1) === "reconnecting");
      proxy.mend();
      await online(page);
      await until(page, () => told.at(-1) === "open");
    }
    await seen(page, 31);
    await put(numbers(31, 10));
    assert.deepEqual(await seen(page, 41), numbers(0, 41));
    const told = await page.evaluate(() => told);
    assert.deepEqual([[...new Set(told)].sort(), page.uncaught, page.violations], [["open", "reconnecting"], [], []]);
    await page.close();
  });
}

test("cut again and again amid a stream of events", async () => {
  proxy.upgrades(502);
  const page = await follower();
  const count = 6000;
  const putting = put(numbers(0, count), { filler: "y".repeat(200) });
  for (const many of [50, 1500, 3000]) {
    await seen(page, many);
    proxy.drop();
  }
  await putting;
  assert.deepEqual(await seen(page, count), numbers(0, count));
  assert.equal(await transport(page), "stream");
  await page.close();
});

test("subscriptions that grow and shrink amid a stream of events", async () => {
  proxy.upgrades(502);
  const page = await open(browser, proxy.origin, token(of));
  await page.evaluate(() => follow("carts", "cart.add", { types: ["cart.add"] }));
  const count = 4000;
  const putting = put(numbers(0, count), { filler: "y".repeat(200) });
  for (let n = 0; n < 8; n++) {
    await page.evaluate(async (n) => {
      globalThis.other?.close();
      globalThis.other = bus.subscribe("carts", { types: [`other.t${n}`] });
      await other.ready;
    }, n);
  }
  await putting;
  assert.deepEqual(await seen(page, count), numbers(0, count));
  assert.deepEqual(await page.evaluate(() => told), []);
  await page.close();
});

test("a stream outlives its first token, and the page is not told", async () => {
  proxy.upgrades(502);
  const lifetimes = [60, 60, 7, 60];
  let fetched = 0;
  const page = await follower(() => token(of, { seconds: lifetimes[fetched++] ?? 60 }));
  await put([0]);
  await seen(page, 1);
  await sleep((7 + SKEW) * 1000 + 500);
  await put([1]);
  assert.deepEqual(await seen(page, 2), [0, 1]);
  assert.deepEqual([fetched, await page.evaluate(() => told)], [4, []]);
  await page.close();
});
