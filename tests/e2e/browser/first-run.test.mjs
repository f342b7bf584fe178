// A first run in a real browser, against the dev server and a real machine; then every page under axe.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { firstRun } from "../first-run.mjs";
import { BOOT_MS, Place, artifacts, programs, require, root, still, until } from "../place.mjs";
import { openBrowser } from "./walk.mjs";

let place;
let browser;
let page;
let url;
let failed = false;
const pageErrors = [];

before(async () => {
  place = new Place("browser");
  [url] = await place.start(programs.devServer, ["--port", "0", "--ui", path.join(root, "ui/dist")], /http:\S+/);
  browser = await openBrowser();
  page = await browser.newPage({ viewport: { width: 1180, height: 780 }, locale: "en-US" });
  page.on("pageerror", (error) => {
    failed = true;
    pageErrors.push(error.stack ?? String(error));
  });
  await page.goto(url);
});

after(async () => {
  await browser?.close();
  await place?.end(failed);
});

const adapter = {
  eval: (script) => page.evaluate(script),
  click: (selector) => page.click(selector),
  type: (text) => page.keyboard.type(text),
  press: (key) => page.keyboard.press(key),
  opens: async (selector) => {
    const [tab] = await Promise.all([page.context().waitForEvent("page"), page.click(selector)]);
    await tab.waitForLoadState();
    const address = tab.url();
    await tab.close();
    return address;
  },
  shot: (name) => page.screenshot({ path: path.join(artifacts, `browser-${name}.png`) }),
};

test("first run", async (t) => {
  try {
    await firstRun(adapter, (name, run) =>
      t.test(name, async () => {
        try {
          await run();
        } catch (error) {
          if (!failed) await adapter.shot("failure");
          failed = true;
          throw error;
        }
      }),
    );
  } catch (error) {
    failed = true;
    throw error;
  }
});

/** Presses a key until the focus is on what matches. */
async function focus(selector, key = "Tab") {
  for (let presses = 0; presses < 60; presses++) {
    if (await page.evaluate((wanted) => document.activeElement?.matches(wanted) ?? false, selector)) return;
    await page.keyboard.press(key);
  }
  await adapter.shot("failure-keyboard");
  throw new Error(`${key} never reaches ${selector}`);
}

test("everything works by keyboard alone", async () => {
  await page.goto(url);
  await until("the demo's button", () => page.isVisible("[data-action=run-demo]"));
  await focus("nav [href='#/home']");
  await focus("[data-action=run-demo]");
  await page.keyboard.press("Enter");
  await until("the family tree", () => page.isVisible(".tree a.container"));

  await focus("a.container");
  await page.keyboard.press("Enter");
  await until("the details", () => page.isVisible("[role=tab]"));
  await focus("[role=tab][aria-selected=true]");
  await page.keyboard.press("ArrowRight");
  await until("the logs", () => page.isVisible("[role=log]"));
  assert.equal(await page.evaluate(() => document.activeElement?.id), "tab-logs", "the focus moves with the choice");

  await page.keyboard.press("Control+k");
  await until("the palette", () => page.isVisible("[role=combobox]"));
  await page.keyboard.type("doors");
  await page.keyboard.press("Enter");
  await until("the doors page", async () => (await page.textContent("main h1"))?.startsWith("Doors"));

  await page.keyboard.press("Control+2");
  await until("the list", () => page.isVisible("[data-container=hello]"));
  await focus("[data-container=hello] [aria-haspopup=menu]");
  await page.keyboard.press("Enter");
  await until("the menu", () => page.isVisible("[role=menu]"));
  await focus("[role=menuitem].danger", "ArrowDown");
  await page.keyboard.press("Escape");
  await until("no menu", async () => !(await page.isVisible("[role=menu]")));
  assert.ok(await page.evaluate(() => document.activeElement?.matches("[aria-haspopup=menu]")), "the focus returns to the menu's button");
});

test("no page has an accessibility violation that axe can find", async (t) => {
  await page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    for (const name of ["home", "apps", "images", "doors", "machine"]) {
      await t.test(`${name}, ${scheme}`, async () => {
        await page.click(`nav [href='#/${name}']`);
        await until("the page's heading", () => page.isVisible("main h1"));
        await still(page);
        const { violations } = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
        const found = violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html} ${node.any.map((check) => check.message).join("; ")}`));
        assert.deepEqual(found, []);
      });
    }
  }
});

test("a page that comes back finds everything as it was left", async () => {
  await page.click("nav [href='#/apps']");
  await page.reload();
  await until("the list", () => page.isVisible("[data-container=hello][data-state=running]"));
});

test("everything is copied, thrown away, and put back as it was", async () => {
  const address = place.status().docker_host;
  const docker = (...parameters) => place.dockerAt(address, ...parameters);
  const all = () => ["ps", "images", "volume ls"].map((list) => docker(...list.split(" "), "-q", ...(list === "volume ls" ? [] : ["-a", "--no-trunc"])).split("\n").sort().join());
  const image = docker("inspect", "-f", "{{.Config.Image}}", "hello");
  // The demo's shell writes no files.
  const word = path.join(place.home, "word");
  writeFileSync(word, "this stays");
  docker("create", "--name", "keeper", "-v", "kept:/kept", image);
  docker("cp", "-q", word, "keeper:/kept/word");
  const before = all();
  const running = () => page.waitForSelector(".machine.running", { timeout: BOOT_MS });
  const done = async (kind) => {
    // In the corner it stays for seconds only.
    await page.click("[data-action=activity]");
    await page.waitForSelector(`dialog [data-job=${kind}]:not([data-state=running])`, { timeout: BOOT_MS });
    assert.equal(await page.getAttribute(`dialog [data-job=${kind}]`, "data-state"), "done");
    await page.keyboard.press("Escape");
    await page.waitForSelector("dialog[open]", { state: "detached" });
    await running();
  };
  await page.click("nav [href='#/machine']");
  await page.click("[data-action=export]");
  await done("export");
  const [copy, ...more] = readdirSync(path.join(place.home, "Downloads"));
  assert.deepEqual(more, [], "one file");
  assert.deepEqual(all(), before, "a copy changes nothing");

  await page.click("[data-action=reset]");
  await page.waitForSelector("[data-action=confirm-reset]:disabled");
  await page.check("[data-field=sure]");
  await page.click("[data-action=confirm-reset]");
  await page.waitForSelector("dialog[open]", { state: "detached", timeout: BOOT_MS });
  await running();
  assert.deepEqual(all(), ["", "", ""], "nothing is left");
  await page.click("nav [href='#/apps']");
  await page.waitForSelector("[data-container]", { state: "detached" });

  // As from the desktop's dialog, which gives a path: a browser would send the file, with all the gaps in it.
  await page.evaluate((file) => new Promise((resolve, reject) => {
    const socket = new WebSocket(new URL("socket", document.baseURI));
    socket.onopen = () => socket.send(JSON.stringify({ type: "call", id: 1, command: { type: "upkeep", command: { type: "import", from: { type: "path", path: file } } } }));
    socket.onmessage = ({ data }) => (JSON.parse(data).type === "reply" ? resolve() : reject(new Error(data)));
    socket.onerror = reject;
  }), path.join(place.home, "Downloads", copy));
  await done("import");
  assert.deepEqual(all(), before, "every container, image and volume is the one it was");
  docker("cp", "-q", "keeper:/kept/word", `${word}-again`);
  assert.equal(readFileSync(`${word}-again`, "utf8"), "this stays");
  await page.waitForSelector("[data-container=hello]");
});

test("no script failed meanwhile", () => assert.deepEqual(pageErrors, []));
