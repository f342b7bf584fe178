// Images, data, networks, the library and the settings, in a real browser over a real engine of this machine.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import path from "node:path";
import { after, before, test } from "node:test";
import { NativePlace, imageArchive, registry } from "../native.mjs";
import { freePort, until } from "../place.mjs";
import { Walk } from "./walk.mjs";

const WEB = "e2e/web:1";
let place;
let walk;
let page;

before(async () => {
  place = new NativePlace("stores");
  walk = await Walk.begin(place, "stores", { viewport: { width: 1180, height: 780 } });
  page = walk.page;
});

after(() => (walk ? walk.end() : place?.end(true)));

const step = (name, run) => test(name, () => walk.step(run));
const shot = (name) => walk.shot(name);
const go = (name) => walk.go(name);
const sees = (selector) => walk.sees(selector);
const gone = (selector) => walk.gone(selector);
const ended = (kind, state = "done") => sees(`[data-job=${kind}][data-state=${state}]`);

async function menu(row, item) {
  await page.click(`${row} [aria-haspopup=menu]`);
  await page.click(`[role=menuitem]:has-text("${item}")`);
}

step("an image is loaded from a file that the browser sends", async () => {
  const archive = imageArchive(place.home, WEB, [{ "srv/index.html": "hello" }, { "srv/large": Buffer.alloc(3_000_000, "x") }], { ExposedPorts: { "80/tcp": {} } });
  await go("images");
  await sees("main h1");
  await page.click("header [aria-haspopup=menu]");
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click('[role=menuitem]:has-text("Load")')]);
  await chooser.setFiles(archive);
  await sees(`[data-image="${WEB}"]`);
  await ended("load");
  await shot("images");
});

step("its layers say what made them, the newest on top", async () => {
  await page.click(`[data-image="${WEB}"] a.name`);
  await sees("section.details ol code");
  const commands = await page.$$eval("section.details ol code", (all) => all.map((code) => code.textContent));
  assert.deepEqual(commands, ["COPY layer2 /", "COPY layer1 /", "ADD busybox /bin"]);
  await shot("image-layers");
});

let address;
step("it gets another name and is sent to a registry", async () => {
  address = await registry(place, await freePort());
  await go("images");
  await menu(`[data-image="${WEB}"]`, "Add a name");
  await page.fill("#new-name", `${address}/e2e/web:2`);
  await page.keyboard.press("Enter");
  const row = `[data-image="${address}/e2e/web:2"]`;
  await sees(row);
  assert.match(await page.textContent(row), /e2e\/web:1/, "the image keeps its other name");
  place.docker("rmi", WEB);
  await until("one name", async () => !(await page.textContent(row)).includes(WEB));
  await menu(row, "Send");
  await ended("push");
});

step("a removed image goes into the bin and comes back under its name", async () => {
  const name = `${address}/e2e/web:2`;
  const row = `[data-image="${name}"]`;
  const names = () => place.docker("images", "--format", "{{.Repository}}:{{.Tag}}");
  await menu(row, "Remove");
  await sees("dialog .goes li");
  assert.match(await page.textContent("dialog .goes"), /MB on the disk/);
  await shot("image-remove");
  await page.click("[data-action=confirm-remove]");
  await gone(row);
  assert.ok(!names().split("\n").includes(name), "its name is free");
  await sees("[data-action=undo]");
  await page.reload();
  await page.click("[data-show=bin]");
  await sees(`[data-binned="${name}"]`);
  await shot("images-bin");
  await page.click("[data-action=restore]");
  await gone("[data-binned]");
  await sees(row);
  assert.equal(names(), name, "and nothing of the bin is left");
});

step("removing for good is for good; fetching shows its layers", async () => {
  const row = `[data-image="${address}/e2e/web:2"]`;
  await menu(row, "Remove");
  await page.check("dialog [data-field=for-good]");
  await page.click("[data-action=confirm-remove]");
  await gone(row);
  assert.equal(place.docker("images", "-q"), "");

  await page.click("[data-action=pull]");
  await page.fill("#pull-name", `${address}/e2e/web:2`);
  await page.click("[data-action=confirm-pull]");
  await sees(row);
  await ended("pull");
  await page.click("[data-action=activity]");
  await page.click("dialog [data-job=pull] .more");
  const layers = await page.$$eval("dialog [data-job=pull] li", (all) => all.map((layer) => layer.className));
  assert.equal(layers.length, 3, "one line a layer");
  assert.ok(layers.every((state) => /done|present/.test(state)), layers.join());
  await shot("activity");
  await page.keyboard.press("Escape");
});

