// What the launcher (tests/tests/browser.rs) has started, and tokens for it.

import { createHmac, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

function given(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set: run \`cargo test -p tidegate-tests --test browser\``);
  return value;
}

/** Origins of the two bridges. The hasty one pings each second and remembers 1 MiB. */
export const bridge = given("E2E_BRIDGE");
export const hasty = given("E2E_HASTY_BRIDGE");

/** Physical names. */
export const orders = (tenant) => given("E2E_ORDERS").replace("{tenant}", tenant);
export const ordersOfAll = given("E2E_ORDERS");
export const carts = given("E2E_CARTS");

export const bootstrap = given("E2E_KAFKA");
export const kafkaTool = JSON.parse(given("E2E_KAFKA_TOOL"));

const { keys } = JSON.parse(readFileSync(given("E2E_KEYS")));
const { k, kid } = keys.find((key) => key.alg === "HS256");
const secret = Buffer.from(k, "base64url");

/** How many seconds bridges go on after a token has run out, for clocks differ. */
export const SKEW = 3;

/** A token, of the right key unless told otherwise. */
export function token(tenant, { role = "member", seconds = 3600, key = secret } = {}) {
  const iat = Math.floor(Date.now() / 1000);
  const claims = { tenant, sub: `user-of-${tenant}`, roles: [role], iat, exp: iat + seconds };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "HS256", typ: "JWT", kid })}.${part(claims)}`;
  return `${text}.${createHmac("sha256", key).update(text).digest("base64url")}`;
}

/** An event as a backend writes it. */
export function event(tenant, type, data) {
  const id = randomUUID();
  const timestamp = new Date().toISOString();
  return { version: "1.0", id, type, correlation_id: id, timestamp, tenant_id: tenant, data };
}

/** A node's metrics: `[name and labels, value]`. */
export async function metrics(origin) {
  const text = await (await fetch(`${origin}/metrics`)).text();
  const samples = text.split("\n").filter((line) => line && !line.startsWith("#"));
  return samples.map((sample) => sample.match(/^(.*) (\S+)$/)).map(([, name, value]) => [name, Number(value)]);
}

/** A tenant that no other test has. */
export const tenant = () => `t-${randomUUID().slice(0, 8)}`;

/** So many numbers, from `first`. */
export const numbers = (first, count) => Array.from({ length: count }, (_, n) => first + n);
