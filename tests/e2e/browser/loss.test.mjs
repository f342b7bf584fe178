// What is open in the app while the engine goes away underneath: its process killed, the way to it across a network cut without a
// word, or only slow. It is shown, it comes back by itself, and nothing that was typed is lost. How soon is printed, not asserted: on
// any computer within 0.2 s of the kill and 1.5 s of the cut, both processors busy or not (`app/pulse.rs` asserts that by a clock of its own).

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { NativePlace, imageArchive } from "../native.mjs";
import { BOOT_MS, freePort, until } from "../place.mjs";
import { Way, sshd } from "../remote.mjs";
import { Walk } from "./walk.mjs";

const IMAGE = "e2e/loss:1";
/** Of a pause that a computer without time takes for an end. */
const MOST_TRIES = 10;
let place;
let walk;
let page;
const ways = {};

before(async () => {
  place = new NativePlace("loss");
  const tcp = await freePort();
  const other = await place.another("other", `tcp://127.0.0.1:${tcp}`);
  ways.tcp = await Way.to(tcp);
  ways.ssh = await Way.to(await sshd(place, other));
  walk = await Walk.begin(place, "loss");
  page = walk.page;
  const archive = imageArchive(place.home, IMAGE, [{ "etc/app.conf": "colour = blue\n" }]);
  for (const socket of [place.socket, other]) {
    place.dockerAt(socket, "load", "-q", "-i", archive);
    // One for each way: a shell goes on by the way that it was opened by.
    for (const name of socket === other ? ["far", "farther"] : ["near"]) place.dockerAt(socket, "run", "-d", "--name", name, IMAGE);
  }
});

