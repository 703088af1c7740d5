// A plain page: no bundler, a strict Content Security Policy. Tests reach in through globals.
import init, * as client from "/client/index.js";

globalThis.client = client;
globalThis.init = init;
globalThis.url = `ws://${location.host}/v1/ws`;
globalThis.seen = [];
globalThis.started = async (options) => {
  await init();
  globalThis.bus = await client.connect(url, { token: () => "good", ...options });
  return bus;
};
globalThis.ready = true;
