// The parser of Server-Sent Events, by itself.

import assert from "node:assert/strict";
import { test } from "node:test";
import { reader } from "../src/stream.js";

/** What is read of pieces of text. */
function read(...pieces) {
  const told = [];
  const take = reader((name, data) => told.push([name, data]));
  pieces.forEach(take);
  return told;
}

const whole = ": hello\r\n\r\ndata: {\"a\":1}\r\n\r\nevent: close\rdata:{\"code\":3002,\rdata: \"reason\":\"x\"}\r\rid: 7\ndata\n\nretry: 5\n\ndata:  two\n\n";
const told = [
  ["", '{"a":1}'],
  ["close", '{"code":3002,\n"reason":"x"}'],
  ["", ""],
  ["", " two"],
];

test("lines end with CR, LF or both; data of many lines is one; comments, names and unknown fields", () => {
  assert.deepEqual(read(whole), told);
});

test("wherever the text is cut", () => {
  for (let first = 0; first <= whole.length; first++) {
    for (let second = first; second <= whole.length; second++) {
      const pieces = [whole.slice(0, first), whole.slice(first, second), whole.slice(second)];
      assert.deepEqual(read(...pieces), told, `cut at ${first} and ${second}`);
    }
  }
  assert.deepEqual(read(...whole), told);
});

test("letters of several bytes are cut anywhere, too", () => {
  const bytes = Buffer.from("data: žluťoučký 🐎\r\n\r\n");
  for (let at = 0; at <= bytes.length; at++) {
    const decoder = new TextDecoder();
    const pieces = [bytes.subarray(0, at), bytes.subarray(at)].map((piece) => decoder.decode(piece, { stream: true }));
    assert.deepEqual(read(...pieces), [["", "žluťoučký 🐎"]], `cut at ${at}`);
  }
});

test("what has no end is not told, and not kept for ever", () => {
  assert.deepEqual(read("data: 1\n"), []);
  assert.deepEqual(read("data: 1"), []);
  const piece = "x".repeat(1 << 24);
  assert.throws(() => read("data: ", piece, piece, piece, piece), /without an end/);
});

test("a long message in many pieces is read in a time that grows with its length", () => {
  const pieces = Array.from({ length: 100_000 }, () => "x".repeat(80));
  const [[, data]] = read("data: ", ...pieces, "\n\n");
  assert.equal(data.length, 8_000_000);
});
