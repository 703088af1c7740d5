// A socket that breaks is resumed where it was: no gap, no duplicate, and the page is told.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, open, seen, until } from "./chromium.js";
import * as kafka from "./kafka.js";
import { proxyTo } from "./proxy.js";
import { bridge, carts, event, hasty, metrics, numbers, tenant, token } from "./stage.js";

let browser;
let proxy;
let page;
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
  page = await open(browser, proxy.origin, token(of));
  await page.evaluate(() => follow("carts", "cart.add"));
});

afterEach(async () => {
  await page.close();
  await proxy.close();
});

/** Puts numbered events of one key, so that their order is the log's. */
const put = (range, data = {}) => kafka.kcat(carts, range.map((n) => [`${of}/cart`, event(of, "cart.add", { n, ...data })]));

const states = () => page.evaluate(() => told);

/** Wakes a page that waits, as the browser does when the network is back. */
const online = () => page.evaluate(() => dispatchEvent(new Event("online")));

/** Cuts the network for so long, and sees that the page notices. */
async function cutFor(milliseconds, meanwhile) {
  proxy.cut();
  await Promise.all([meanwhile(), sleep(milliseconds)]);
  await until(page, () => told.includes("reconnecting"));
}

test("for a second", async () => {
  await put(numbers(0, 10));
  await seen(page, 10);
  await cutFor(1000, () => put(numbers(10, 10)));
  proxy.mend();
  await seen(page, 20);
  await put(numbers(20, 10));
  assert.deepEqual(await seen(page, 30), numbers(0, 30));
  assert.deepEqual(await states(), ["reconnecting", "open"]);
});

test("for so long that memory has forgotten: the log has not", async () => {
  // Another page keeps the feed live, so that what the first one misses passes through the window, and out of it.
  const other = await open(browser, hasty, token(of));
  await other.evaluate(() => follow("carts", "cart.add"));
  await put(numbers(0, 10));
  await seen(page, 10);
  await cutFor(3000, async () => {
    await put(numbers(10, 60), { filler: "x".repeat(50_000) });
    await put(numbers(70, 10));
    await seen(other, 80);
  });
  proxy.mend();
  await online();
  await seen(page, 80);
  await put(numbers(80, 10));
  assert.deepEqual(await seen(page, 90), numbers(0, 90));
  assert.deepEqual(await seen(other, 90), numbers(0, 90));
  assert.deepEqual(await states(), ["reconnecting", "open"]);
  await other.close();
});

test("and led to another node", async () => {
  await put(numbers(0, 10));
  await seen(page, 10);
  await cutFor(0, () => put(numbers(10, 10)));
  proxy.mend(bridge);
  await seen(page, 20);
  await put(numbers(20, 10));
  assert.deepEqual(await seen(page, 30), numbers(0, 30));
  assert.deepEqual(await states(), ["reconnecting", "open"]);
});

test("again and again, amid a stream", async () => {
  const count = 6000;
  const putting = put(numbers(0, count), { filler: "y".repeat(200) });
  for (const many of [50, 1500, 3000]) {
    await seen(page, many);
    proxy.drop();
  }
  await putting;
  assert.deepEqual(await seen(page, count), numbers(0, count));
  const told = await states();
  assert.deepEqual([...new Set(told)], ["reconnecting", "open"]);
});
