// What became of each delivery, read from the dashboard's page.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { dashboard, launch, open, until } from "./chromium.js";
import * as kafka from "./kafka.js";
import { bridge, carts, event, metrics, tenant, token } from "./stage.js";

let browser;

before(async () => (browser = await launch()));
after(() => browser.close());

/** Waits until some counts of a line are as they should be; fails with what they are. */
async function line(page, testId, wanted) {
  const read = ([testId, names]) => {
    const cells = names.map((name) => document.querySelector(`[data-testid="${testId}"] [data-col="${name}"]`));
    return Object.fromEntries(cells.map((cell, n) => [names[n], cell && Number(cell.textContent)]));
  };
  const names = Object.keys(wanted);
  const cell = `[data-testid="${testId}"] [data-col=`;
  await until(
    page,
    ([cell, wanted]) => wanted.every(([name, count]) => document.querySelector(`${cell}"${name}"]`)?.textContent === String(count)),
    [cell, Object.entries(wanted)],
  ).catch(() => {});
  assert.deepEqual(await page.evaluate(read, [testId, names]), wanted, testId);
}

/** The dashboard, which notes whenever it says that the ledger does not balance. */
async function watched() {
  const board = await dashboard(browser, bridge, token("operations", { role: "operator" }));
  await board.evaluate(() => {
    globalThis.imbalances = [];
    const balance = document.querySelector('[data-testid="balance"]');
    const look = () => balance.dataset.balanced === "true" || imbalances.push(balance.textContent);
    new MutationObserver(look).observe(balance, { attributes: true });
    look();
  });
  return board;
}

async function assertBalanced(board) {
  assert.deepEqual(await board.evaluate(() => [imbalances, document.querySelectorAll(".broken").length]), [[], 0]);
}

test("failed and given up, or consumed, and the ledger balances all the way", async () => {
  const of = tenant();
  const board = await watched();
  const page = await open(browser, bridge, token(of), { handlerTimeout: 2000 });
  await page.evaluate(async () => {
    const forever = new Promise(() => {});
    const soon = () => new Promise((resolve) => setTimeout(resolve, 20));
    bus.addEventListener("will.throw", () => {
      throw new Error("thrown");
    });
    bus.addEventListener("will.reject", async () => {
      throw new Error("rejected");
    });
    bus.addEventListener("will.hang", () => forever);
    bus.addEventListener("will.wait", (event) => event.waitUntil(soon()));
    bus.addEventListener("will.settle", () => {});
    await bus.subscribe("carts").ready;
  });
  const types = ["will.throw", "will.reject", "will.hang", "will.wait", "will.settle", "will.nothing"];
  const twice = [...types, ...types];
  await kafka.kcat(carts, twice.map((type, n) => [`${of}/cart/${n % 3}`, event(of, type, {})]));
  await kafka.kcatRaw(carts, `${of}/cart/1`, null);
  await kafka.kcatRaw(carts, `${of}/cart/1`, "no event at all");

  const row = (type) => `row-${of}-carts-${type}-`;
  const failed = { received: 2, consumed: 0, failed: 2, given_up: 2, in_flight: 0 };
  const consumed = { received: 2, consumed: 2, failed: 0, given_up: 0, in_flight: 0 };
  for (const type of ["will.throw", "will.reject", "will.hang"]) await line(board, row(type), failed);
  for (const type of ["will.wait", "will.settle", "will.nothing"]) await line(board, row(type), consumed);

  // The page is told as well: nothing is swallowed.
  assert.deepEqual(page.uncaught.toSorted(), ["rejected", "rejected", "thrown", "thrown"]);

  // The figures of the whole node are those of its metrics, once each has heard of what went before.
  const sum = (samples, name, label = "") => samples.filter(([of]) => of.startsWith(name) && of.includes(label)).reduce((sum, [, count]) => sum + count, 0);
  const kinds = ["received", "consumed", "failed", "given_up", "abandoned"];
  const shown = () => Promise.all(kinds.map((kind) => board.getByTestId(`total-${kind}`).textContent().then(Number)));
  const deadline = Date.now() + 60_000;
  for (;;) {
    const samples = await metrics(bridge);
    assert.equal(sum(samples, "tidegate_ledger_imbalance"), 0);
    const counted = kinds.map((kind) => sum(samples, "tidegate_deliveries_total{", `kind="${kind}"`));
    const figures = await shown();
    if (isDeepStrictEqual(figures, counted)) break;
    if (Date.now() > deadline) assert.deepEqual(figures, counted, kinds.join(", "));
    await sleep(100);
  }

  // Law 3, by what really lies on the topic.
  const records = await kafka.read(carts);
  const read = { tombstones: records.filter(({ event }) => event === null).length, quarantined: records.filter(({ event }) => event === undefined).length };
  assert.deepEqual(read, { tombstones: 1, quarantined: 1 });
  await line(board, "topic-carts", read);
  const [all, events] = await board.evaluate(() => {
    const cell = (name) => Number(document.querySelector(`[data-testid="topic-carts"] [data-col="${name}"]`).textContent);
    return [cell("records"), cell("events")];
  });
  assert.equal(all, events + 2);
  await assertBalanced(board);
  await Promise.all([page.close(), board.close()]);
});

test("in flight while a listener works, abandoned when its page goes", async () => {
  const of = tenant();
  const board = await watched();
  const page = await open(browser, bridge, token(of));
  await page.evaluate(() => {
    bus.addEventListener("will.hang", () => new Promise(() => {}));
    return bus.subscribe("carts").ready;
  });
  await kafka.kcat(carts, [1, 2, 3].map((n) => [`${of}/cart/${n}`, event(of, "will.hang", {})]));
  const row = `row-${of}-carts-will.hang-`;
  await line(board, row, { received: 3, consumed: 0, in_flight: 3, abandoned: 0 });
  await page.close();
  await line(board, row, { received: 3, consumed: 0, in_flight: 0, abandoned: 3 });
  await assertBalanced(board);
  await board.close();
});
