// Where a suite runs: the built programs, a home of its own, and everything ended and removed afterwards.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../..", import.meta.url));
export const artifacts = path.join(root, "tests/artifacts");
/** Packages are the UI's: `npm ci` in ui/ installs them. */
export const require = createRequire(path.join(root, "ui/package.json"));

const target = process.env["CARGO_TARGET_DIR"] ?? path.join(root, "target");
export const programs = {
  cubby: process.env["CUBBY"] ?? path.join(target, "debug/cubby"),
  app: process.env["CUBBY_APP"] ?? path.join(target, "debug/cubby-app"),
  devServer: process.env["CUBBY_DEV_SERVER"] ?? path.join(target, "debug/cubby-dev-server"),
  chromium: process.env["CUBBY_CHROMIUM"] ?? "/usr/bin/chromium",
  webDriver: process.env["CUBBY_WEBDRIVER"] ?? "WebKitWebDriver",
};

/** A machine under software emulation starts in seconds on a quiet computer, in a minute on a busy one. */
export const BOOT_MS = 180_000;
export const STEP_MS = 60_000;

export class Place {
  constructor(name) {
    this.name = name;
    this.home = mkdtempSync(path.join(tmpdir(), `cubby-${name}-`));
    this.env = { ...process.env, CUBBY_HOME: this.home, CUBBY: programs.cubby, LANG: "C.UTF-8", LANGUAGE: "en" };
    this.children = [];
    mkdirSync(artifacts, { recursive: true });
  }

  /** Starts a program that ends with the suite. Resolves with the first match of `ready` in its standard output. */
  start(program, parameters, ready, env = {}) {
    const child = spawn(program, parameters, { env: { ...this.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
    this.children.push(child);
    return new Promise((resolve, reject) => {
      let text = "";
      child.once("error", reject);
      child.once("exit", (code, signal) => reject(new Error(`${program} ended (${code ?? signal}): ${text}`)));
      child.stdout.on("data", (chunk) => {
        text += chunk;
        const found = ready.exec(text);
        if (found) resolve(found);
      });
    });
  }

  /** The docker command's output; the engine is at the address. */
  dockerAt(address, ...parameters) {
    return execFileSync("docker", ["-H", address, ...parameters], { env: this.env, encoding: "utf8", timeout: STEP_MS }).trim();
  }

  /** What `cubby status` tells of the machine. */
  status() {
    return JSON.parse(execFileSync(programs.cubby, ["status", "--json"], { env: this.env, encoding: "utf8", timeout: STEP_MS }));
  }

  /** Ends what was started, the machine included. `failed` prints the machine's own logs. */
  async end(failed) {
    for (const child of this.children.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await gone;
    }
    try {
      execFileSync(programs.cubby, ["down"], { env: this.env, stdio: "ignore", timeout: 60_000 });
    } catch {
      // Nothing was up: the suite failed before it started anything.
    }
    if (failed) this.#printLogs(this.home);
    rmSync(this.home, { recursive: true, force: true, maxRetries: 5 });
  }

  #printLogs(directory) {
    for (const entry of readdirSync(directory, { recursive: true })) {
      const file = path.join(directory, entry);
      if (!/\.log$/.test(file) || !statSync(file).isFile()) continue;
      console.error(`--- ${entry}\n${readFileSync(file, "utf8").slice(-6000)}`);
    }
  }
}

/** Asks until the answer is truthy. */
export async function until(what, ask, timeoutMs = STEP_MS) {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > deadline) throw new Error(`not within ${timeoutMs / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Numbers of the processes whose command line, word by word, is meant. */
export function processes(meant) {
  const those = (entry) => {
    try {
      return /^\d+$/.test(entry) && meant(readFileSync(`/proc/${entry}/cmdline`, "utf8").split("\0"), entry);
    } catch {
      return false; // It ended while we looked.
    }
  };
  return readdirSync("/proc").filter(those).map(Number);
}

/** Nobody listens there now. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Colours in the middle of a change are nobody's: waits until the page's transitions have ended. */
export function still(page) {
  return page.evaluate(async () => {
    const ending = document.getAnimations().filter((animation) => animation.effect?.getTiming().iterations !== Infinity);
    await Promise.all(ending.map((animation) => animation.finished.catch(() => {})));
  });
}
