// Records that others put onto Kafka arrive in page code: all of them, in order per partition, at their tenant only.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, until } from "./chromium.js";
import * as kafka from "./kafka.js";
import { bridge, carts, event, numbers, orders, ordersOfAll, tenant, token } from "./stage.js";

const PARTITIONS = numbers(0, 4);
let browser;

before(async () => (browser = await launch()));
after(() => browser.close());

/** A page of a tenant that notes the id of whatever comes on a topic. */
async function reader(of, topic) {
  const page = await open(browser, bridge, token(of));
  await page.evaluate(async (topic) => {
    for (const type of ["order.created", "order.paid", "cart.add", "test.last"]) {
      bus.addEventListener(type, ({ envelope, key }) => seen.push([envelope.id, envelope.tenant_id, key]));
    }
    await bus.subscribe(topic).ready;
  }, topic);
  return page;
}

/** Ends each partition of a topic with an event of the tenant's, and waits until its page has seen all of them. */
async function ended(page, of, topic, key) {
  const last = PARTITIONS.map(() => event(of, "test.last", {}));
  await Promise.all(last.map((one, partition) => kafka.kcat(topic, [[key, one]], partition)));
  const ids = last.map(({ id }) => id);
  await until(page, (ids) => ids.every((id) => seen.some(([one]) => one === id)), ids);
  return page.evaluate(() => seen);
}

/** Asserts that what a page saw is what lies on the topic for its tenant, in each partition's order. */
function assertWhole(seen, records, of, prefix = "") {
  assert.deepEqual([...new Set(seen.map(([, tenant]) => tenant))], [of]);
  const partitionOf = new Map(records.map(({ event, partition }) => [event.id, partition]));
  for (const partition of PARTITIONS) {
    const there = records.filter((record) => record.partition === partition && record.event.tenant_id === of);
    const came = seen.filter(([id]) => partitionOf.get(id) === partition);
    assert.deepEqual(came.map(([id, , key]) => [id, key]), there.map(({ event, key }) => [event.id, key.slice(prefix.length)]));
  }
  assert.equal(seen.length, records.filter(({ event }) => event.tenant_id === of).length);
}

test("a topic for each tenant, written by kcat, Java and Python", async () => {
  const [acme, globex] = await Promise.all([reader("acme", "orders"), reader("globex", "orders")]);
  const made = (of, first) => numbers(first, 50).map((n) => [`order/${n % 7}`, event(of, "order.created", { n })]);
  await Promise.all([
    kafka.kcat(orders("acme"), made("acme", 0)),
    kafka.java(orders("acme"), made("acme", 100)),
    kafka.python(ordersOfAll, "acme", 50),
    kafka.kcat(orders("globex"), made("globex", 0)),
  ]);
  const ofAcme = await ended(acme, "acme", orders("acme"), "order/1");
  const ofGlobex = await ended(globex, "globex", orders("globex"), "order/1");
  assertWhole(ofAcme, await kafka.read(orders("acme")), "acme");
  assertWhole(ofGlobex, await kafka.read(orders("globex")), "globex");
  assert.ok(ofAcme.length >= 50 + 50 + 50 + PARTITIONS.length);
  assert.deepEqual([acme.violations, acme.uncaught], [[], []]);
});

test("a topic that tenants share", async () => {
  const [a, b] = [tenant(), tenant()];
  const [ofA, ofB] = await Promise.all([reader(a, "carts"), reader(b, "carts")]);
  const mixed = numbers(0, 200).map((n) => [a, b][n % 2]).map((of, n) => [`${of}/cart/${n % 9}`, event(of, "cart.add", { n })]);
  await Promise.all([kafka.kcat(carts, mixed.slice(0, 100)), kafka.java(carts, mixed.slice(100))]);
  const seenByA = await ended(ofA, a, carts, `${a}/cart/0`);
  const seenByB = await ended(ofB, b, carts, `${b}/cart/0`);
  const records = (await kafka.read(carts)).filter(({ event }) => event);
  // Pages have the key as they would publish it: the tenant before it is the topic's business.
  assertWhole(seenByA, records, a, `${a}/`);
  assertWhole(seenByB, records, b, `${b}/`);
});
