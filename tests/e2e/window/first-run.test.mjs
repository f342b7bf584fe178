// A first run in the real app window, on a screen of its own, driven by WebKit's own WebDriver.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { firstRun } from "../first-run.mjs";
import { Place, artifacts, programs, until } from "../place.mjs";
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