after(async () => {
  for (const way of Object.values(ways)) way.end();
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
async function beginMuch(name, colour) {
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
  await page.fill("[data-field=file-text]", `colour = ${colour}\n`);
  await page.click("[data-action=run]");
  await page.fill("[data-field=image]", "something:typed");
  await page.fill("[data-field=name]", `not-lost-${name}`);
}

async function findsIt(name, colour) {
  assert.equal(await page.inputValue("[data-field=name]"), `not-lost-${name}`, "the form is still open, as it was");
  assert.equal(await page.inputValue("[data-field=image]"), "something:typed");
  await page.keyboard.press("Escape");
  assert.equal(await page.inputValue("[data-field=file-text]"), `colour = ${colour}\n`, "so is the file");
  await page.click("[data-action=save-file]");
  await walk.reads(".stack", "app.conf is saved");
  await page.click("#tab-terminal");
  assert.ok((await rows()).includes("half a comm"), "what stood in the terminal still does");
  await page.click("[data-action=terminal-again]");
  await until("a new prompt", async () => /[#$] *$/.test((await rows()).trimEnd()));
  await type("busybox cat /etc/app.co''nf\n");
  await typed(`colour = ${colour}`);
  await page.click("#tab-logs");
  await walk.reads("[role=log]", "ready");
  assert.equal(await page.locator(".notice.error").count(), 0, "nobody is told of errors of a loss that is over");
}

step("an engine that is killed is shown at once; it comes back, and what was typed is there", async () => {
  await beginMuch("near", "grey");
  place.killEngine(place.socket);
  const killed = Date.now();
  await sees("[data-stale]", BOOT_MS);
  console.log(`engine killed: shown after ${Date.now() - killed} ms`);
  assert.equal(await page.locator("[data-container=near]").count(), 1, "what was known stays on the page");
  await walk.shot("engine-killed");
  await place.serve();
  await gone("[data-stale]");
  await sees(".machine.running");
  await findsIt("near", "grey");
});

/** What the page said of the engine, one after the other, from now on. */
async function listen() {
  await page.evaluate(() => {
    const told = (globalThis.told = []);
    const look = () => {
      const now = document.querySelector("[data-stale]") ? "lost" : document.querySelector("[data-silent]") ? "silent" : "well";
      if (told.at(-1) !== now) told.push(now);
    };
    look();
    globalThis.listener?.disconnect();
    globalThis.listener = new MutationObserver(look);
    globalThis.listener.observe(document.body, { subtree: true, childList: true, attributes: true });
  });
  return () => page.evaluate(() => globalThis.told);
}

/** The engine over there, by another way than before. */
async function use(name, address) {
  await walk.go("settings");
  await page.check("[data-engine='CUBBY_ENGINE'] input");
  await gone("[data-container=far]");
  await page.click("[data-action=add-engine]");
  await page.fill("#engine-name", name);
  await page.fill("#engine-address", address);
  await page.click("[data-action=confirm-engine]");
  await sees(`[data-engine='${name}'] input`);
  await page.check(`[data-engine='${name}'] input`);
  await walk.go("apps");
  await sees("[data-container=far][data-state=running]");
  await gone("[data-container=near]");
}

const openTerminal = async (container) => {
  await walk.go("apps");
  await page.click(`[data-container=${container}] a.main`);
  await page.click("#tab-terminal");
  await until("a prompt", async () => /[#$] *$/.test((await rows()).trimEnd()));
};

/** A pause is said, nothing ends of it, and what is said goes by itself. */
async function pauses(way, container) {
  await openTerminal(container);
  for (let tries = 1; ; tries++) {
    await type("ec");
    const told = await listen();
    way.hold();
    const held = Date.now();
    await sees("[data-silent], [data-stale]", BOOT_MS);
    const after = Date.now() - held;
    assert.equal(await page.locator(`[data-container=${container}]`).count(), 1, "the row stays");
    await type("ho st''ill");
    way.release();
    await sees("main:not(:has([data-silent], [data-stale]))", BOOT_MS);
    if (!(await told()).includes("lost")) {
      console.log(`no answer: said after ${after} ms`);
      break;
    }
    assert.ok(tries < MOST_TRIES, "what is open ends of a pause");
    await page.click("[data-action=terminal-again]");
    await until("a new prompt", async () => /[#$] *$/.test((await rows()).trimEnd()));
  }
  await page.keyboard.press("Enter");
  await typed("still");
}

step("an engine across TCP that answers late is said to, and nothing ends of it", async () => {
  await use("far away", `tcp://127.0.0.1:${ways.tcp.port}`);
  await pauses(ways.tcp, "far");
});

step("a way that is cut without a word is noticed, and what was typed is there when it is mended", async () => {
  await beginMuch("far", "green");
  ways.tcp.cut();
  const cut = Date.now();
  await sees("[data-silent], [data-stale]", BOOT_MS);
  console.log(`way cut: shown after ${Date.now() - cut} ms`);
  await sees("[data-stale]", BOOT_MS);
  console.log(`way cut: given up after ${Date.now() - cut} ms`);
  assert.equal(await page.locator("[data-container=far]").count(), 1, "what was known stays on the page");
  await sees(".machine.failed", BOOT_MS);
  await walk.shot("way-cut");
  ways.tcp.mend();
  await gone("[data-stale]");
  await sees(".machine.running");
  await findsIt("far", "green");
});

step("the same over SSH: late", async () => {
  await use("by ssh", `ssh://root@127.0.0.1:${ways.ssh.port}`);
  await pauses(ways.ssh, "farther");
});

step("and cut", async () => {
  await beginMuch("farther", "red");
  const told = await listen();
  ways.ssh.cut();
  const cut = Date.now();
  await sees("[data-silent]", BOOT_MS);
  console.log(`way of ssh cut: shown after ${Date.now() - cut} ms`);
  await walk.shot("silent");
  assert.equal(await page.inputValue("[data-field=name]"), "not-lost-farther", "the form is still open");
  ways.ssh.mend();
  await until("the loss is told and over", async () => (await told()).includes("lost") && (await told()).at(-1) === "well", BOOT_MS);
  assert.ok((await told()).indexOf("silent") < (await told()).indexOf("lost"), "it was said before anything ended");
  await sees(".machine.running");
  await findsIt("farther", "red");
});

test("no script failed meanwhile", () => assert.deepEqual(walk.pageErrors, []));
