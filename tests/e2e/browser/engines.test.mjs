// Engines to choose from: another one beside the first over a Unix socket, TCP, TCP with TLS, and SSH (a real sshd on the loopback),
// in a real browser.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import path from "node:path";
import { createServer } from "node:tls";
import { after, before, test } from "node:test";
import { NativePlace, imageArchive } from "../native.mjs";
import { freePort } from "../place.mjs";
import { Walk } from "./walk.mjs";

const IMAGE = "e2e/engines:1";
let place;
let walk;
let other;
let tls;
const ports = {};

const openssl = (...parameters) => execFileSync("openssl", parameters, { stdio: "ignore" });

/** A certificate authority, a server's and a client's certificate, as docker names them. */
function certificates(directory) {
  mkdirSync(directory);
  const at = (name) => path.join(directory, name);
  openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test authority", "-keyout", at("ca-key.pem"), "-out", at("ca.pem"));
  writeFileSync(at("names"), "subjectAltName = IP:127.0.0.1\n");
  for (const [name, subject] of [["server", "/CN=127.0.0.1"], ["client", "/CN=client"]]) {
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", at(`${name}-key.pem`), "-out", at(`${name}.csr`));
    openssl("x509", "-req", "-in", at(`${name}.csr`), "-CA", at("ca.pem"), "-CAkey", at("ca-key.pem"), "-CAcreateserial", "-days", "2", "-extfile", at("names"), "-out", at(`${name}-cert.pem`));
  }
  execFileSync("cp", [at("client-cert.pem"), at("cert.pem")]);
  execFileSync("cp", [at("client-key.pem"), at("key.pem")]);
  return at;
}

/** TLS in front of the engine, which asks for the client's certificate. */
function terminate(at, socket) {
  const keys = { key: readFileSync(at("server-key.pem")), cert: readFileSync(at("server-cert.pem")), ca: readFileSync(at("ca.pem")) };
  const server = createServer({ ...keys, requestCert: true, rejectUnauthorized: true }, (near) => {
    const far = connect(socket.replace("unix://", ""));
    near.pipe(far).pipe(near);
    for (const end of [near, far]) end.on("error", () => [near, far].forEach((one) => one.destroy()));
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** sshd as this user, on the loopback; `ssh` of the suite knows its host and has a key for it. */
async function sshd(place, socket) {
  const directory = path.join(place.home, "ssh");
  mkdirSync(directory, { mode: 0o700 });
  const at = (name) => path.join(directory, name);
  for (const name of ["host", "user"]) execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", at(name)]);
  execFileSync("cp", [at("user.pub"), at("authorized")]);
  const port = await freePort();
  writeFileSync(at("known"), `[127.0.0.1]:${port} ${readFileSync(at("host.pub"), "utf8")}`);
  // The privilege separation directory, where no package's start script has made it.
  mkdirSync("/run/sshd", { recursive: true });
  writeFileSync(at("sshd.conf"), [`Port ${port}`, "ListenAddress 127.0.0.1", `HostKey ${at("host")}`, `AuthorizedKeysFile ${at("authorized")}`, "StrictModes no", "UsePAM no", "PasswordAuthentication no", "PermitRootLogin prohibit-password", "PidFile none", "LogLevel INFO", `SetEnv DOCKER_HOST=${socket}`, ""].join("\n"));
  await place.start("/bin/sh", ["-c", `exec /usr/sbin/sshd -D -e -f '${at("sshd.conf")}' 2>&1`], /listening on/);
  // The system's own ssh, told where the suite's keys are: it does not ask $HOME.
  const bin = path.join(place.home, "bin");
  mkdirSync(bin);
  writeFileSync(path.join(bin, "ssh"), `#!/bin/sh\nexec /usr/bin/ssh -F none -i '${at("user")}' -o IdentitiesOnly=yes -o UserKnownHostsFile='${at("known")}' "$@"\n`);
  chmodSync(path.join(bin, "ssh"), 0o755);
  place.env.PATH = `${bin}:${place.env.PATH}`;
  return port;
}

before(async () => {
  place = new NativePlace("engines");
  const tcp = await freePort();
  other = await place.another("other", `tcp://127.0.0.1:${tcp}`);
  const archive = imageArchive(place.home, IMAGE, []);
  place.dockerAt(other, "load", "-q", "-i", archive);
  place.dockerAt(other, "run", "-d", "--name", "over-there", IMAGE);
  const at = certificates(path.join(place.home, "tls"));
  tls = await terminate(at, other);
  Object.assign(ports, { tcp, tls: tls.address().port, ssh: await sshd(place, other) });
  walk = await Walk.begin(place, "engines");
  place.docker("load", "-q", "-i", archive);
  place.docker("run", "-d", "--name", "right-here", IMAGE);
});

after(async () => {
  await (walk ? walk.end() : place?.end(true));
  tls?.close();
});

const step = (name, run) => test(name, () => walk.step(run));

async function add(name, address, certificates) {
  await walk.go("settings");
  await walk.page.click("[data-action=add-engine]");
  await walk.page.fill("#engine-name", name);
  await walk.page.fill("#engine-address", address);
  if (certificates) await walk.page.fill("#engine-tls", certificates);
  await walk.page.click("[data-action=confirm-engine]");
}

/** Chosen, it shows its containers and lets itself be worked with. */
async function use(name) {
  await walk.sees(`[data-engine='${name}'] input`);
  await walk.page.check(`[data-engine='${name}'] input`);
  await walk.go("apps");
  await walk.sees("[data-container='over-there'][data-state=running]");
  assert.equal(await walk.page.locator("[data-container='right-here']").count(), 0, "nothing of the other engine");
  await walk.page.click("[data-container='over-there'] a.main");
  await walk.page.click("#tab-logs");
  await walk.reads("[role=log]", "ready");
}

step("an engine on another socket shows what is there", async () => {
  await walk.sees("nav [href='#/apps']");
  await walk.go("apps");
  await walk.sees("[data-container='right-here']");
  await add("socket", other);
  await use("socket");
});

step("over TCP", async () => {
  await add("tcp", `tcp://127.0.0.1:${ports.tcp}`);
  await use("tcp");
});

step("over TCP with TLS, both sides known by their certificates", async () => {
  await add("tls", `tcp://127.0.0.1:${ports.tls}`);
  await walk.sees("dialog [role=alert]");
  await walk.page.keyboard.press("Escape");
  await add("tls", `tcp://127.0.0.1:${ports.tls}`, path.join(place.home, "tls"));
  await use("tls");
});

step("over SSH, by the docker command over there", async () => {
  await add("ssh", `ssh://root@127.0.0.1:${ports.ssh}`);
  await use("ssh");
  await walk.page.click("#tab-terminal");
  await walk.reads(".xterm-rows", "#");
  await walk.shot("ssh");
});

step("over SSH, by the path of the socket", async () => {
  await add("ssh-path", `ssh://root@127.0.0.1:${ports.ssh}${other.replace("unix://", "")}`);
  await use("ssh-path");
});

step("what ssh says is why it does not work", async () => {
  await add("nobody", `ssh://nobody@127.0.0.1:${ports.ssh}`);
  await walk.reads("dialog [role=alert]", "Permission denied");
  await walk.page.keyboard.press("Escape");
});

step("and back", async () => {
  await walk.go("settings");
  await walk.page.check("[data-section=engines] li:nth-child(1) input");
  await walk.go("apps");
  await walk.gone("[data-container='over-there']");
});
