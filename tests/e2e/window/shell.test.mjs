// What the shell adds to the page: the icon beside the clock, notifications, the system's dialogs, a window that comes back as it
// was, one app at a time, and a start without a window. The real app over a native engine, on a screen and a session bus of its own.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, before } from "node:test";
import { NativePlace, imageArchive } from "../native.mjs";
import { artifacts, programs, until } from "../place.mjs";
import { Steps } from "../steps.mjs";
import { Screen } from "./screen.mjs";

const IMAGE = "e2e/shell:1";
let place;
let screen;
let driver;
let app;
const steps = new Steps(() => execFileSync("import", ["-display", screen.env.DISPLAY, "-window", "root", path.join(artifacts, "window-shell-failure.png")]));
const step = (name, run) => steps.step(name, run);

before(async () => {
  place = new NativePlace("shell");
  screen = await Screen.on(place);
  await screen.desktop();
  mkdirSync(path.join(place.home, "Downloads"));
  await place.serve();
  place.docker("load", "-q", "-i", imageArchive(place.home, IMAGE, []));
  place.docker("run", "-d", "--name", "web", "--stop-timeout", "0", IMAGE);
  driver = await screen.driver();
  await driver.open(programs.app);
});

after(async () => {
  await driver?.forget();
  await place?.end(steps.failed);
});

const has = (selector) => driver.eval(`!!document.querySelector(${JSON.stringify(selector)})`);
const sees = (selector) => until(`${selector} on the page`, () => has(selector));
const go = (where) => driver.eval(`location.hash = ${JSON.stringify(`#/${where}`)}`);
const shot = (name) => driver.shot(path.join(artifacts, `window-shell-${name}.png`));
const state = (name) => place.docker("inspect", "-f", "{{.State.Status}}", name);
const windowThere = () => until("the window", () => screen.window("^Cubby$"));
const windowGone = () => until("no window", () => !screen.window("^Cubby$"));
const size = () => /Geometry: (\d+x\d+)/.exec(screen.xdotool("getwindowgeometry", screen.window("^Cubby$")))?.[1];

step("a save asks with the system's own dialog, where the file goes", async () => {
  await sees("nav [href='#/images']");
  await go("images");
  await sees(`[data-image='${IMAGE}']`);
  await driver.click(`[data-image='${IMAGE}'] [aria-haspopup=menu]`);
  await driver.eval(`[...document.querySelectorAll("[role=menuitem]")].find((item) => item.textContent.includes("Save to a file")).click()`);
  const target = path.join(place.home, "kept.tar");
  const dialog = await until("the dialog", () => screen.xdotool("search", "--onlyvisible", "--class", "cubby").split("\n").find((id) => id && id !== screen.window("^Cubby$")));
  screen.xdotool("windowfocus", "--sync", dialog);
  screen.xdotool("key", "--window", dialog, "ctrl+a");
  screen.xdotool("type", "--window", dialog, target);
  screen.xdotool("key", "--window", dialog, "Return");
  await until("the file", () => existsSync(target));
  assert.match(execFileSync("tar", ["-tf", target], { encoding: "utf8" }), /manifest\.json/);
});

step("start at login is one switch, and says what is", async () => {
  await go("settings");
  const label = `[...document.querySelectorAll("label")].find((label) => label.textContent === "Start with the computer")`;
  await until("the switch", () => driver.eval(`!!${label}`));
  await shot("settings");
  const entry = path.join(screen.env.XDG_CONFIG_HOME, "autostart/cubby-app-default.desktop");
  await driver.eval(`${label}.click()`);
  await until("the entry", () => existsSync(entry));
  assert.match(readFileSync(entry, "utf8"), /cubby-app" --hidden/);
  await driver.eval(`${label}.click()`);
  await until("no entry", () => !existsSync(entry));
});

step("an engine that is killed is shown, and the window goes on where it was when it is back", async () => {
  await go("apps");
  await sees("[data-container=web][data-state=running]");
  await driver.click("[data-action=run]");
  await sees("[data-field=name]");
  await driver.click("[data-field=name]");
  await driver.type("not-lost");
  place.killEngine(place.socket);
  const killed = Date.now();
  await sees("[data-stale]");
  console.log(`engine killed: shown in the window after ${Date.now() - killed} ms`);
  await place.serve();
  await until("it is back", () => driver.eval(`!document.querySelector("[data-stale]") && !!document.querySelector(".machine.running")`));
  assert.equal(await driver.eval(`document.querySelector("[data-field=name]").value`), "not-lost");
  await driver.press("Escape");
  await sees("[data-container=web][data-state=running]");
});

step("the icon says what runs; its menu acts", async () => {
  const driven = screen.appProcess();
  await driver.close();
  await until("the driven app is gone", () => !existsSync(`/proc/${driven}`));
  app = screen.app();
  await windowThere();
  await until("1 running", () => screen.entry("1 running"));
  assert.deepEqual(screen.entry("web").children.map((child) => child.label), ["Show", "Restart", "Stop"]);
  await screen.choose("web", "Stop");
  await until("it is stopped", () => state("web") === "exited");
  await until("0 running", () => screen.entry("0 running"));
  assert.equal(screen.entry("web"), undefined, "what does not run is not there");
});

step("a closed window leaves the icon; what a person would want to know comes as a notification", async () => {
  screen.xdotool("windowsize", "--sync", screen.window("^Cubby$"), "900", "640");
  await until("the size", () => size() === "900x640");
  screen.close("^Cubby$");
  await windowGone();
  assert.equal(app.exitCode, null, "the app goes on");
  place.docker("run", "-d", "--name", "falls", IMAGE, "/bin/sh", "-c", "busybox sleep 2; exit 3");
  await until("the notification", () => screen.told("notification").some((told) => told.notification === "falls stopped by itself"));
});

step("the menu brings the window back, at the place it names and in its old size", async () => {
  place.docker("start", "web");
  await screen.choose("web", "Show");
  await windowThere();
  await until("the size", () => size() === "900x640");
});

step("a second start shows the window of the first and ends", async () => {
  screen.close("^Cubby$");
  await windowGone();
  const second = screen.app();
  await until("the second ends", () => second.exitCode !== null);
  assert.equal(second.exitCode, 0);
  await windowThere();
});

step("quitting ends the app and no container", async () => {
  await screen.choose("Quit");
  await until("the app is gone", () => app.exitCode !== null);
  assert.equal(app.exitCode, 0);
  assert.equal(state("web"), "running");
});

step("started at login it is there without a window", async () => {
  app = screen.app("--hidden");
  await until("1 running", () => screen.told("icon").length >= 3 && screen.entry("1 running"));
  assert.equal(screen.window("^Cubby$"), "");
  await screen.choose("Open Cubby");
  await windowThere();
});

step("where no desktop shows icons, closing the window ends the app", async () => {
  const gone = new Promise((resolve) => screen.shelf.once("exit", resolve));
  screen.shelf.kill();
  await gone;
  screen.close("^Cubby$");
  await until("the app is gone", () => app.exitCode !== null);
});
