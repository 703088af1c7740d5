// What the core looks at of what stays in JavaScript: the members that it reads, by path.

let looked;

/** Lets the core look at a value while `then` runs. */
export function look(value, then) {
  looked = value;
  const answer = then();
  looked = undefined;
  return answer;
}

const at = (path) => path.split("/").slice(1).reduce((value, name) => value?.[name], looked);

const KINDS = ["undefined", "string", "number", "boolean"];

/** 0 nothing, 1 text, 2 a number, 3 a boolean, 4 a list, 5 anything else. */
export function kind(path) {
  const value = at(path);
  if (Array.isArray(value)) return 4;
  const kind = KINDS.indexOf(typeof (value ?? undefined));
  return kind < 0 ? 5 : kind;
}

export function number(path) {
  const value = at(path);
  return Number(value.length ?? value);
}

export const text = (path) => String(at(path));
