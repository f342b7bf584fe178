// A first run in the real app window, on a screen of its own, driven by WebKit's own WebDriver.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { firstRun } from "../first-run.mjs";
import { BOOT_MS, Place, artifacts, programs, until } from "../place.mjs";
import { Screen } from "./screen.mjs";

let place;
let screen;
let driver;
let failed = false;

before(async () => {
  place = new Place("window");
  screen = await Screen.on(place);
  driver = await screen.driver();
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
      await until("the desktop is asked to open something", () => existsSync(screen.opened));
      return readFileSync(screen.opened, "utf8");
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

test("an app that is killed finds its containers again", async () => {
  assert.ok(!failed, "not tried: the first run failed");
  failed = true;
  const cubby = (...parameters) => execFileSync(programs.cubby, parameters, { env: place.env, encoding: "utf8", timeout: BOOT_MS });
  cubby("demo");
  const running = "[data-container][data-state=running]";
  await driver.eval(`location.hash = "#/apps"`);
  await until("the demo runs", () => driver.eval(`!!document.querySelector(${JSON.stringify(running)})`));
  const before = JSON.parse(cubby("status", "--json"));

  const pid = screen.appProcess();
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
