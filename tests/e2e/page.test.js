// The page's own idiom: targets, listeners, tabs.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { launch, open, seen, until } from "./chromium.js";
import * as kafka from "./kafka.js";
import { bridge, carts, event, numbers, tenant, token } from "./stage.js";

let browser;
let page;
let of;

before(async () => (browser = await launch()));
after(() => browser.close());

beforeEach(async () => {
  of = tenant();
  page = await open(browser, bridge, token(of));
});

afterEach(async () => {
  assert.deepEqual(page.violations, []);
  await page.close();
});

const put = (type, range) => kafka.kcat(carts, range.map((n) => [`${of}/cart`, event(of, type, { n })]));

test("events are dispatched onto document, an element or the window, as the page's own", async () => {
  await page.evaluate(async () => {
    const button = document.querySelector("#button");
    for (const [name, target] of Object.entries({ document, window, button })) {
      target.addEventListener("cart.add", (event) => {
        seen.push([name, event.target === target, event.detail.n, event instanceof client.TidegateEvent]);
      });
    }
    bus.addEventListener("cart.add", () => seen.push(["bus"]));
    const targets = [document, window, button];
    await Promise.all(targets.map((target) => bus.subscribe("carts", { target }).ready));
  });
  await put("cart.add", [1]);
  const rows = ["document", "window", "button"].map((name) => [name, true, 1, true]);
  assert.deepEqual(await seen(page, 3), rows);
});

test("listeners keep the platform's rules: once, signal, removal, objects, waitUntil", async () => {
  await page.evaluate(async () => {
    const controller = new AbortController();
    const removed = () => seen.push("removed");
    bus.addEventListener("cart.add", () => seen.push("once"), { once: true });
    bus.addEventListener("cart.add", () => seen.push("until aborted"), { signal: controller.signal });
    bus.addEventListener("cart.add", removed);
    bus.addEventListener("cart.add", { handleEvent: ({ detail }) => seen.push(`object ${detail.n}`) });
    bus.removeEventListener("cart.add", removed);
    bus.addEventListener("cart.add", (event) => {
      controller.abort();
      event.waitUntil(Promise.resolve().then(() => seen.push(`waited ${event.detail.n}`)));
    });
    await bus.subscribe("carts").ready;
  });
  await put("cart.add", [1, 2]);
  // A batch is dispatched whole, so promises follow.
  assert.deepEqual(await seen(page, 6), ["once", "until aborted", "object 1", "object 2", "waited 1", "waited 2"]);
});

test("two tabs of one user each see every event", async () => {
  const context = await browser.newContext();
  const tabs = await Promise.all([open(context, bridge, token(of)), open(context, bridge, token(of))]);
  await Promise.all(tabs.map((tab) => tab.evaluate(() => follow("carts", "cart.add"))));
  await put("cart.add", numbers(0, 100));
  for (const tab of tabs) {
    assert.deepEqual(await seen(tab, 100), numbers(0, 100));
    assert.deepEqual(await tab.evaluate(() => told), []);
  }
  await context.close();
});

test("a page that comes late begins where it asks to", async () => {
  await put("cart.add", numbers(0, 20));
  await page.evaluate(() => follow("carts", "cart.add", { from: "earliest" }));
  assert.deepEqual(await seen(page, 20), numbers(0, 20));
  const cursor = await page.evaluate(() => {
    const share = bus.subscribe("carts");
    return share.ready.then(() => share.cursor);
  });
  await page.evaluate(() => bus.close());
  await until(page, () => bus.state === "closed");
  await put("cart.add", numbers(20, 20));
  const next = await open(browser, bridge, token(of));
  await next.evaluate((cursor) => follow("carts", "cart.add", { from: { cursor } }), cursor);
  assert.deepEqual(await seen(next, 20), numbers(20, 20));
  await next.close();
});
