// A screen and a desktop's session bus of a suite's own, and the app on them: under WebDriver, or started as a person would.

import { execFileSync, spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readlinkSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { freePort, programs, until } from "../place.mjs";
import { WebDriver } from "./webdriver.mjs";

const DESKTOP = fileURLToPath(new URL("desktop.py", import.meta.url));
/** The system's own: it has the bindings for the bus. */
const PYTHON = "/usr/bin/python3";

export class Screen {
  /** Starts a screen for the place; what is started here ends with it. */
  static async on(place) {
    const screen = new Screen();
    screen.place = place;
    const [, display] = await place.start("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x860x24", "-nolisten", "tcp"], /^(\d+)\n/);
    const bin = path.join(place.home, "bin");
    screen.opened = path.join(place.home, "opened");
    mkdirSync(bin);
    // What the desktop would open, written down instead.
    writeFileSync(path.join(bin, "xdg-open"), `#!/bin/sh\nprintf %s "$1" > '${screen.opened}.part' && mv '${screen.opened}.part' '${screen.opened}'\n`);
    chmodSync(path.join(bin, "xdg-open"), 0o755);
    screen.env = {
      DISPLAY: `:${display}`,
      PATH: `${bin}:${process.env["PATH"]}`,
      GDK_BACKEND: "x11",
      XDG_CONFIG_HOME: path.join(place.home, "config"),
      XDG_DATA_HOME: path.join(place.home, "data-home"),
      XDG_CACHE_HOME: path.join(place.home, "cache"),
      // Nobody's real session.
      DBUS_SESSION_BUS_ADDRESS: "unix:path=/nowhere",
    };
    return screen;
  }

  /** A session bus, and on it a place for icons and notifications. */
  async desktop() {
    const address = `unix:path=${this.place.home}/bus`;
    await this.place.start("dbus-daemon", ["--session", "--nofork", "--nopidfile", `--address=${address}`, "--print-address"], /unix:/);
    this.env.DBUS_SESSION_BUS_ADDRESS = address;
    this.log = path.join(this.place.home, "desktop.log");
    await this.place.start(PYTHON, [DESKTOP, "serve", this.log], /ready/, this.env);
    this.shelf = this.place.children.at(-1);
  }

  /** What the desktop was told so far. */
  told(what) {
    const lines = existsSync(this.log) ? readFileSync(this.log, "utf8").trim().split("\n").filter(Boolean) : [];
    return lines.map((line) => JSON.parse(line)).filter((line) => what in line);
  }

  #desktop(...parameters) {
    return execFileSync(PYTHON, [DESKTOP, ...parameters], { env: { ...process.env, ...this.env }, encoding: "utf8", timeout: 20_000, stdio: ["ignore", "pipe", "ignore"] });
  }

  /** The newest icon's menu; undefined while there is none, or one whose app is gone. */
  menu() {
    const icon = this.told("icon").at(-1)?.icon;
    try {
      return icon && JSON.parse(this.#desktop("menu", icon));
    } catch {
      return undefined;
    }
  }

  /** The entry with these labels, from the top down; undefined when there is none now. */
  entry(...labels) {
    let found = this.menu();
    for (const label of labels) found = found?.children.find((child) => child.label.includes(label));
    return found;
  }

  /** Clicks on an entry once it is there. */
  async choose(...labels) {
    const entry = await until(`${labels.join(" → ")} in the menu`, () => this.entry(...labels));
    this.#desktop("choose", this.told("icon").at(-1).icon, String(entry.id));
  }

  /** WebDriver, which starts the app. */
  async driver() {
    const port = await freePort();
    // The webview lets itself be driven only when asked. It prints nothing: it is ready when it answers.
    const env = { ...this.env, TAURI_AUTOMATION: "true", TAURI_WEBVIEW_AUTOMATION: "true" };
    this.place.start(programs.webDriver, [`--port=${port}`], /$^/, env).catch(() => {});
    const driver = new WebDriver(port);
    await until("WebDriver answers", () => driver.ready());
    return driver;
  }

  /** The app, as a person would start it. */
  app(...parameters) {
    const child = spawn(programs.app, parameters, { env: { ...this.place.env, ...this.env }, stdio: ["ignore", "ignore", "inherit"] });
    this.place.children.push(child);
    return child;
  }

  /** The app of this suite's home, however it was started. */
  appProcess() {
    const ours = (pid) => {
      try {
        return readlinkSync(`/proc/${pid}/exe`) === realpathSync(programs.app) && readFileSync(`/proc/${pid}/environ`, "latin1").includes(`CUBBY_HOME=${this.place.home}\0`);
      } catch {
        return false; // It ended while we looked, or is not ours to look into.
      }
    };
    return Number(readdirSync("/proc").find((pid) => /^\d+$/.test(pid) && ours(pid)));
  }

  /** As the button in a window's corner does. */
  close(title) {
    this.#desktop("close", this.window(title));
  }

  xdotool(...parameters) {
    try {
      return execFileSync("xdotool", parameters, { env: { ...process.env, ...this.env }, encoding: "utf8", timeout: 20_000, stdio: ["ignore", "pipe", "ignore"] }).trim();
    } catch {
      return ""; // No such window.
    }
  }

  /** Number of a window that is on the screen, by its title; empty when there is none. */
  window(title) {
    return this.xdotool("search", "--onlyvisible", "--name", title).split("\n")[0] ?? "";
  }
}
