import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { dockerRun } from "./command-line";
import { serviceOf } from "./compose";
import { parseRun, parseWords } from "./parse";
import { emptyRun, sizeBytes, sizeText, type Run } from "./spec";

const run = (text: string) => parseRun(text)?.run;
const problems = (text: string) => parseRun(text)?.pieces.filter((piece) => piece.problem).map((piece) => piece.explains);
const dangers = (text: string) => parseRun(text)?.pieces.flatMap((piece) => piece.danger ?? []);

describe("a docker run line", () => {
  it("becomes the form's contents", () => {
    expect(run(`sudo docker run -itd --name web -p 127.0.0.1:8080:80 -p 53:53/udp -e A=1 -e "B=two words" \\
      -v data:/data:ro -v ./here:/there --restart=on-failure:3 -m 1.5g --cpus .5 --entrypoint=/start nginx:1 -g 'daemon off;'`)).toEqual({
      ...emptyRun("nginx:1"), interactive: true, tty: true, name: "web",
      ports: [{ container_port: 80, protocol: "tcp", host_port: 8080, host_ip: "127.0.0.1" }, { container_port: 53, protocol: "udp", host_port: 53, host_ip: null }],
      env: [{ name: "A", value: "1" }, { name: "B", value: "two words" }],
      mounts: [{ kind: "volume", source: "data", target: "/data", read_only: true }, { kind: "bind", source: "./here", target: "/there", read_only: false }],
      restart: "on-failure", restart_retries: 3, memory_bytes: 1.5 * 1024 ** 3, cpus: 0.5, entrypoint: ["/start"], command: ["-g", "daemon off;"],
    });
  });

  it("is found in a README's steps, behind a prompt, with flags of docker itself, and by other names", () => {
    for (const text of ["docker pull web\ndocker run web", "$ docker run web", "docker --context x -H tcp://y run web", "docker container run web", "podman run web", "DOCKER_BUILDKIT=1 docker run web"]) {
      expect(run(text)?.image, text).toBe("web");
    }
    expect(run("docker ps")).toBeUndefined();
    expect(run("echo hello")).toBeUndefined();
  });

  it("takes short flags together and joined to their values", () => {
    expect(run("docker run -dp 80:80 -p443:443 -itu root -e=A=b x")).toMatchObject({ ports: [{ host_port: 80 }, { host_port: 443 }], interactive: true, tty: true, user: "root", env: [{ name: "A", value: "b" }] });
  });

  it("takes a range of ports", () => {
    expect(run("docker run -p 8000-8002:9000-9002 x")?.ports.map((port) => [port.host_port, port.container_port])).toEqual([[8000, 9000], [8001, 9001], [8002, 9002]]);
  });

  it("tells what it does not know, what makes no sense and what only a shell fills in, and reads on", () => {
    expect(problems("docker run --frobnicate -p 99999:1 --gpus all -v $PWD:/app --memory lots x")).toEqual(["flag.unknown", "flag.senseless", "flag.left", "flag.filled", "flag.senseless"]);
    expect(run("docker run --gpus all --log-driver json-file -m nonsense x y")).toMatchObject({ image: "x", command: ["y"], memory_bytes: null });
    expect(problems("docker run -d")).toEqual(["flag.no_image"]);
    expect(problems("docker run -d 'x")).toEqual(["flag.open_quote"]);
  });

  it("explains every part once", () => {
    expect(parseRun("docker run -d --rm -p 80:80 web serve")?.pieces.map((piece) => [piece.text, piece.explains])).toEqual([["-d", "flag.detach"], ["--rm", "flag.rm"], ["-p 80:80", "flag.publish"], ["web", "flag.image"], ["serve", "flag.command"]]);
  });

  it("marks what is dangerous, at the flag that makes it so", () => {
    for (const [flags, danger] of [
      ["--privileged", "privileged"], ["-v /var/run/docker.sock:/var/run/docker.sock", "socket"], ["-v /:/host:ro", "root_folder"], ["-v /etc:/x", "system_folder"],
      ["--network host", "network_host"], ["--net=host", "network_host"], ["--pid host", "pid_host"], ["--ipc=host", "ipc_host"], ["--cap-add SYS_ADMIN", "cap_strong"],
      ["--cap-add=cap_sys_ptrace", "cap_strong"], ["--cap-add CHOWN", "cap"], ["--device /dev/kvm", "device"], ["--security-opt seccomp=unconfined", "unconfined"],
      ["--mount type=bind,source=/,target=/host", "root_folder"],
    ]) expect(dangers(`docker run ${flags} x`), flags).toEqual([`danger.${danger}`]);
    expect(dangers("docker run -p 80:80 -v data:/d -v /home/me/site:/s --network mine x")).toEqual([]);
  });
});

