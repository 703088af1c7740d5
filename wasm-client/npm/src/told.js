// What the core tells: texts and numbers first, and then what it is that they belong to.

import { string } from "./core.js";

let told = [];
let members = [];

export const number = (number) => members.push(number);

export const text = (at, length) => number(length < 0 ? undefined : string(at, length));

export { tell as told };

/** `what` is what `members` belong to, and begin with. */
function tell(what) {
  told.push([what, ...members]);
  members = [];
}

/** Takes all that was told, of which a core that broke may have left the half. */
export function take() {
  const all = told;
  told = [];
  members = [];
  return all;
}
