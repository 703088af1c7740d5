import load, { Core } from "./tidegate_client.js";
import { Bus } from "./bus.js";
import { TidegateError } from "./error.js";

export { Bus } from "./bus.js";
export { TidegateError } from "./error.js";
export { TidegateEvent } from "./event.js";

let loading;
let loaded = false;

/** Loads the WebAssembly module, once however often it is called. */
export default function init(source) {
  loading ??= load(source === undefined ? undefined : { module_or_path: source }).then(
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

/** Connects to a bridge; fulfilled with the bus once the bridge has welcomed it. */
export async function connect(url, options) {
  if (!loaded) throw new TidegateError("not_initialized", 'call init() first: `await init()` from "@tidegate/client"');
  if (typeof options?.token !== "function") throw new TypeError("connect: options.token must be a function");
  const { signal } = options;
  signal?.throwIfAborted();
  const address = new URL(url, globalThis.location?.href);
  address.protocol = address.protocol.replace("http", "ws");
  const { bus, opened } = Bus.open(Core, address.href, options);
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
