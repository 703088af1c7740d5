// What each test file needs: the packed tarball unpacked, a web server with a mock bridge, and Chromium.

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { dirname, extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { MockBridge } from "./mock_bridge.js";

const here = dirname(fileURLToPath(import.meta.url));
const packed = join(here, "../../../target/npm");

/** Puts the packed tarball where an `npm install` would, and answers with the place. */
export function install() {
  const place = join(here, "node_modules/@tidegate/client");
  const [tarball] = readdirSync(packed).filter((name) => /^tidegate-client-.*\.tgz$/.test(name));
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place, { recursive: true });
  execFileSync("tar", ["xzf", join(packed, tarball), "-C", place, "--strip-components=1"]);
  return place;
}

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm", ".css": "text/css" };

/** Serves `roots` (path prefix → directory) under a strict policy, with a mock bridge at `/v1/ws`. */
export async function serve(roots) {
  let bridge;
  const server = createServer((request, response) => {
    if (bridge.request(request, response)) return;
    const path = normalize(new URL(request.url, "http://x").pathname);
    const prefix = Object.keys(roots).find((prefix) => path.startsWith(prefix));
    try {
      const body = readFileSync(join(roots[prefix], path.slice(prefix.length)));
      response.writeHead(200, {
        "content-type": TYPES[extname(path)] ?? "application/octet-stream",
        "content-security-policy": "default-src 'none'; img-src data:; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'self'",
      });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  bridge = new MockBridge(server);
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const close = async () => {
    bridge.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { bridge, origin, close };
}

/** How long anything may take on a machine that does much else. */
export const LONG = 60_000;

export function launch() {
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"];
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
}

/** A page that has loaded, with the errors that it reported. */
export async function open(browser, address) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LONG);
  page.reported = [];
  page.violations = [];
  page.on("pageerror", (error) => page.reported.push(error.message));
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) page.violations.push(message.text());
    if (process.env.SHOW_CONSOLE) console.log(message.text());
  });
  await page.goto(address);
  await page.waitForFunction(() => globalThis.ready, null, { polling: 20 });
  return page;
}