step("a fetch that hangs is cancelled", async () => {
  const hung = [];
  const server = createServer((socket) => hung.push(socket)).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  await page.click("[data-action=pull]");
  await page.fill("#pull-name", `127.0.0.1:${server.address().port}/nothing`);
  await page.click("[data-action=confirm-pull]");
  await until("the engine asks", () => hung.length > 0);
  await page.click("[data-job=pull][data-state=running] [data-action=cancel-job]");
  await ended("pull", "cancelled");
  hung.forEach((socket) => socket.destroy());
  server.close();
});

step("what fails says why in plain words", async () => {
  await page.click("[data-action=pull]");
  await page.fill("#pull-name", `${address}/e2e/nothing:1`);
  await page.click("[data-action=confirm-pull]");
  await ended("pull", "failed");
  assert.match(await page.textContent("[data-job=pull][data-state=failed]"), /no image of this name|wants a login/);
});

step("an image is saved where downloads go", async () => {
  await menu(`[data-image="${address}/e2e/web:2"]`, "Save");
  await ended("save");
  const saved = path.join(place.home, "Downloads");
  assert.equal(readdirSync(saved).filter((name) => name.endsWith(".tar")).length, 1);
});

step("cleaning up shows what would go before it goes", async () => {
  place.docker("tag", `${address}/e2e/web:2`, WEB);
  await page.click("header [aria-haspopup=menu]");
  await page.click('[role=menuitem]:has-text("Clean up")');
  await sees("dialog [data-preview='0']");
  await page.check("dialog input[type=checkbox]");
  await sees("dialog [data-preview='1']");
  assert.match(await page.textContent("dialog h3"), /MB come back/);
  await shot("images-prune");
  await page.click("dialog footer button:first-child");
});

step("a volume is made, filled, looked into and cleaned up", async () => {
  await go("data");
  await page.click("[data-action=new-volume]");
  await page.fill("#volume-name", "drawer");
  await page.click("[data-action=confirm-volume]");
  await sees("[data-volume=drawer]");
  place.docker("run", "--rm", "-v", "drawer:/d", WEB, "/bin/busybox", "sh", "-c", "/bin/busybox mkdir /d/notes; echo remember the milk > /d/notes/list.txt");
  // Nothing mounts it now: the host makes a window for the moment.
  await menu("[data-volume=drawer]", "Look inside");
  await page.click("[data-file=notes] button.cut");
  await page.click("[data-file='list.txt'] button.cut");
  await until("the text", async () => (await page.textContent("dialog pre")).includes("remember the milk"));
  await shot("volume-files");
  await page.keyboard.press("Escape");
  assert.equal(place.docker("ps", "-aq"), "", "the window is gone");
});

step("a removed volume keeps its data in the bin, and comes back with them", async () => {
  await menu("[data-volume=drawer]", "Remove");
  await page.click("[data-action=confirm-remove]");
  await gone("[data-volume=drawer]");
  await page.click("[data-show=bin]");
  await sees("[data-binned=drawer]");
  await shot("data-bin");
  await page.click("[data-action=restore]");
  await sees("[data-volume=drawer]");
  assert.equal(place.docker("volume", "ls", "-q"), "drawer", "and nothing of the bin is left");
  assert.equal(place.docker("run", "--rm", "-v", "drawer:/d", WEB, "/bin/busybox", "cat", "/d/notes/list.txt"), "remember the milk");

  await menu("[data-volume=drawer]", "Remove");
  await page.click("[data-action=confirm-remove]");
  await page.click("[data-show=bin]");
  await page.click("[data-action=empty-bin]");
  await page.click("[data-action=confirm-empty-bin]");
  await gone("[data-binned]");
  assert.equal(place.docker("volume", "ls", "-q"), "", "emptied, it is gone for good");
});

step("cleaning up volumes shows what would go before it goes", async () => {
  place.docker("volume", "create", "drawer");
  await sees("[data-volume=drawer]");

  await page.click("header [aria-haspopup=menu]");
  await page.click('[role=menuitem]:has-text("Clean up")');
  await page.check("dialog input[type=checkbox]");
  await sees("dialog [data-preview='1']");
  await page.click("[data-action=confirm-prune]");
  await gone("[data-volume=drawer]");
});

step("networks are drawn, and the keyboard walks the map", async () => {
  await go("networks");
  await page.click("[data-action=new-network]");
  await page.fill("#network-name", "back");
  await page.check("#network-form input[type=checkbox]");
  await page.click("[data-action=confirm-network]");
  await sees("[data-network=back]");
  place.docker("network", "create", "front");
  place.docker("run", "-d", "--name", "api", "--network", "front", "-p", "80", "-v", "kept:/data", WEB);
  place.docker("network", "connect", "back", "api");
  place.docker("run", "-d", "--name", "db", "--network", "back", WEB);
  await until("three wires", () => page.evaluate(() => document.querySelectorAll("svg .wire").length === 3));
  await shot("networks");
  await page.focus("main [data-action=new-network]");
  await page.keyboard.press("Tab");
  const title = await page.evaluate(() => document.activeElement?.querySelector("title")?.textContent);
  assert.match(title ?? "", /^(api|db), on /, "the map's boxes are reached");
  await page.keyboard.press("Enter");
  await until("the container's page", () => page.evaluate(() => location.hash.startsWith("#/apps/")));
});

