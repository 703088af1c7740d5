// Chromium, and pages in it.

import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { chromium } from "playwright-core";

/** How long anything may take on a machine that does much else. */
const LONG = 60_000;

/** The one that was chosen, the system's, or else Playwright's own. */
function program() {
  return process.env.CHROMIUM ?? ["/usr/bin/chromium"].find((path) => existsSync(path));
}

export function launch() {
  const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-quic"];
  const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", ...quiet];
  return chromium.launch({ executablePath: program(), args });
}

/** The plain page of an origin, with a token or a function that makes one. In a context of its own, unless given one. */
export async function open(browser, origin, token, { prepare, ...options } = {}) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LONG);
  page.violations = [];
  page.uncaught = [];
  page.on("console", (message) => {
    if (/Content Security Policy/.test(message.text())) page.violations.push(message.text());
  });
  page.on("pageerror", (error) => page.uncaught.push(error.message));
  await page.exposeFunction("fetchToken", typeof token === "function" ? token : () => token);
  if (prepare) await page.addInitScript(prepare);
  await page.goto(`${origin}/page/`);
  await until(page, () => globalThis.ready);
  await page.evaluate((options) => join(options), options);
  return page;
}

/** Waits until something holds in a page. Asked from here, since a page's own timers may sleep. */
export async function until(page, holds, argument) {
  const deadline = Date.now() + LONG;
  while (!(await page.evaluate(holds, argument))) {
    if (Date.now() > deadline) throw new Error(`waited in vain for ${holds}`);
    await sleep(20);
  }
}

/** Waits until the page has seen so many things, and answers with all of them. */
export async function seen(page, count) {
  try {
    await until(page, (count) => seen.length >= count, count);
  } catch (error) {
    const [had, told] = await page.evaluate(() => [seen.length, told]);
    throw new Error(`the page saw ${had} of ${count} events, and was told: ${told.join(", ")}`, { cause: error });
  }
  return page.evaluate(() => seen);
}

/** The dashboard of an origin, signed in. */
export async function dashboard(browser, origin, token) {
  const page = await browser.newPage();
  page.setDefaultTimeout(LONG);
  await page.goto(`${origin}/dashboard/#token=${token}`);
  await page.getByTestId("balance").waitFor();
  return page;
}
