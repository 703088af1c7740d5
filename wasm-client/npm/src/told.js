// What the core tells: texts and numbers first, and then what it is that they belong to.

let told = [];
let members = [];

export const text = (text) => members.push(text);

export const number = text;

export { tell as told };

/** `what` is what `members` belong to, and begin with. */
function tell(what) {
  told.push([what, ...members]);
  members = [];
}

/** Takes all that was told. */
export function take() {
  const all = told;
  told = [];
  return all;
}
