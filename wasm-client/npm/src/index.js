import { Bus } from "./bus.js";
import { attach } from "./core.js";
import { TidegateError } from "./error.js";
import { copy, element, member, number } from "./looked.js";
import { number as put, text, told } from "./told.js";

export { Bus } from "./bus.js";
export { TidegateError } from "./error.js";
export { TidegateEvent } from "./event.js";

let loading;
let loaded = false;

/** Loads the WebAssembly module, once however often it is called. */
export default function init(source) {
  loading ??= load(source).then(
    () => {
      loaded = true;
    },
    (error) => {
      loading = undefined;
      throw error;
    },
  );
  return loading;
}

/** Makes the module of whatever holds it. */
async function load(source = new URL("tidegate_client_bg.wasm", import.meta.url)) {
  const imports = { "./looked.js": { copy, element, member, number }, "./told.js": { number: put, text, told } };
  source = await source;
  if (typeof source === "string" || source instanceof URL || source instanceof Request) source = await fetch(source);
  let made;
  if (source instanceof Response) {
    if (!source.ok) throw new Error(`init: ${source.url} was answered ${source.status} ${source.statusText}`);
    // Only what is served as WebAssembly can be compiled while it comes.
    const streams = source.headers.get("content-type")?.startsWith("application/wasm");
    made = await (streams ? WebAssembly.instantiateStreaming(source, imports) : WebAssembly.instantiate(await source.arrayBuffer(), imports));
  } else {
    made = await WebAssembly.instantiate(source, imports);
  }
  const { exports } = made.instance ?? made;
  attach(exports);
}

/** Connects to a bridge; fulfilled with the bus once the bridge has welcomed it. */
export async function connect(url, options) {
  if (!loaded) throw new TidegateError("not_initialized", 'call init() first: `await init()` from "@tidegate/client"');
  if (typeof options?.token !== "function") throw new TypeError("connect: options.token must be a function");
  const { signal } = options;
  signal?.throwIfAborted();
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  const { bus, opened } = Bus.open(address.href, options);
  const abort = () => bus.close();
  signal?.addEventListener("abort", abort);
  try {
    await opened;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
  return bus;
}
