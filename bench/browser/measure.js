// Events a second to a listener in one tab of Chromium: from Kafka through a bridge, and without either. The systems take
// turns. Prints a line of JSON: what each system measured in each round.
//
// node measure.js --address HOST:PORT --pid PID --secret TEXT --bootstrap HOST:PORT --produce PROGRAM [--topic orders]
//   [--events N] [--rounds N] [--profile FILE]

import { execFileSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { open } from "./chromium.js";

const text = (fallback) => ({ type: "string", default: fallback });
const { values: given } = parseArgs({
  options: {
    address: text(),
    pid: text(),
    secret: text(),
    bootstrap: text(),
    produce: text(),
    topic: text("orders"),
    events: text("100000"),
    rounds: text("3"),
    profile: text(),
  },
});
const events = Number(given.events);

/** A token of the tenant whose events `tidegate-bench produce` makes. */
function token() {
  const iat = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const claims = { tenant: "tenant-0", sub: "user-0", roles: ["clerk"], iat, exp: iat + 3600 };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", given.secret).update(signed).digest("base64url")}`;
}

/** Puts the events onto Kafka while the bridge stands still, then lets it go on. */
async function backlog() {
  const rate = 1_000_000;
  const where = ["--bootstrap", given.bootstrap, "--topic", given.topic];
  const pid = Number(given.pid);
  process.kill(pid, "SIGSTOP");
  try {
    execFileSync(given.produce, ["produce", ...where, "--rate", String(rate), "--seconds", String(events / rate)]);
    // What Kafka and the disk still have to do is not the bridge's.
    await sleep(300);
  } finally {
    process.kill(pid, "SIGCONT");
  }
}

/** Notes in a file for Chromium's DevTools what the page's thread does meanwhile. */
async function profiled(work) {
  await page.send("Profiler.enable");
  await page.send("Profiler.setSamplingInterval", { interval: 200 });
  await page.send("Profiler.start");
  const result = await work();
  writeFileSync(given.profile, JSON.stringify((await page.send("Profiler.stop")).profile));
  return result;
}

async function tidegate() {
  await page.evaluate(`expect(${events})`);
  await backlog();
  return page.evaluate("arrived");
}

const page = await open(`http://${given.address}/bench/`);
try {
  while (!(await page.evaluate("globalThis.ready"))) await sleep(20);
  await page.evaluate(`join("${given.topic}", "${token()}")`);
  await page.evaluate(`prepare(${events})`);
  const rounds = [];
  // The first is not counted: code is compiled while it runs.
  for (let round = 0; round <= Number(given.rounds); round++) {
    // The page by itself right before and right after, for the machine is not always as fast.
    const before = await page.evaluate("plain()");
    const ours = await (round && given.profile ? profiled(tidegate) : tidegate());
    const after = await page.evaluate("plain()");
    const alone = { events_per_s: (before.events_per_s + after.events_per_s) / 2 };
    if (round) rounds.push({ page: alone, tidegate: ours });
  }
  console.log(JSON.stringify(rounds));
} finally {
  await page.close();
}
