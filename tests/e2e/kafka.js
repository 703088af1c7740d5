// Clients of Kafka that are not ours: kcat, Kafka's own console producer, and the Python example.

import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { bootstrap, kafkaTool } from "./stage.js";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../../", import.meta.url));

/** Runs a program that reads all of its input. */
async function feed(program, args, input) {
  const child = spawn(program, args, { stdio: ["pipe", "ignore", "pipe"] });
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text) => (errors += text));
  child.stdin.end(input);
  const code = await new Promise((resolve, reject) => child.on("error", reject).on("close", resolve));
  assert.equal(code, 0, `${program}: ${errors}`);
}

/** `key|event` lines. */
const lines = (records) => records.map(([key, value]) => `${key}|${JSON.stringify(value)}\n`).join("");

/** Puts `[key, event]` records by kcat, into one partition where asked. */
export function kcat(topic, records, partition) {
  const place = partition === undefined ? [] : ["-p", String(partition)];
  // Its partitioner is not Java's unless told.
  const args = ["-P", "-b", bootstrap, "-t", topic, "-K", "|", "-X", "partitioner=murmur2_random", ...place];
  return feed("kcat", args, lines(records));
}

/** Puts one record of any value; `null` is a tombstone. */
export function kcatRaw(topic, key, value) {
  const args = ["-P", "-b", bootstrap, "-t", topic, "-K", "|", ...(value === null ? ["-Z"] : [])];
  return feed("kcat", args, `${key}|${value ?? ""}\n`);
}

/** Puts `[key, event]` records by Kafka's own console producer. */
export function java(topic, records) {
  const args = kafkaTool.map((arg) => (arg === "CLASS" ? "org.apache.kafka.tools.ConsoleProducer" : arg));
  const reader = ["parse.key=true", "key.separator=|"].flatMap((property) => ["--property", property]);
  return feed("java", [...args, "--bootstrap-server", bootstrap, "--topic", topic, ...reader], lines(records));
}

/** Puts orders by the Python example, in an environment of its own made once. */
export async function python(topic, tenant, count) {
  const example = join(root, "examples/python-producer");
  const environment = join(root, "target/tools/python");
  const bin = (name) => join(environment, "bin", name);
  const requirements = join(example, "requirements.txt");
  if (!existsSync(join(environment, "made"))) {
    await run("python3", ["-m", "venv", environment]);
    await run(bin("pip"), ["install", "--quiet", "--requirement", requirements]);
    await run("cp", [requirements, join(environment, "made")]);
  }
  const args = ["--bootstrap", bootstrap, "--topic", topic, "--tenant", tenant, "--count", String(count), "--rate", "500"];
  await run(bin("python"), [join(example, "producer.py"), ...args]);
}

/** Everything on a topic as kcat reads it, each partition in order: `{ partition, offset, key, headers, event }`. */
export async function read(topic) {
  const args = ["-C", "-J", "-e", "-q", "-o", "beginning", "-X", "isolation.level=read_committed"];
  const { stdout } = await run("kcat", [...args, "-b", bootstrap, "-t", topic], { maxBuffer: 1 << 28 });
  return stdout.trim().split("\n").filter(Boolean).map(decoded);
}

function decoded(line) {
  const { partition, offset, key, payload, headers = [] } = JSON.parse(line);
  const pairs = headers.flatMap((name, place) => (place % 2 ? [] : [[name, headers[place + 1]]]));
  let event;
  try {
    event = JSON.parse(payload);
  } catch {
    // Not ours to judge here.
  }
  return { partition, offset, key, event, headers: Object.fromEntries(pairs) };
}
