// What the core can be told. The numbers are those of `bus.rs`, which says what belongs to each.

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
