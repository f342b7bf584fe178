// The app's own figures, in a real browser over made-up data: how smooth a list of 1,000 containers with 10 changes a second is,
// and what a log of a million lines costs. Prints JSON; no test. From the root: node tests/perf/ui.mjs [containers] [lines]

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { programs, require, root, until } from "../e2e/place.mjs";

const { chromium } = require("playwright-core");
const [containers, lines] = [Number(process.argv[2] ?? 1000), Number(process.argv[3] ?? 1_000_000)];
const WATCHED_MS = 5000;

const dist = mkdtempSync(path.join(tmpdir(), "cubby-ui-perf-"));
execFileSync("npx", ["vite", "build", "--mode", "fixture", "--outDir", dist, "--emptyOutDir", "--logLevel", "error"], { cwd: path.join(root, "ui"), stdio: ["ignore", "ignore", "inherit"] });
const TYPES = { html: "text/html", js: "text/javascript", css: "text/css", svg: "image/svg+xml" };
const server = createServer((request, response) => {
  const file = new URL(request.url, "http://x").pathname.replace(/\/$/, "/index.html");
  try {
    const body = readFileSync(path.join(dist, path.normalize(file)));
    response.writeHead(200, { "content-type": TYPES[file.split(".").pop()] ?? "application/octet-stream" }).end(body);
  } catch {
    response.writeHead(404).end();
  }
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const browser = await chromium.launch({ executablePath: programs.chromium, args: ["--no-sandbox", "--enable-precise-memory-info", "--js-flags=--expose-gc"] });
const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
const session = await page.context().newCDPSession(page);
// Thread time: what the page itself needs, however busy the computer is with other things.
await session.send("Performance.enable", { timeDomain: "threadTicks" });
const url = (query, hash) => `http://127.0.0.1:${server.address().port}/?${query}#/${hash}`;
const metrics = async () => Object.fromEntries((await session.send("Performance.getMetrics")).metrics.map(({ name, value }) => [name, value]));

/** Frames that were drawn while `act` ran, and how much of the time the main thread was busy. */
async function frames(act) {
  const before = await metrics();
  const counted = page.evaluate((ms) => new Promise((resolve) => {
    const times = [];
    const end = performance.now() + ms;
    const tick = (now) => {
      times.push(now);
      if (now < end) requestAnimationFrame(tick);
      else resolve(times);
    };
    requestAnimationFrame(tick);
  }), WATCHED_MS);
  await act();
  const times = await counted;
  const after = await metrics();
  const gaps = times.slice(1).map((time, at) => time - times[at]).sort((a, b) => a - b);
  const at = (share) => Math.round(10 * gaps[Math.min(gaps.length - 1, Math.floor(share * gaps.length))]) / 10;
  return { frames_per_s: Math.round((10_000 * gaps.length) / (times.at(-1) - times[0])) / 10, gap_ms: { p50: at(0.5), p95: at(0.95), p99: at(0.99) }, cpu_ms_per_frame: Math.round((10_000 * (after.TaskDuration - before.TaskDuration)) / gaps.length) / 10, script_cpu_ms_per_frame: Math.round((10_000 * (after.ScriptDuration - before.ScriptDuration)) / gaps.length) / 10 };
}

const blank = await (async () => {
  await page.goto("about:blank");
  return frames(async () => {});
})();
await page.goto(url(`scene=many&containers=${containers}`, "apps"));
await page.waitForSelector("[data-container]");
await until("figures", () => page.evaluate(() => document.querySelectorAll("[data-usage]").length > 3));
const still = await frames(async () => {});
const scrolled = await frames(() => page.evaluate((ms) => new Promise((resolve) => {
  const view = document.querySelector(".view ul").parentElement;
  const end = performance.now() + ms - 300;
  const step = (now) => {
    view.scrollTop = (view.scrollTop + 37) % (view.scrollHeight - view.clientHeight);
    if (now < end) requestAnimationFrame(step);
    else resolve();
  };
  requestAnimationFrame(step);
}), WATCHED_MS));

const heap = async () => {
  await page.evaluate(() => globalThis.gc?.());
  return (await metrics()).JSHeapUsedSize;
};
await page.goto(url(`lines=${lines}`, "apps"));
await page.waitForSelector("[data-container] a.main");
await page.click("[data-container] a.main");
const heapBefore = await heap();
const opening = Date.now();
await page.evaluate(() => document.querySelector("#tab-logs").click());
// Above its bound the buffer drops the oldest thousand or so.
await until("all lines", () => page.evaluate((wanted) => Number(document.querySelector("[data-lines]")?.dataset.lines ?? 0) > wanted, lines * 0.995), 120_000);
const openMs = Date.now() - opening;
const heapLines = (await heap()) - heapBefore;
const search = await page.evaluate(() => new Promise((resolve) => {
  const box = document.querySelector("input[type=search][placeholder='Search the logs']");
  const before = performance.now();
  box.value = "upstream";
  box.dispatchEvent(new Event("input", { bubbles: true }));
  const look = () => (document.querySelector(".hits")?.textContent?.includes("of") ? resolve(performance.now() - before) : requestAnimationFrame(look));
  look();
}));
const logScroll = await frames(() => page.evaluate((ms) => new Promise((resolve) => {
  const view = document.querySelector("[role=log]");
  const end = performance.now() + ms - 300;
  const step = (now) => {
    view.scrollTop = (view.scrollTop + 1111) % (view.scrollHeight - view.clientHeight);
    if (now < end) requestAnimationFrame(step);
    else resolve();
  };
  requestAnimationFrame(step);
}), WATCHED_MS));
console.log(JSON.stringify({ containers, blank_page: blank, list_with_changes: still, list_scrolled: scrolled, lines, log_open_ms: openMs, log_search_ms: Math.round(search), log_heap_mb: Math.round(heapLines / 1e5) / 10, log_scrolled: logScroll }, null, 1));
await browser.close();
server.close();
rmSync(dist, { recursive: true });
