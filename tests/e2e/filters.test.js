// What a page asks for by type, by beginnings of types and by key is what comes, and nothing besides.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, seen, until } from "./chromium.js";
import * as kafka from "./kafka.js";
import { bridge, carts, event, tenant, token } from "./stage.js";

let browser;

before(async () => (browser = await launch()));
after(() => browser.close());

const TYPES = ["cart.add", "cart.line.add", "cart.drop", "carts.moved", "order.created"];

/** Puts one event of each type for each of these keys: numbered key by key. */
const put = (of, keys) =>
  kafka.kcat(carts, keys.flatMap((key, k) => TYPES.map((type, t) => [`${of}/${key}`, event(of, type, { n: k * 10 + t })])));

const transports = ["websocket", "stream"];

for (const transport of transports) {
  test(`types, their beginnings and keys, over a ${transport}`, async () => {
    const of = tenant();
    const page = await open(browser, bridge, token(of), { transport });
    await page.evaluate(async (types) => {
      // What the bus hears of is what came.
      for (const type of types) bus.addEventListener(type, (event) => seen.push(event.detail.n));
      await bus.subscribe("carts", { types: ["cart.*", "order.created"], keys: ["cart/1", "cart/3"] }).ready;
    }, TYPES);
    await put(of, ["cart/0", "cart/1", "cart/2", "cart/3"]);
    const came = await seen(page, 8);
    const byKey = (key) => came.filter((n) => Math.floor(n / 10) === key);
    assert.deepEqual([byKey(1), byKey(3), came.length], [[10, 11, 12, 14], [30, 31, 32, 34], 8]);
    const refused = await page.evaluate(() => {
      try {
        bus.subscribe("carts", { keys: ["cart/1"] });
      } catch (error) {
        return error.code;
      }
    });
    assert.equal(refused, "already_subscribed");
    // More types are asked for from where it stands: what came is not sent again.
    await page.evaluate(() => bus.subscribe("carts", { types: ["carts.*"], keys: ["cart/3", "cart/1"] }).ready);
    await put(of, ["cart/0", "cart/1"]);
    await seen(page, 13);
    await until(page, () => bus.state === "open");
    assert.deepEqual((await seen(page, 13)).slice(8), [10, 11, 12, 13, 14]);
    await page.close();
  });
}

test("a type that is none is refused, and the page goes on", async () => {
  const of = tenant();
  const page = await open(browser, bridge, token(of));
  const code = await page.evaluate(() => bus.subscribe("orders", { types: ["*"] }).ready.catch((error) => error.code));
  assert.equal(code, "malformed_frame");
  await page.evaluate(() => follow("carts", "cart.add"));
  await put(of, ["cart/0"]);
  assert.deepEqual(await seen(page, 1), [0]);
  await page.close();
});
