// A plain page: no bundler, the bridge's own strict policy. Tests reach in through globals.

import init, * as client from "/client/index.js";

/** What listeners saw, and what the bus said of itself. */
globalThis.seen = [];
globalThis.told = [];
globalThis.client = client;

/** Joins the bus. The test answers `fetchToken`. */
globalThis.join = async (options) => {
  await init();
  globalThis.bus = await client.connect("/v1/ws", { token: () => fetchToken(), ...options });
  bus.addEventListener("state", ({ state }) => told.push(state));
  bus.addEventListener("gap", ({ topic, reason }) => told.push(`gap ${topic} ${reason}`));
  bus.addEventListener("error", ({ error }) => told.push(`error ${error.code}`));
  bus.addEventListener("close", ({ error }) => told.push(`close ${error?.code}`));
};

/** Subscribes, and notes the numbers of the events of a type as they come. */
globalThis.follow = (topic, type, options) => {
  bus.addEventListener(type, (event) => seen.push(event.detail.n));
  return bus.subscribe(topic, options).ready;
};

globalThis.ready = true;