step("a container that stops by itself is news", async () => {
  place.docker("run", "-d", "--name", "clumsy", WEB, "/bin/busybox", "sh", "-c", "/bin/busybox sleep 1; exit 3");
  await until("the news", async () => (await page.textContent("body")).includes("clumsy stopped by itself"));
  await page.click("[data-action=activity]");
  assert.match(await page.textContent("dialog"), /clumsy stopped by itself/);
  await page.keyboard.press("Escape");
  place.docker("rm", "-f", "clumsy");
});

step("what happens behind a hidden page reaches the desktop, and is there when it is looked at again", async () => {
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  // What a desktop would show, written down: there is none behind a headless browser.
  await page.evaluate(() => {
    globalThis.shown = [];
    globalThis.Notification = class {
      static permission = "granted";
      constructor(title) {
        globalThis.shown.push(title);
      }
    };
  });
  await hide(true);
  place.docker("run", "-d", "--name", "unseen", WEB, "/bin/busybox", "sh", "-c", "/bin/busybox sleep 1; exit 3");
  await until("the notification", () => page.evaluate(() => globalThis.shown.includes("unseen stopped by itself")));
  await hide(false);
  await page.click("[data-action=activity]");
  assert.match(await page.textContent("dialog"), /unseen stopped by itself/);
  await page.keyboard.press("Escape");
  place.docker("rm", "-f", "unseen");
});

step("a login is tried, kept, shown without its secret, and taken back", async () => {
  await go("library");
  await page.click("[data-action=login]");
  await page.fill("#login-registry", address);
  await page.fill("#login-user", "ada");
  await page.fill("#login-secret", "open-sesame");
  await page.click("[data-action=confirm-login]");
  await sees(`[data-registry="${address}"]`);
  const config = readFileSync(path.join(place.home, "docker/config.json"), "utf8");
  assert.ok(JSON.parse(config).auths[address].auth, "as the docker command keeps it");
  const whole = await page.content();
  assert.ok(!whole.includes("open-sesame") && !whole.includes(JSON.parse(config).auths[address].auth), "no secret on the page");
  await shot("library");
  await page.click(`[data-registry="${address}"] button`);
  await gone(`[data-registry="${address}"]`);
  assert.ok(!readFileSync(path.join(place.home, "docker/config.json"), "utf8").includes("auth\""));
});

step("settings take effect at once, and stay", async () => {
  await go("settings");
  await page.check("input[name=theme][value=dark]", { force: true });
  assert.equal(await page.evaluate(() => document.documentElement.dataset.theme), "dark");
  await page.selectOption("#language", "de");
  await until("German", async () => (await page.textContent("main h1")) === "Einstellungen");
  await shot("settings-dark-german");
  await page.reload();
  await until("still German", async () => (await page.textContent("main h1")) === "Einstellungen");
  await page.selectOption("#language", "en");
  await until("English", async () => (await page.textContent("main h1")) === "Settings");
  await page.click("label:has-text('Expert names')");
  await until("Docker's words", async () => (await page.textContent("nav ul")).includes("containers"));
  await page.click("label:has-text('Expert names')");
  await page.check("input[name=theme][value=light]", { force: true });
});

step("proxy, mirrors and a certificate for a registry are the engine's from now on", async () => {
  const info = () => JSON.parse(place.docker("info", "--format", "{{json .}}"));
  await sees("[data-section=reach] #reach-https");
  await page.fill("#reach-https", "http://ada:hush@proxy.example:3128");
  await page.fill("#reach-none", ".corp.example");
  await page.fill("#reach-mirrors", "https://mirror.example");
  await page.click("[data-action=save-reach]");
  await until("the engine knows", () => info().NoProxy === ".corp.example");
  assert.equal(info().HttpsProxy, "http://xxxxx:xxxxx@proxy.example:3128");
  assert.match(info().RegistryConfig.Mirrors.join(), /^https:..mirror.example.?$/);
  assert.ok(!(await page.content()).includes("hush"), "the password is not given out again");
  await page.fill("#reach-none", "");
  await page.click("[data-action=save-reach]");
  await until("asked for the password", async () => (await page.textContent(".stack")).includes("type its whole address again"));
  await page.click(".notice.error button:last-child");

  const pem = path.join(place.home, "authority.pem");
  execFileSync("openssl", ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test", "-keyout", `${pem}.key`, "-out", pem], { stdio: "ignore" });
  await page.fill("#reach-host", "registry.local:5000");
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("[data-action=trust]")]);
  await chooser.setFiles(pem);
  await sees("[data-trusted='registry.local:5000']");
  assert.equal(await page.evaluate(() => document.scrollingElement.scrollTop), 0, "the window itself never scrolls");
  await shot("reach");
  await page.click("[data-trusted] button");
  await gone("[data-trusted]");
  for (const field of ["https", "none", "mirrors"]) await page.fill(`#reach-${field}`, "");
  await page.click("[data-action=save-reach]");
  await until("nothing is set", () => !info().HttpsProxy && !info().RegistryConfig.Mirrors?.length);
});

