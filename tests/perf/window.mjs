// The app's window against the least that a webview can be: start to first paint, and memory at rest. Linux, under Xvfb. Prints
// JSON; no test. CUBBY_APP and CUBBY_EMPTY_WINDOW name the programs. From the root: node tests/perf/window.mjs [rounds]

import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { programs, until } from "../e2e/place.mjs";

const rounds = Number(process.argv[2] ?? 9);
const empty = process.env["CUBBY_EMPTY_WINDOW"] ?? path.join(path.dirname(programs.app), "examples/empty_window");
const home = mkdtempSync(path.join(tmpdir(), "cubby-window-perf-"));
const screen = spawn("Xvfb", ["-displayfd", "1", "-screen", "0", "1280x860x24", "-nolisten", "tcp"], { stdio: ["ignore", "pipe", "ignore"] });
const display = await new Promise((resolve) => screen.stdout.once("data", (text) => resolve(String(text).trim())));

/** Of a process and all its descendants, what they have for themselves and their share of what they share. */
function memoryKib(pid) {
  const parents = new Map(readdirSync("/proc").filter((name) => /^\d+$/.test(name)).map((name) => [Number(name), parent(name)]));
  const family = [pid];
  for (let grown = true; grown; ) {
    const more = [...parents].filter(([child, of]) => family.includes(of) && !family.includes(child)).map(([child]) => child);
    grown = more.length > 0;
    family.push(...more);
  }
  return family.reduce((sum, member) => sum + pss(member), 0);
}

function parent(pid) {
  try {
    return Number(readFileSync(`/proc/${pid}/stat`, "utf8").replace(/.*\) /s, "").split(" ")[1]);
  } catch {
    return 0; // It ended meanwhile.
  }
}

function pss(pid) {
  try {
    return Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

async function look(program, round) {
  const own = path.join(home, `${path.basename(program)}-${round}`);
  mkdirSync(own);
  // An engine that is not there: the window is measured, not the machine.
  const env = { ...process.env, DISPLAY: `:${display}`, GDK_BACKEND: "x11", CUBBY_PRINT_PAINT: "1", CUBBY_HOME: own, CUBBY_ENGINE: "unix:///nowhere/docker.sock", XDG_CONFIG_HOME: own, XDG_DATA_HOME: own, XDG_CACHE_HOME: own, CUBBY_LOG: "error" };
  const child = spawn(program, [], { env, stdio: ["ignore", "pipe", "ignore"] });
  let text = "";
  child.stdout.on("data", (part) => (text += part));
  try {
    const painted = await until(`${program} paints`, () => /"first_paint_ms":(-?\d+)/.exec(text)?.[1], 60_000);
    // At rest: three equal looks.
    const seen = [];
    await until(`${program} is quiet`, () => {
      seen.push(memoryKib(child.pid));
      const last = seen.slice(-10);
      return last.length === 10 && Math.max(...last) - Math.min(...last) < 1024;
    }, 60_000);
    return { painted_ms: Number(painted), memory_mib: seen.at(-1) / 1024 };
  } finally {
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await gone;
  }
}

const results = { app: [], empty: [] };
try {
  for (let round = 0; round < rounds; round++) {
    results.empty.push(await look(empty, round));
    results.app.push(await look(programs.app, round));
  }
} finally {
  screen.kill();
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
}
console.log(JSON.stringify({ ...results, app_bytes: existsSync(programs.app) ? readFileSync(programs.app).length : null }));
