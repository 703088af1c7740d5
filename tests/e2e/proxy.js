// A network between page and bridge that can be cut, and that may have its own mind about WebSockets.

import { connect, createServer } from "node:net";

/** Passes connections on to an origin, until it is cut. */
export async function proxyTo(origin) {
  let port = new URL(origin).port;
  let whole = true;
  let fate;
  const streams = new Set();
  const server = createServer((client) => {
    if (!whole) return client.destroy();
    const target = connect(port, "127.0.0.1");
    const pair = [client, target];
    streams.add(pair);
    for (const stream of pair) {
      stream.unref();
      stream.setNoDelay(true);
      stream.on("error", () => {});
      stream.on("close", () => {
        pair.forEach((end) => end.destroy());
        streams.delete(pair);
      });
    }
    // A socket is asked for on a connection of its own.
    client.once("data", (head) => {
      if (fate !== undefined && /^upgrade: websocket/im.test(head)) return doom(fate, pair, head);
      target.write(head);
      client.pipe(target).pipe(client);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  // A test that failed may leave it open.
  server.unref();
  const drop = () => streams.forEach((pair) => pair.forEach((end) => end.resetAndDestroy()));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    /** Drops all connections and refuses new ones. */
    cut() {
      whole = false;
      drop();
    },
    /** Drops all connections and takes new ones. */
    drop,
    /** What becomes of WebSockets from now on: a status, "cut" as soon as they are open, "swallow", or nothing. */
    upgrades(become) {
      fate = become;
    },
    /** Passes nothing on any more that goes over the connections there are, and closes none. */
    silence() {
      for (const [client, target] of streams) {
        client.unpipe(target).pause();
        target.unpipe(client).pause();
      }
    },
    /** Takes connections again, to another origin where given. */
    mend(elsewhere = origin) {
      port = new URL(elsewhere).port;
      whole = true;
    },
    async close() {
      this.cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** Does to the request for a WebSocket what proxies are known to do. */
function doom(fate, [client, target], head) {
  if (fate === "swallow") return;
  if (fate !== "cut") return client.end(`HTTP/1.1 ${fate} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
  target.once("data", (answer) => client.end(answer));
  target.write(head);
}
