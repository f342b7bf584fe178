// What is open in the app while the engine goes away underneath: its process killed, and the way to it across a network cut without
// a word. Both are shown, both come back by themselves, and nothing that was typed is lost. How soon is printed, not asserted: on an
// idle computer within 0.2 s of the kill, and within 8 s of the cut (see `app/pulse.rs` for why not sooner).

import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";
import { NativePlace, imageArchive } from "../native.mjs";
import { BOOT_MS, freePort, until } from "../place.mjs";
import { Walk } from "./walk.mjs";

const IMAGE = "e2e/loss:1";
let place;
let walk;
let page;
let way;

/** In front of a port; what is `cut` carries nothing any more and ends nothing: a cable that was pulled. */
class Way {
  cut = false;
  #ends = new Set();

  static async to(port) {
    const way = new Way();
    const server = createServer((near) => {
      const far = connect(port, "127.0.0.1");
      for (const [one, other] of [[near, far], [far, near]]) {
        way.#ends.add(one);
        one.on("data", (bytes) => way.cut || other.write(bytes));
        one.on("error", () => {});
        one.on("close", () => {
          way.#ends.delete(one);
          if (!way.cut) other.destroy();
        });
      }
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    way.port = server.address().port;
    way.end = () => {
      server.close();
      for (const end of way.#ends) end.destroy();
    };
    return way;
  }
}

before(async () => {
  place = new NativePlace("loss");
  const tcp = await freePort();
  const other = await place.another("other", `tcp://127.0.0.1:${tcp}`);
  way = await Way.to(tcp);
  walk = await Walk.begin(place, "loss");
  page = walk.page;
  const archive = imageArchive(place.home, IMAGE, [{ "etc/app.conf": "colour = blue\n" }]);
  for (const socket of [place.socket, other]) {
    place.dockerAt(socket, "load", "-q", "-i", archive);
    place.dockerAt(socket, "run", "-d", "--name", socket === other ? "far" : "near", IMAGE);
  }
});

after(async () => {
  way?.end();
  await (walk ? walk.end() : place?.end(true));
});

const step = (name, run) => test(name, () => walk.step(run));
const { sees, gone } = { sees: (...all) => walk.sees(...all), gone: (...all) => walk.gone(...all) };
const rows = () => page.evaluate(() => document.querySelector(".xterm-rows")?.textContent ?? "");
const type = async (text) => {
  await page.click(".xterm-screen");
  await page.keyboard.type(text);
};
const typed = (words) => until(`“${words}” in the terminal`, async () => (await rows()).includes(words));

/** A terminal with half a command in it, a file that is being changed, and half a form. */
async function beginMuch(name) {
  await walk.go("apps");
  await page.click(`[data-container='${name}'] a.main`);
  await page.click("#tab-terminal");
  await until("a prompt", async () => /[#$] *$/.test((await rows()).trimEnd()));
  await type("half a comm");
  await typed("half a comm");
  await page.click("#tab-files");
  await page.click("[data-file=etc] .name");
  await page.click("[data-file='app.conf'] .name");
  await page.click("[data-action=edit-file]");
  await page.fill("[data-field=file-text]", "colour = half\n");
  await page.click("[data-action=run]");
  await page.fill("[data-field=image]", "something:typed");
  await page.fill("[data-field=name]", `not-lost-${name}`);
}

async function findsIt(name) {
  assert.equal(await page.inputValue("[data-field=name]"), `not-lost-${name}`, "the form is still open, as it was");
  assert.equal(await page.inputValue("[data-field=image]"), "something:typed");
  await page.keyboard.press("Escape");
  assert.equal(await page.inputValue("[data-field=file-text]"), "colour = half\n", "so is the file");
  await page.click("[data-action=save-file]");
  await walk.reads(".stack", "app.conf is saved");
  await page.click("#tab-terminal");
  assert.ok((await rows()).includes("half a comm"), "what stood in the terminal still does");
  await page.click("[data-action=terminal-again]");
  await until("a new prompt", async () => /[#$] *$/.test((await rows()).trimEnd()));
  await type("busybox cat /etc/app.co''nf\n");
  await typed("colour = half");
  await page.click("#tab-logs");
  await walk.reads("[role=log]", "ready");
  assert.equal(await page.locator(".notice.error").count(), 0, "nobody is told of errors of a loss that is over");
}

step("an engine that is killed is shown at once; it comes back, and what was typed is there", async () => {
  await beginMuch("near");
  place.killEngine(place.socket);
  const killed = Date.now();
  await sees("[data-stale]", BOOT_MS);
  console.log(`engine killed: shown after ${Date.now() - killed} ms`);
  assert.equal(await page.locator("[data-container=near]").count(), 1, "what was known stays on the page");
  await walk.shot("engine-killed");
  await place.serve();
  await gone("[data-stale]");
  await sees(".machine.running");
  await findsIt("near");
});

step("a way that is cut without a word is noticed, and what was typed is there when it is mended", async () => {
  await walk.go("settings");
  await page.click("[data-action=add-engine]");
  await page.fill("#engine-name", "far away");
  await page.fill("#engine-address", `tcp://127.0.0.1:${way.port}`);
  await page.click("[data-action=confirm-engine]");
  await sees("[data-engine='far away'] input");
  await page.check("[data-engine='far away'] input");
  await walk.go("apps");
  await sees("[data-container=far][data-state=running]");
  await gone("[data-container=near]");
  await beginMuch("far");
  way.cut = true;
  const cut = Date.now();
  await sees("[data-stale]", BOOT_MS);
  console.log(`way cut: shown after ${Date.now() - cut} ms`);
  await sees(".machine.failed", BOOT_MS);
  await walk.shot("way-cut");
  way.cut = false;
  await gone("[data-stale]");
  await sees(".machine.running");
  await findsIt("far");
});

test("no script failed meanwhile", () => assert.deepEqual(walk.pageErrors, []));
