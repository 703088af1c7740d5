// The core, as wasm-bindgen exports it. Its functions take and give numbers only, by which texts are told as addresses in its
// memory; so of wasm-bindgen's own script nothing is needed.

let wasm;

/** The module is there, and this is what it exports. */
export function attach(exports) {
  wasm = exports;
}

/** So many bytes from an address on. What they lie in may be another memory by the time of the next call. */
export const bytes = (at, length) => new Uint8Array(wasm.memory.buffer, at, length);

const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

export const string = (at, length) => decoder.decode(bytes(at, length));

const gone = new FinalizationRegistry((core) => wasm.__wbg_core_free(core, 0));

/** A core that lives as long as its owner. */
export function make(owner) {
  const core = wasm.core_new(...crypto.getRandomValues(new BigUint64Array(2)));
  gone.register(owner, core);
  return core;
}

/** Tells a core what happened; answers when to tell of a tick at the latest. */
export const tell = (core, now, what) => wasm.core_tell(core, now, what);
