// Engines to choose from: another one beside the first over a Unix socket, TCP, TCP with TLS, and SSH (a real sshd on the loopback),
// in a real browser.

import assert from "node:assert/strict";
import path from "node:path";
import { after, before, test } from "node:test";
import { NativePlace, imageArchive } from "../native.mjs";
import { freePort } from "../place.mjs";
import { certificates, sshd, terminate } from "../remote.mjs";
import { Walk } from "./walk.mjs";

const IMAGE = "e2e/engines:1";
let place;
let walk;
let other;
let tls;
const ports = {};

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

step("a terminal goes on while another engine is looked at", async () => {
  const page = walk.page;
  await page.click(".xterm-screen");
  await page.keyboard.type("echo st''ill ");
  await walk.go("settings");
  await page.check("[data-engine='CUBBY_ENGINE'] input");
  await walk.reads("[data-engine='ssh'] [data-terminals]", "1 terminal still open");
  await walk.shot("terminal-elsewhere");
  await walk.go("apps");
  await walk.sees("[data-container='right-here'][data-state=running]");
  await page.click("[data-container='right-here'] a.main");
  await page.click("#tab-terminal");
  await walk.reads(".xterm-rows", "#");
  assert.ok(!(await page.textContent(".xterm-rows")).includes("echo"), "this is another one");
  await walk.go("settings");
  await page.check("[data-engine='ssh'] input");
  await walk.go("apps");
  await page.click("[data-container='over-there'] a.main");
  await page.click("#tab-terminal");
  await walk.reads(".foot", "On ssh.");
  await page.click(".xterm-screen");
  await page.keyboard.type("he''re\n");
  await walk.reads(".xterm-rows", "still here");
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