const name = fc.stringMatching(/^[a-z][a-z0-9_.-]{1,8}$/);
const words = fc.array(fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }), { maxLength: 3 });
const path = fc.stringMatching(/^\/[a-z0-9_/]{1,10}$/);
const maybe = <T>(of: fc.Arbitrary<T>) => fc.option(of, { nil: null });
const pairs = fc.array(fc.record({ name, value: fc.string({ maxLength: 10 }) }), { maxLength: 3 });
const port = fc.record({ container_port: fc.integer({ min: 1, max: 65535 }), protocol: fc.constantFrom("tcp" as const, "udp" as const, "sctp" as const), host_port: maybe(fc.integer({ min: 1, max: 65535 })), host_ip: maybe(fc.constantFrom("127.0.0.1", "::1")) });
const mount = fc.oneof(
  fc.record({ kind: fc.constant("bind" as const), source: path, target: path, read_only: fc.boolean() }),
  fc.record({ kind: fc.constant("volume" as const), source: fc.oneof(name, fc.constant("")), target: path, read_only: fc.boolean() }),
  fc.record({ kind: fc.constant("tmpfs" as const), source: fc.constant(""), target: path, read_only: fc.boolean() }),
);
const anyRun: fc.Arbitrary<Run> = fc.record({
  image: name, name: maybe(name), ports: fc.array(port, { maxLength: 3 }), publish_all: fc.boolean(), env: pairs, command: words,
  entrypoint: maybe(fc.tuple(fc.string({ maxLength: 8 }))), mounts: fc.array(mount, { maxLength: 3 }), memory_bytes: maybe(fc.integer({ min: 1, max: 2 ** 40 })),
  cpus: maybe(fc.integer({ min: 1, max: 64 }).map((n) => n / 4)), pids_limit: maybe(fc.integer({ min: -1, max: 9999 })), shm_bytes: maybe(fc.integer({ min: 1, max: 2 ** 32 })),
  restart: fc.constant(null), restart_retries: fc.constant(null), network: maybe(name), network_aliases: fc.array(name, { maxLength: 2 }), hostname: maybe(name), user: maybe(name),
  workdir: maybe(path), labels: pairs, tty: fc.boolean(), interactive: fc.boolean(), init: fc.boolean(), auto_remove: fc.boolean(), read_only: fc.boolean(), privileged: fc.boolean(),
  cap_add: fc.array(name, { maxLength: 2 }), cap_drop: fc.array(name, { maxLength: 2 }), devices: fc.array(path, { maxLength: 2 }), security_opt: fc.array(name, { maxLength: 2 }),
  group_add: fc.array(name, { maxLength: 2 }), dns: fc.array(name, { maxLength: 2 }), extra_hosts: fc.array(fc.tuple(name, name).map(([a, b]) => `${a}:${b}`), { maxLength: 2 }), pid_mode: maybe(name), ipc_mode: maybe(name),
  sysctls: pairs, ulimits: fc.array(fc.tuple(fc.integer({ min: 0, max: 99 }), fc.integer({ min: 0, max: 99 })).map(([a, b]) => `nofile=${a}:${b}`), { maxLength: 2 }),
  stop_signal: maybe(name), stop_timeout_s: maybe(fc.integer({ min: 0, max: 999 })), platform: maybe(name), health_command: maybe(fc.oneof(fc.string({ minLength: 1, maxLength: 10 }), fc.constant("NONE"))),
});

