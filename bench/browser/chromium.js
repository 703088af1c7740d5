// A Chromium that nobody looks into while it works. Playwright would have each message of a WebSocket copied to it, as
// an open "Network" panel has, and that would be what is measured.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-dev-shm-usage",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--no-first-run",
  "--remote-debugging-pipe",
];

/** Starts it with one tab at an address. */
export async function open(address) {
  const profile = mkdtempSync(join(tmpdir(), "tidegate-bench-"));
  const program = process.env.CHROMIUM ?? "/usr/bin/chromium";
  const browser = spawn(program, [...FLAGS, `--user-data-dir=${profile}`, "about:blank"], {
    stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"],
  });
  const ended = once(browser, "exit");
  const asked = new Map();
  let last = 0;
  let session;

  /** A command of the DevTools protocol, and its result. */
  const send = (method, params = {}) =>
    new Promise((resolve, reject) => {
      asked.set(++last, { resolve, reject });
      browser.stdio[3].write(`${JSON.stringify({ id: last, sessionId: session, method, params })}\0`);
    });
  let text = "";
  browser.stdio[4].setEncoding("utf8").on("data", (more) => {
    const messages = (text + more).split("\0");
    text = messages.pop();
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      if (error) asked.get(id)?.reject(new Error(error.message));
      else asked.get(id)?.resolve(result);
      asked.delete(id);
    }
  });
  browser.on("exit", () => asked.forEach(({ reject }) => reject(new Error("Chromium is gone"))));

  /** What a script in the page comes to, which may be a promise. */
  const evaluate = async (expression) => {
    const { result, exceptionDetails: thrown } = await send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (thrown) throw new Error(thrown.exception?.description ?? thrown.text);
    return result.value;
  };
  const close = async () => {
    session = undefined;
    await send("Browser.close");
    await ended;
    rmSync(profile, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  };

  const { targetInfos } = await send("Target.getTargets");
  const { targetId } = targetInfos.find(({ type }) => type === "page");
  session = (await send("Target.attachToTarget", { targetId, flatten: true })).sessionId;
  await send("Page.navigate", { url: address });
  return { send, evaluate, close };
}
