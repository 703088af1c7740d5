// What page code publishes lies on Kafka as any backend would want to find it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open } from "./chromium.js";
import * as kafka from "./kafka.js";
import { bridge, carts, event, numbers, tenant, token } from "./stage.js";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;
const UTC = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/;
let browser;
let page;
let of;

before(async () => (browser = await launch()));
after(() => browser.close());

const written = async (id) => (await kafka.read(carts)).filter(({ event }) => event?.id === id);

test("a page on its way out", async (t) => {
  of = tenant();
  page = await open(browser, bridge, token(of), { client: "the-page" });

  await t.test("an event is stamped, keyed and has headers", async () => {
    const before = Date.now();
    const { id, correlationId } = await page.evaluate(() =>
      bus.publish("carts", {
        type: "cart.add",
        tenant_id: "globex",
        requester: "somebody else",
        action: { command: "add", target: "cart/1" },
        data: { item: "Æble" },
        agreed: [1.5e300, "kept"],
      }),
    );
    const [{ key, headers, event }, ...more] = await written(id);
    assert.deepEqual(more, []);
    assert.match(id, UUID_V7);
    assert.equal(correlationId, id);
    assert.match(event.timestamp, UTC);
    assert.ok(Math.abs(Date.parse(event.timestamp) - before) < 60_000, event.timestamp);
    const { timestamp, ...rest } = event;
    assert.deepEqual(rest, {
      version: "1.0",
      id,
      type: "cart.add",
      correlation_id: id,
      tenant_id: of,
      requester: `user-of-${of}`,
      action: { command: "add", target: "cart/1" },
      data: { item: "Æble" },
      agreed: [1.5e300, "kept"],
    });
    assert.equal(key, `${of}/cart/1`);
    assert.deepEqual(headers, {
      tg_id: id,
      tg_type: "cart.add",
      tg_tenant: of,
      tg_correlation_id: id,
      tg_client: "the-page",
      "content-type": "application/json",
    });
  });

  await t.test("an event of the page's own DOM is forwarded, and what came from the bus is not", async () => {
    const { ids, dispatched } = await page.evaluate(async () => {
      const button = document.querySelector("#button");
      await bus.subscribe("carts", { target: button, types: ["cart.remove"] }).ready;
      const options = { bubbles: true, detail: { cart: "cart/2" } };
      const forwarding = bus.forward(document, "cart.remove", { topic: "carts", key: ({ detail }) => detail.cart });
      const ids = [];
      let dispatched = 0;
      const came = new Promise((resolve) => {
        button.addEventListener("cart.remove", (event) => {
          dispatched++;
          if (event.envelope) ids.push(event.envelope.id);
          if (ids.length === 2) resolve();
        });
      });
      // The second is there only after the first, had that been forwarded again, was.
      button.dispatchEvent(new CustomEvent("cart.remove", options));
      button.dispatchEvent(new CustomEvent("cart.remove", options));
      await came;
      await bus.publish("carts", { type: "cart.checked", data: {} });
      forwarding.close();
      return { ids, dispatched };
    });
    assert.equal(dispatched, 4);
    const all = (await kafka.read(carts)).filter(({ event }) => event?.tenant_id === of && event.type === "cart.remove");
    assert.deepEqual(all.map(({ event }) => event.id).sort(), ids.sort());
    for (const { key, event } of all) {
      assert.equal(key, `${of}/cart/2`);
      assert.deepEqual(event.data, { cart: "cart/2" });
      assert.equal(event.requester, undefined);
    }
  });

  await t.test("a key has the partition that Java's producer gives it", async () => {
    const keys = numbers(0, 24).map((n) => `cart/${n}/å`);
    const ids = await page.evaluate(async (keys) => {
      const sent = await Promise.all(keys.map((key) => bus.publish("carts", { type: "cart.by-page" }, { key })));
      return sent.map(({ id }) => id);
    }, keys);
    await kafka.java(carts, keys.map((key) => [`${of}/${key}`, event(of, "cart.by-java", {})]));
    const records = await kafka.read(carts);
    const place = (type) =>
      records.filter(({ event }) => event?.tenant_id === of && event.type === type).map(({ key, partition }) => [key, partition]).sort();
    assert.deepEqual(place("cart.by-page"), place("cart.by-java"));
    assert.deepEqual(new Set(place("cart.by-java").map(([, partition]) => partition)), new Set([0, 1, 2, 3]));
    assert.equal(ids.length, keys.length);
  });

  await t.test("what is no event is refused by pointer, and not written", async () => {
    const refused = await page.evaluate(() => bus.publish("carts", { type: "nodot", data: "refused" }).catch((e) => [e.code, e.pointer]));
    assert.deepEqual(refused, ["invalid_event", "/type"]);
    const records = await kafka.read(carts);
    assert.ok(records.every(({ event }) => event?.data !== "refused"));
  });
  assert.deepEqual([page.violations, page.uncaught], [[], []]);
});
