// A newcomer, on a fresh profile with a real machine: from the first picture to the demo's page, using only what the screen
// offers. Counts the clicks; says the seconds (which are the machine's more than the app's where there is no KVM).

import assert from "node:assert/strict";
import path from "node:path";
import { after, before } from "node:test";
import { BOOT_MS, Place, artifacts, processes, programs, root, until } from "../place.mjs";
import { Steps } from "../steps.mjs";
import { openBrowser } from "./walk.mjs";

/** One to run it, one to open its page. */
const MOST_CLICKS = 2;
let place;
let browser;
let page;
const steps = new Steps(() => page?.screenshot({ path: path.join(artifacts, "newcomer-failure.png") }));
const step = (name, run) => steps.step(name, run);

before(async () => {
  place = new Place("newcomer");
});

after(async () => {
  await browser?.close();
  await place?.end(steps.failed);
});

/** The button that stands out: what somebody clicks who knows nothing. Only what can be seen and used counts. */
async function mostProminent() {
  const found = await page.evaluate(() => {
    const seen = [...document.querySelectorAll("main button, main a[href]")].filter((node) => {
      const box = node.getBoundingClientRect();
      return !node.disabled && box.width > 0 && box.top >= 0 && box.bottom <= innerHeight && getComputedStyle(node).visibility === "visible";
    });
    const weight = (node) => (node.matches("a[href^='http']") ? 3 : node.classList.contains("primary") ? 2 : 0);
    const best = seen.sort((a, b) => weight(b) - weight(a))[0];
    return best && weight(best) > 0 ? { text: best.textContent.trim(), link: best.matches("a"), at: [...document.querySelectorAll("main button, main a[href]")].indexOf(best) } : null;
  });
  return found && { ...found, element: page.locator("main button, main a[href]").nth(found.at) };
}

step("from launch to the demo's page with what the screen offers", async () => {
  const launched = Date.now();
  const [url] = await place.start(programs.devServer, ["--port", "0", "--ui", process.env["CUBBY_UI"] ?? path.join(root, "ui/dist")], /http:\S+/);
  browser = await openBrowser();
  page = await browser.newPage({ viewport: { width: 1180, height: 780 }, locale: "en-US" });
  await page.goto(url);
  let clicks = 0;
  let opened;
  while (!opened) {
    assert.ok(clicks <= MOST_CLICKS, `${clicks} clicks and no page of the demo`);
    const next = await until("something to click", async () => {
      const problem = await page.locator(".problem").count();
      assert.equal(problem, 0, "the machine did not start");
      return mostProminent();
    }, BOOT_MS);
    clicks++;
    console.log(`click ${clicks}: ${next.text}`);
    if (next.link) {
      const [shown] = await Promise.all([page.context().waitForEvent("page"), next.element.click()]);
      opened = shown;
    } else {
      const before = next.text;
      await next.element.click();
      await until("an answer to the click", async () => (await mostProminent())?.text !== before, BOOT_MS);
    }
  }
  await opened.waitForLoadState();
  assert.match(await opened.textContent("body"), /\w/);
  assert.equal((await page.request.get(opened.url())).status(), 200);
  const seconds = (Date.now() - launched) / 1000;
  console.log(`newcomer: ${clicks} clicks, ${seconds.toFixed(1)} s from launch to the demo's page`);
  assert.equal(clicks, MOST_CLICKS);
  await opened.close();
  await page.screenshot({ path: path.join(artifacts, "newcomer.png") });
});

step("a machine that dies shows it at once, comes back by itself, and what was typed is still there", async () => {
  const rows = () => page.evaluate(() => document.querySelector(".xterm-rows")?.textContent ?? "");
  await page.click("nav [href='#/apps']");
  await page.click("[data-container=hello] a.main");
  await page.click("#tab-terminal");
  await until("a prompt", async () => /[#$>] *$/.test((await rows()).trimEnd()));
  await page.click(".xterm-screen");
  await page.keyboard.type("half a comm");
  await until("the echo", async () => (await rows()).includes("half a comm"));
  await page.click("[data-action=run]");
  await page.fill("[data-field=image]", "something:typed");
  await page.fill("[data-field=name]", "not-lost");
  process.kill(machinePid(), "SIGKILL");
  const killed = Date.now();
  await page.waitForSelector("[data-stale]", { timeout: BOOT_MS });
  console.log(`machine killed: shown after ${Date.now() - killed} ms`);
  await page.waitForSelector("[data-stale]", { state: "detached", timeout: BOOT_MS });
  await page.waitForSelector(".machine.running", { timeout: BOOT_MS });
  assert.equal(await page.inputValue("[data-field=image]"), "something:typed");
  assert.equal(await page.inputValue("[data-field=name]"), "not-lost");
  await page.keyboard.press("Escape");
  await page.waitForSelector("[data-container=hello]", { timeout: BOOT_MS });
  assert.ok((await rows()).includes("half a comm"), "what stood in the terminal still does");
});

/** The hypervisor of this suite: it has our home in its command line. */
function machinePid() {
  const [pid] = processes((words) => /qemu-system/.test(words[0]) && words.some((word) => word.includes(place.home)));
  assert.ok(pid, "no machine found");
  return pid;
}
