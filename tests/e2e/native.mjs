// The dev server over an engine of this machine, without a guest: for pages on which the machine plays no part. Root only.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { createHash } from "node:crypto";
import { tmpdir } from "node:os";
import path from "node:path";
import { Place, processes, programs, root } from "./place.mjs";

const engine = process.env["CUBBYD"] ?? path.join(path.dirname(programs.cubby), "cubbyd");

/** Of the engine's log, kept for a suite that fails. */
const LOG_CHARACTERS = 6000;

export class NativePlace extends Place {
  constructor(name) {
    super(name);
    this.log = "";
    this.others = [];
    this.socket = `unix://${this.home}/docker.sock`;
    this.env = { ...this.env, CUBBY_ENGINE: this.socket, HOME: this.home, DOCKER_CONFIG: path.join(this.home, "docker") };
  }

  /** The address of the UI. */
  async open() {
    await this.serve();
    const [url] = await this.start(programs.devServer, ["--port", "0", "--ui", process.env["CUBBY_UI"] ?? path.join(root, "ui/dist")], /http:\S+/);
    return url;
  }

  /** Starts the engine; its log is kept and printed when the suite fails. */
  serve() {
    return this.#engine(this.socket, "", []);
  }

  /** Another engine beside it, also on `tcp://` addresses. Its socket's address. */
  async another(name, ...addresses) {
    const socket = `unix://${this.home}/${name}.sock`;
    this.others.push(socket);
    await this.#engine(socket, `${name}-`, addresses);
    return socket;
  }

  async #engine(socket, prefix, addresses) {
    const listen = [socket, ...addresses].flatMap((address) => ["--listen", address]);
    const parameters = ["engine", ...listen, "--data-root", `${this.home}/${prefix}data`, "--run-dir", `${this.home}/${prefix}run`];
    // It says on its standard error that it listens. One process: a pipe in the shell would outlive its end.
    const started = this.start("/bin/sh", ["-c", `exec "$0" "$@" 2>&1`, engine, ...parameters], /API listens/, { NO_COLOR: "1" });
    this.children.at(-1).stdout.on("data", (text) => (this.log = (this.log + text).slice(-LOG_CHARACTERS)));
    await started;
  }

  docker(...parameters) {
    return this.dockerAt(this.socket, ...parameters);
  }

  async end(failed) {
    if (failed) console.error(`--- engine\n${this.log}`);
    for (const socket of [this.socket, ...this.others]) {
      try {
        for (const id of this.dockerAt(socket, "ps", "-aq").split("\n").filter(Boolean)) this.dockerAt(socket, "rm", "-f", id);
      } catch {
        // The engine is gone: what it left goes with its directories.
      }
      this.#stopEngine(socket);
    }
    await super.end(false);
  }

  /** The shell that feeds the log is this suite's child; the engine is the shell's, and does not end with it. */
  #stopEngine(socket) {
    for (const pid of processes((words) => words.includes(socket))) {
      try {
        process.kill(pid, "SIGTERM");
      } catch {
        // It ended meanwhile.
      }
    }
  }

  /** As a crash would: the engine's own process, not the one that keeps its containers. */
  killEngine(socket) {
    const [pid] = processes((words, entry) => words.includes(socket) && path.basename(readlinkSync(`/proc/${entry}/exe`)).startsWith("cubbyd"));
    if (!pid) throw new Error("no engine found");
    process.kill(pid, "SIGKILL");
  }
}

const digest = (bytes) => createHash("sha256").update(bytes).digest("hex");

/**
 * A `docker save` archive of one image over the static busybox. `layers` are lists of files: `{ "etc/motd": "hello" }`.
 * Returns the archive's path; the same layers give the same digests.
 */
export function imageArchive(directory, name, layers, config = {}) {
  const work = mkdtempSync(path.join(directory ?? tmpdir(), "image-"));
  const all = [{ "bin/busybox": readFileSync("/bin/busybox"), "bin/sh": readFileSync("/bin/busybox") }, ...layers];
  const names = all.map((files, at) => {
    const tree = path.join(work, `tree${at}`);
    for (const [file, content] of Object.entries(files)) {
      mkdirSync(path.join(tree, path.dirname(file)), { recursive: true });
      writeFileSync(path.join(tree, file), content, { mode: 0o755 });
    }
    execFileSync("tar", ["--sort=name", "--mtime=@1767225600", "--owner=0", "--group=0", "--numeric-owner", "-cf", path.join(work, `layer${at}.tar`), "-C", tree, "."]);
    rmSync(tree, { recursive: true });
    return `layer${at}.tar`;
  });
  const made = "2026-01-01T00:00:00Z";
  const text = JSON.stringify({
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    created: made,
    config: { Cmd: ["/bin/sh", "-c", "echo ready; exec /bin/busybox sleep 1d"], Env: ["PATH=/bin"], ...config },
    rootfs: { type: "layers", diff_ids: names.map((layer) => `sha256:${digest(readFileSync(path.join(work, layer)))}`) },
    history: [...names.map((layer, at) => ({ created: made, created_by: at === 0 ? "ADD busybox /bin # buildkit" : `COPY layer${at} / # buildkit` })), { created: made, created_by: "/bin/sh -c #(nop)  CMD [\"sh\"]", empty_layer: true }],
  });
  writeFileSync(path.join(work, `${digest(text)}.json`), text);
  writeFileSync(path.join(work, "manifest.json"), JSON.stringify([{ Config: `${digest(text)}.json`, RepoTags: [name], Layers: names }]));
  const archive = `${work}.tar`;
  execFileSync("tar", ["-cf", archive, "-C", work, "."]);
  rmSync(work, { recursive: true });
  return archive;
}

/** A registry of this machine, for pushing and pulling; ends with the place. Resolves with its address. */
export async function registry(place, port) {
  const config = path.join(place.home, "registry.yml");
  writeFileSync(config, `version: 0.1\nlog: { level: info }\nstorage: { filesystem: { rootdirectory: ${place.home}/registry } }\nhttp: { addr: "127.0.0.1:${port}" }\n`);
  await place.start("/bin/sh", ["-c", `exec docker-registry serve '${config}' 2>&1`], /listening on/);
  return `127.0.0.1:${port}`;
}
