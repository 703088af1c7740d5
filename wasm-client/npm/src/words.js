// What the core can be told, and what it tells.

// What it can be told. The numbers are those of `bus.rs`, which says what belongs to each.

export const TICK = 0;
export const TOKEN = 1;
export const OPENED = 2;
export const CLOSED = 3;
export const STREAM = 4;
export const SUBSCRIBE = 5;
export const UNSUBSCRIBE = 6;
export const CURSOR = 7;
export const PUBLISH = 8;
export const ID = 9;
export const WAKE = 10;
export const CLOSE = 11;
export const FRAME = 12;
export const DISPATCHED = 13;
export const SETTLED = 14;
export const CONNECT = 15;

// What it tells. The numbers are those of `told.rs`; the answer to what it was asked is nothing to do.

export const ANSWER = 0;
export const SEND = 1;
export const FETCH_TOKEN = 2;
export const OPEN_SOCKET = 3;
export const OPEN_STREAM = 4;
export const DISCONNECT = 5;
export const POST = 6;
export const IS_OPEN = 7;
export const IS_WAITING = 8;
export const IS_CLOSED = 9;
export const LOG = 10;
export const SUBSCRIBED = 11;
export const ENDED = 12;
export const PUBLISHED = 13;
export const REFUSED = 14;
export const LEDGER = 15;
