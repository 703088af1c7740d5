// What the core looks at of what stays in JavaScript: a list of what belongs to what happened, and what lies within.

import { bytes, string } from "./core.js";

/** What was looked at, by place: nothing, the list, and then whatever it came upon. */
let seen;

/** Lets the core look at a list while `then` runs. */
export function look(list, then) {
  seen = [undefined, list];
  const answer = then();
  seen = undefined;
  return answer;
}

const put = (value) => (value == null ? 0 : seen.push(value) - 1);

export const member = (of, at, length) => put(seen[of][string(at, length)]);

export const element = (of, at) => put(seen[of]?.[at]);

const KINDS = ["number", "boolean", "object", "string"];
const encoder = new TextEncoder();

/** The text that was asked about last. */
let encoded;

/**
 * A value as a number; NaN if it is not of that kind. 0 is a number, 1 a boolean, 2 a list, whose length is told, 3 a text,
 * of which that in UTF-8.
 */
export function number(of, kind) {
  const value = seen[of];
  if (typeof value !== KINDS[kind]) return NaN;
  if (kind === 2) return Array.isArray(value) ? value.length : NaN;
  if (kind === 3) return (encoded = encoder.encode(value)).length;
  return Number(value);
}

export const copy = (to) => bytes(to, encoded.length).set(encoded);
