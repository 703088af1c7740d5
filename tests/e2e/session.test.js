// A session's life: its token's renewal, its end, and tabs whose timers sleep.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { launch, open, seen, until } from "./chromium.js";
import * as kafka from "./kafka.js";
import { proxyTo } from "./proxy.js";
import { bridge, carts, event, hasty, SKEW, tenant, token } from "./stage.js";

let browser;

before(async () => (browser = await launch()));
after(() => browser.close());

const put = (of, n) => kafka.kcat(carts, [[`${of}/cart`, event(of, "cart.add", { n })]]);
const told = (page) => page.evaluate(() => told);

/** Counts the sockets that a page opens. */
function sockets(page) {
  const opened = [];
  page.on("websocket", (socket) => opened.push(socket));
  return opened;
}

// Time itself is the subject here: these wait side by side.
describe("a session", { concurrency: true }, () => {
  test("outlives its first token, on the same socket", async () => {
    const of = tenant();
    const lifetimes = [7, 60];
    let fetched = 0;
    const page = await open(browser, bridge, () => token(of, { seconds: lifetimes[fetched++] }));
    const opened = sockets(page);
    await page.evaluate(() => follow("carts", "cart.add"));
    await put(of, 1);
    await seen(page, 1);
    await sleep((7 + SKEW) * 1000 + 500);
    await put(of, 2);
    assert.deepEqual(await seen(page, 2), [1, 2]);
    assert.deepEqual([fetched, opened.length, await told(page)], [2, 0, []]);
  });

  test("whose token could not be renewed ends with it, and is resumed with the next", async () => {
    const of = tenant();
    const tokens = [() => token(of, { seconds: 5 }), () => assert.fail("signed out"), () => token(of)];
    const page = await open(browser, bridge, () => tokens.shift()());
    await page.evaluate(() => follow("carts", "cart.add"));
    await put(of, 1);
    await seen(page, 1);
    await until(page, () => told.includes("reconnecting"));
    await put(of, 2);
    await until(page, () => told.includes("open"));
    await put(of, 3);
    assert.deepEqual(await seen(page, 3), [1, 2, 3]);
    assert.deepEqual([tokens.length, await told(page)], [0, ["reconnecting", "open"]]);
  });

  test("over a network that has fallen silent is given up, and resumed over another", async () => {
    const of = tenant();
    const proxy = await proxyTo(hasty);
    const page = await open(browser, proxy.origin, token(of));
    await page.evaluate(() => follow("carts", "cart.add"));
    await put(of, 1);
    await seen(page, 1);
    proxy.silence();
    await put(of, 2);
    await put(of, 3);
    assert.deepEqual(await seen(page, 3), [1, 2, 3]);
    assert.deepEqual(await told(page), ["reconnecting", "open"]);
    await page.close();
    await proxy.close();
  });

  test("ends for good when its token is of a wrong key", async () => {
    const of = tenant();
    const proxy = await proxyTo(bridge);
    const tokens = [token(of), token(of, { key: Buffer.from("not the key that bridges know, of 32") })];
    let fetched = 0;
    const page = await open(browser, proxy.origin, () => tokens[fetched++]);
    const opened = sockets(page);
    proxy.drop();
    await until(page, () => bus.state === "closed");
    assert.deepEqual(await told(page), ["reconnecting", "closed", "close invalid_token"]);
    // Longer than the first waits of one who would come back.
    await sleep(3000);
    assert.deepEqual([fetched, opened.length], [2, 1]);
    await page.close();
    await proxy.close();
  });

  test("a refused token is told to who connects", async () => {
    const wrong = token(tenant(), { key: Buffer.from("not the key that bridges know, of 32") });
    await assert.rejects(open(browser, bridge, wrong), /TidegateError.*token/);
  });

  test("of a tab whose timers sleep goes on", async () => {
    const of = tenant();
    // As in a background tab that the browser has stopped: nothing that is timed ever happens.
    const prepare = () => {
      const { setTimeout, setInterval } = globalThis;
      globalThis.asleep = false;
      globalThis.setTimeout = (...args) => (asleep ? 0 : setTimeout(...args));
      globalThis.setInterval = (...args) => (asleep ? 0 : setInterval(...args));
    };
    const page = await open(browser, hasty, token(of), { prepare });
    const opened = sockets(page);
    await page.evaluate(() => follow("carts", "cart.add"));
    await page.evaluate(() => (globalThis.asleep = true));
    // The hasty bridge pings each second, and closes after four more without an answer.
    await sleep(7000);
    await put(of, 1);
    await seen(page, 1);
    assert.deepEqual([opened.length, await told(page)], [0, []]);
    // And what became of the event is told all the same: the next ping takes it along.
    const observer = await open(browser, hasty, token("operations", { role: "operator" }));
    await observer.evaluate(() => bus.ledger({ groupBy: ["tenant"] }, ({ rows }) => (globalThis.rows = rows)).ready);
    await until(observer, (of) => globalThis.rows?.find(({ tenant }) => tenant === of)?.consumed === 1, of);
  });
});