describe("for any form", () => {
  it("its own command line is read back as the same form, with nothing left unexplained", () => {
    fc.assert(fc.property(anyRun, (wanted) => {
      const parsed = parseRun(dockerRun(wanted));
      expect(parsed?.run).toEqual(wanted);
      expect(parsed?.pieces.filter((piece) => piece.problem)).toEqual([]);
    }), { numRuns: 500 });
  });

  it("any words are taken without failing, and the first that is no flag is the image", () => {
    const word = fc.oneof(fc.constantFrom("-d", "-it", "-p", "80:80", "-v", "--rm", "--name", "--", "--what", "-", "=", "x"), fc.string({ maxLength: 6 }));
    fc.assert(fc.property(fc.array(word, { maxLength: 12 }), (all) => {
      const parsed = parseWords(all.map((text) => ({ text, filled: false })));
      expect(all.includes(parsed.run.image) || parsed.run.image === "").toBe(true);
    }));
  });

  it("sizes are written so that they are read back", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 2 ** 45 }), (bytes) => {
      expect(sizeBytes(sizeText(bytes))).toBe(bytes);
    }));
    expect([sizeBytes("1gb"), sizeBytes("512 MiB"), sizeBytes("ten")]).toEqual([1024 ** 3, 512 * 1024 ** 2, undefined]);
  });
});

describe("a Compose service", () => {
  it("becomes the same words as a docker run line", async () => {
    const service = await serviceOf(`
services:
  db:
    image: postgres:17
    restart: unless-stopped
    environment: { POSTGRES_PASSWORD: "it's $$5", TZ: Europe/Berlin }
    ports: ["5432:5432", { target: 80, published: 8080, protocol: udp }]
    volumes:
      - data:/var/lib/postgresql/data
      - type: bind
        source: ./init
        target: /init
        read_only: true
    healthcheck: { test: ["CMD-SHELL", "pg_isready -U x"] }
    deploy: { resources: { limits: { memory: 512M, cpus: "0.5" } } }
    command: postgres -c 'max_connections=9'
    depends_on: [cache]
  cache: { image: redis }
`);
    expect(service?.left).toEqual(["depends_on"]);
    expect(service?.others).toEqual(["cache"]);
    const { run, pieces } = parseWords(service?.words ?? []);
    expect(pieces.filter((piece) => piece.problem)).toEqual([]);
    expect(run).toEqual({
      ...emptyRun("postgres:17"), name: "db", restart: "unless-stopped", env: [{ name: "POSTGRES_PASSWORD", value: "it's $5" }, { name: "TZ", value: "Europe/Berlin" }],
      ports: [{ container_port: 5432, protocol: "tcp", host_port: 5432, host_ip: null }, { container_port: 80, protocol: "udp", host_port: 8080, host_ip: null }],
      mounts: [{ kind: "volume", source: "data", target: "/var/lib/postgresql/data", read_only: false }, { kind: "bind", source: "./init", target: "/init", read_only: true }],
      memory_bytes: 512 * 1024 ** 2, cpus: 0.5, health_command: "pg_isready -U x", command: ["postgres", "-c", "max_connections=9"],
    });
  });

  it("is taken from its own lines alone, and nothing else is one", async () => {
    expect((await serviceOf("web:\n  image: nginx\n  privileged: true"))?.words.map((word) => word.text)).toEqual(["--name", "web", "--privileged", "nginx"]);
    expect((await serviceOf("image: nginx\nports:\n - 80"))?.words.map((word) => word.text)).toEqual(["--publish", "80", "nginx"]);
    for (const text of ["docker run nginx", "just words", "a: b", "- a\n- b", "a: [", ""]) expect(await serviceOf(text), text).toBeUndefined();
  });
});