step("versions are told without asking anybody, and what is new", async () => {
  await sees("[data-section=versions] dl");
  await page.click("[data-action=changelog]");
  await until("the changelog", async () => (await page.textContent("dialog pre")).includes("First light"));
  await page.keyboard.press("Escape");
});

step("another engine is added, tried first, and switched to", async () => {
  await page.click("[data-action=add-engine]");
  await page.fill("#engine-name", "second");
  await page.fill("#engine-address", "unix:///nowhere/docker.sock");
  await page.click("[data-action=confirm-engine]");
  await sees("dialog [role=alert]");
  await page.fill("#engine-address", place.socket);
  await page.click("[data-action=confirm-engine]");
  await sees("[data-engine=second]");
  await page.check("[data-engine=second] input");
  await until("its containers", () => page.evaluate(() => document.querySelector("nav .machine .name")?.textContent?.includes("second")));
  await go("apps");
  await sees("[data-container=api]");
});

step("the palette has verbs on what there is", async () => {
  await page.keyboard.press("Control+k");
  await page.keyboard.type("docker pull redis:8");
  await sees("[role=option]:has-text('Fetch the image redis:8')");
  await page.keyboard.press("Control+a");
  await page.keyboard.type("db stop");
  await sees("[role=option]:has-text('db: Stop')");
  await page.keyboard.press("Enter");
  await sees("[data-container=db][data-state=exited]");
  await page.keyboard.press("Control+k");
  await page.keyboard.type("run an app");
  await page.keyboard.press("Enter");
  await sees("dialog[open] [data-field=paste]");
  await page.keyboard.press("Escape");
  await gone("dialog[open]");
});

step("no page has an accessibility violation that axe can find", async () => {
  for (const scheme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.evaluate(() => localStorage.removeItem("cubby.preferences"));
    await page.evaluate((theme) => { document.documentElement.dataset.theme = theme; }, scheme);
    for (const name of ["images", "data", "networks", "library", "settings", "machine"]) {
      await go(name);
      await until("the page's heading", () => page.isVisible("main h1"));
      await walk.accessible(`${name}, ${scheme}`);
      await shot(`axe-${name}-${scheme}`);
    }
  }
});

step("every action of every page is reached by the keyboard", async () => {
  for (const name of ["home", "images", "data", "doors", "networks", "library", "settings", "machine"]) {
    await go(name);
    await until("the page's heading", () => page.isVisible("main h1"));
    await walk.reachable(name);
  }
});

step("a narrow window shows all of every page", async () => {
  await page.setViewportSize({ width: 800, height: 700 });
  for (const name of ["home", "apps", "images", "data", "doors", "networks", "library", "settings", "machine"]) {
    await go(name);
    await until("the page's heading", () => page.isVisible("main h1"));
    await shot(`narrow-${name}`);
    const wide = await page.evaluate(() => [...document.querySelectorAll("main *")].filter((element) => {
      const { right, width } = element.getBoundingClientRect();
      // What scrolls sideways by itself, and what is there for ears only, may.
      return width > 1 && right > innerWidth + 1 && !element.closest("pre, .tabs, svg, .hidden-visually");
    }).map((element) => element.outerHTML.slice(0, 120)));
    assert.deepEqual(wide, [], name);
    assert.equal(await page.locator("nav ul a").first().getAttribute("title"), "Home", "icons say what they are");
  }
  await page.setViewportSize({ width: 1180, height: 780 });
});

step("right to left, nothing leaves the window", async () => {
  await page.evaluate(() => { document.documentElement.dir = "rtl"; });
  for (const name of ["images", "networks", "settings"]) {
    await go(name);
    await sees("main h1");
    await shot(`rtl-${name}`);
    const { right, navigation, overflow } = await page.evaluate(() => ({ right: innerWidth, navigation: document.querySelector("nav").getBoundingClientRect().right, overflow: document.documentElement.scrollWidth > innerWidth }));
    assert.equal(navigation, right, "the navigation stands on the right");
    assert.ok(!overflow);
  }
});

test("no script failed meanwhile", () => assert.deepEqual(walk.pageErrors, []));
