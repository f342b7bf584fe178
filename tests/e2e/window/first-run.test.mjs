// A first run in the real app window, on a screen of its own, driven by WebKit's own WebDriver.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, readlinkSync, realpathSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { firstRun } from "../first-run.mjs";
import { BOOT_MS, Place, artifacts, programs, until } from "../place.mjs";
import { WebDriver } from "./webdriver.mjs";

let place;
let desktop;
let driver;
let failed = false;

/** What the desktop would open, written down instead: there is no desktop here. */
function standInForDesktop(home) {
  const bin = path.join(home, "bin");
  const opened = path.join(home, "opened");
  mkdirSync(bin);
  writeFileSync(path.join(bin, "xdg-open"), `#!/bin/sh\nprintf %s "$1" > '${opened}.part' && mv '${opened}.part' '${opened}'\n`);
  chmodSync(path.join(bin, "xdg-open"), 0o755);
  return { bin, opened };
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

before(async () => {
  place = new Place("window");
  const [, display] = await place.start("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x860x24", "-nolisten", "tcp"], /^(\d+)\n/);
  const port = await freePort();
  desktop = standInForDesktop(place.home);
  const env = {
    DISPLAY: `:${display}`,
    PATH: `${desktop.bin}:${process.env["PATH"]}`,
    // The webview lets itself be driven only when asked.
    TAURI_AUTOMATION: "true",
    TAURI_WEBVIEW_AUTOMATION: "true",
    GDK_BACKEND: "x11",
    XDG_CONFIG_HOME: path.join(place.home, "config"),
    XDG_DATA_HOME: path.join(place.home, "data"),
  };
  // It prints nothing: it is ready when it answers.
  place.start(programs.webDriver, [`--port=${port}`], /$^/, env).catch(() => {});
  driver = new WebDriver(port);
  await until("WebDriver answers", () => driver.ready());
  await driver.open(programs.app);
});

after(async () => {
  await driver?.close();
  await place?.end(failed);
});

test("first run in the window", async (t) => {
  const page = {
    eval: (script) => driver.eval(script),
    click: (selector) => driver.click(selector),
    type: (text) => driver.type(text),
    press: (key) => driver.press(key),
    opens: async (selector) => {
      await driver.click(selector);
      await until("the desktop is asked to open something", () => existsSync(desktop.opened));
      return readFileSync(desktop.opened, "utf8");
    },
    shot: (name) => driver.shot(path.join(artifacts, `window-${name}.png`)),
  };
  await firstRun(page, (name, run) =>
    t.test(name, async () => {
      try {
        await run();
      } catch (error) {
        if (!failed) await page.shot("failure");
        failed = true;
        throw error;
      }
    }),
  );
});

/** The app of this suite's home: WebDriver started it and does not tell its number. */
function appProcess(home) {
  const ours = (pid) => {
    try {
      return readlinkSync(`/proc/${pid}/exe`) === realpathSync(programs.app) && readFileSync(`/proc/${pid}/environ`, "latin1").includes(`CUBBY_HOME=${home}\0`);
    } catch {
      return false; // It ended while we looked, or is not ours to look into.
    }
  };
  return Number(readdirSync("/proc").find((pid) => /^\d+$/.test(pid) && ours(pid)));
}

test("an app that is killed finds its containers again", async () => {
  assert.ok(!failed, "not tried: the first run failed");
  failed = true;
  const cubby = (...parameters) => execFileSync(programs.cubby, parameters, { env: place.env, encoding: "utf8", timeout: BOOT_MS });
  cubby("demo");
  const running = "[data-container][data-state=running]";
  await driver.eval(`location.hash = "#/apps"`);
  await until("the demo runs", () => driver.eval(`!!document.querySelector(${JSON.stringify(running)})`));
  const before = JSON.parse(cubby("status", "--json"));

  const pid = appProcess(place.home);
  assert.ok(pid, "the app's process is found");
  process.kill(pid, "SIGKILL");
  await until("the app is gone", () => !existsSync(`/proc/${pid}`));
  await driver.forget();

  const after = JSON.parse(cubby("status", "--json"));
  assert.equal(after.state, before.state, "the machine did not notice");
  await driver.open(programs.app);
  await driver.eval(`location.hash = "#/apps"`);
  await until("the demo runs, in the new window", () => driver.eval(`!!document.querySelector(${JSON.stringify(running)})`));
  failed = false;
});
