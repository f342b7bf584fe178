// Containers, in a real browser over a real engine of this machine: the run form, every tab, the list, the bin.

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { after, before, test } from "node:test";
import { NativePlace, imageArchive } from "../native.mjs";
import { until } from "../place.mjs";
import { Walk } from "./walk.mjs";

const IMAGE = "e2e/apps:1";
let place;
let walk;
let page;

before(async () => {
  place = new NativePlace("apps");
  walk = await Walk.begin(place, "apps");
  page = walk.page;
  const serve = ["/bin/sh", "-c", "echo started; echo oops >&2; exec /bin/busybox httpd -f -p 80 -h /srv"];
  place.docker("load", "-q", "-i", imageArchive(place.home, IMAGE, [{ "srv/index.html": "hello", "etc/app.conf": "colour = blue\n" }], { ExposedPorts: { "80/tcp": {} }, Cmd: serve, StopSignal: "SIGKILL" }));
});

after(() => (walk ? walk.end() : place?.end(true)));

const step = (name, run) => test(name, () => walk.step(run));
const shot = (name) => walk.shot(name);
const go = (where) => walk.go(where);
const sees = (selector, timeout) => walk.sees(selector, timeout);
const gone = (selector) => walk.gone(selector);
const text = (selector) => walk.text(selector);
const reads = (selector, words) => walk.reads(selector, words);
const inspect = (name) => walk.inspect(name);
const tab = async (name) => {
  await page.click(`#tab-${name}`);
  await sees(`#tab-${name}[aria-selected=true]`);
};

step("a pasted docker run line becomes the form, explained, with what is dangerous marked", async () => {
  place.docker("run", "-d", "--name", "first", IMAGE);
  await go("apps");
  await sees("[data-container=first][data-state=running]");
  await page.click("[data-action=run]");
  await page.fill("[data-field=paste]", `docker run -it --privileged -v /:/host --gpus all -m 64m nginx:1`);
  await page.press("[data-field=paste]", "Enter");
  await sees("[data-dangers='danger.privileged danger.root_folder']");
  assert.match(await text(".problems"), /--gpus all/);
  await shot("run-danger");

  await page.fill("[data-field=paste]", `docker run -d --name web -p 127.0.0.1::80 -e "GREETING=good day" -e PASSWORD=hush \\\n  -v shop:/data --memory 64m --restart on-failure:2 ${IMAGE}`);
  await page.press("[data-field=paste]", "Enter");
  await gone("[data-dangers]");
  assert.equal(await page.inputValue("[data-field=name]"), "web");
  assert.equal(await page.inputValue("[data-field=memory]"), "64m");
  assert.equal(await page.inputValue("[data-field=mount-target]"), "/data");
  assert.match(await text("[data-command]"), /--restart on-failure:2/);
  assert.match(await text(".columns aside"), /at most 64m of memory/);
  await shot("run");
});

step("what was typed outlives the page", async () => {
  await page.fill("[data-field=name]", "web2");
  await page.reload();
  await sees("[data-container=first]");
  await page.click("[data-action=run]");
  assert.equal(await page.inputValue("[data-field=name]"), "web2", "the draft is still there");
  assert.equal(await page.inputValue("[data-field=memory]"), "64m");
});

step("the form runs it as it says", async () => {
  await page.fill("[data-field=name]", "web");
  await page.click("[data-action=confirm-run]");
  await sees("[data-container=web][data-state=running]");
  const { HostConfig, Config, Mounts } = inspect("web");
  assert.equal(HostConfig.Memory, 64 * 1024 * 1024);
  assert.deepEqual(HostConfig.RestartPolicy, { Name: "on-failure", MaximumRetryCount: 2 });
  assert.ok(Config.Env.includes("GREETING=good day"));
  assert.equal(Mounts.find((mount) => mount.Destination === "/data").Name, "shop");
  const url = await page.getAttribute(".details a[data-door]", "href");
  assert.equal(await (await fetch(url)).text(), "hello");
  assert.equal(await page.evaluate(() => sessionStorage.getItem("cubby.run-draft")?.includes("web")), false, "what ran is no draft any more");
});

step("the overview says what is kept and how to make the same again", async () => {
  await sees("[data-keeps='1']");
  await reads("[data-recipe] pre", "--memory 64m");
  const recipe = await text("[data-recipe] pre");
  for (const part of ["--name web", "-v shop:/data", "--restart on-failure:2", "-e 'GREETING=good day'", IMAGE]) assert.ok(recipe.includes(part), `${part} in ${recipe}`);
  assert.ok(!recipe.includes("PATH="), "what the image says by itself is left out");
  await shot("overview");
});

step("logs are searched, filtered by stream and saved", async () => {
  await tab("logs");
  await reads("[role=log]", "started");
  await page.selectOption("[data-field=log-stream]", "err");
  await until("errors only", async () => !(await text("[role=log]")).includes("started"));
  assert.match(await text("[role=log]"), /oops/);
  await page.fill("input[type=search][placeholder='Search the logs']", "OOPS");
  await sees("[role=log] mark.current");
  await shot("logs");
  await page.click("[data-action=save-log]");
  await reads(".stack", "Saved as");
  assert.match(readFileSync(path.join(place.home, "Downloads/web.log"), "utf8"), /started/);
});

step("terminals are several and go on when the page is left", async () => {
  await tab("terminal");
  const rows = () => page.evaluate(() => document.querySelector(".xterm-rows")?.textContent ?? "");
  const prompt = () => until("a prompt", async () => /[#$] *$/.test((await rows()).trimEnd()));
  await prompt();
  await page.click(".xterm-screen");
  await page.keyboard.type("busybox echo o''ne > /etc/made");
  await page.keyboard.press("Enter");
  await page.keyboard.type("X=kept");
  await page.keyboard.press("Enter");
  await page.click("[data-action=new-terminal]");
  await sees("[data-shell='2'][aria-pressed=true]");
  await prompt();
  await go("images");
  await sees("main h1");
  await page.goBack();
  await sees("[data-shell='1']");
  await page.click("[data-shell='1']");
  await page.click(".xterm-screen");
  await page.keyboard.type("busybox echo is-$X-still");
  await page.keyboard.press("Enter");
  await until("the variable", async () => (await rows()).includes("is-kept-still"));
  await shot("terminal");
});

step("files are browsed, marked, read, changed, uploaded and saved", async () => {
  await tab("files");
  await sees("[data-file=etc][data-change=changed]");
  await sees("[data-file=srv]");
  assert.doesNotMatch(await text(".browser .told"), /too large/, "one folder is read, not all that is below it");
  await page.click("[data-file=etc] .name");
  await sees("[data-file=made][data-change=added]");
  await page.click("[data-file='app.conf'] .name");
  await reads("[data-file-text]", "colour = blue");
  await shot("files");
  await page.click("[data-action=edit-file]");
  await page.fill("[data-field=file-text]", "colour = green\n");
  await page.click("[data-action=save-file]");
  await reads(".stack", "app.conf is saved");
  assert.equal(place.docker("exec", "web", "/bin/busybox", "cat", "/etc/app.conf"), "colour = green");
  await sees("[data-file='app.conf'][data-change=changed]");

  const large = path.join(place.home, "large.bin");
  writeFileSync(large, Buffer.alloc(2_500_000, 7));
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), page.click("[data-action=upload]")]);
  await chooser.setFiles(large);
  await sees("[data-file='large.bin'][data-change=added]");
  assert.match(place.docker("exec", "web", "/bin/busybox", "wc", "-c", "/etc/large.bin"), /^2500000 /);
  await page.click("[data-file='app.conf'] button[aria-label^='Save on this computer']");
  const saved = path.join(place.home, "Downloads/app.conf");
  await until("the file", () => existsSync(saved) && readFileSync(saved, "utf8") === "colour = green\n");
});

step("usage is drawn over time, processes and settings are listed, everything is searched", async () => {
  await tab("stats");
  await until("two samples", async () => Number((await page.getAttribute("[data-chart=cpu]", "data-samples").catch(() => 0)) ?? 0) >= 2);
  await sees("[data-chart=memory] canvas");
  await shot("stats");
  await tab("processes");
  await reads(".processes tbody", "httpd");
  await tab("environment");
  await reads(".environment dl", "good day");
  assert.ok(!(await text(".environment dl")).includes("hush"), "a password is hidden");
  await page.click("[data-action=show-values]");
  await reads(".environment dl", "hush");
  await tab("inspect");
  await page.fill("[data-field=inspect]", "GREETING");
  await reads("[role=tree] .match", "GREETING=good day");
  await shot("inspect");
});

step("a container that failed says why, with its code in words", async () => {
  place.docker("run", "--name", "broken", "-d", IMAGE, "/bin/sh", "-c", "exit 127");
  await go("apps");
  await sees("[data-container=broken][data-state=exited]");
  await page.click("[data-container=broken] a.main");
  await sees("[data-reason=program_not_found]");
  await reads(".overview dl", "its program was not found");
  await page.keyboard.press("Escape");
});

step("the list groups projects, filters, sorts, and shows what runs use", async () => {
  for (const service of ["db", "front"]) place.docker("run", "-d", "--name", `shop-${service}-1`, "--label", "com.docker.compose.project=shop", "--label", `com.docker.compose.service=${service}`, IMAGE);
  await sees("[data-container='shop-front-1'][data-state=running]");
  await reads(".heading", "2 of 2 running");
  await sees("[data-container='shop-db-1'] [data-usage]");
  await page.click("[data-show=stopped]");
  await gone("[data-container=web]");
  await sees("[data-container=broken]");
  await page.click("[data-show=all]");
  await page.selectOption("[data-field=sort]", "name");
  const names = await page.locator(".item strong").allTextContents();
  assert.deepEqual(names, ["db", "front", "broken", "first", "web"]);
  await shot("list");
  await page.click("[data-action=project-logs]");
  await until("both logs", async () => ["db", "front"].every((name) => page.locator(`[role=log] .from:has-text("${name}")`).count().then((count) => count > 0)));
  await reads("[role=log]", "started");
  await shot("together");
  await page.keyboard.press("Escape");
});

step("several are stopped and removed at once, by keyboard; the bin gives them back", async () => {
  await page.focus("[data-container='shop-db-1'] a.main");
  await page.keyboard.press("Space");
  await page.keyboard.press("Shift+ArrowDown");
  await reads(".bulk", "2 selected");
  await shot("bulk");
  await page.click("[data-action=bulk-stop]");
  await sees("[data-container='shop-front-1'][data-state=exited]");
  await sees("[data-container='shop-db-1'][data-state=exited]");
  await page.click("[data-action=bulk-start]");
  await sees("[data-container='shop-front-1'][data-state=running]");
  await sees("[data-container='shop-db-1'][data-state=running]");
  await page.focus("[data-container='shop-db-1'] a.main");
  await page.keyboard.press("Delete");
  await gone("[data-container='shop-db-1']");
  await gone("[data-container='shop-front-1']");
  await sees("[data-action=undo]");
  await shot("undo");
  assert.doesNotMatch(place.docker("ps", "--format", "{{.Names}}"), /shop/, "nothing in the bin runs");
  // Nothing but the engine knows of the bin: a page that comes anew finds it as it was.
  await page.reload();
  await page.click("[data-show=bin]");
  await sees("[data-binned='shop-db-1']");
  await sees("[data-binned='shop-front-1']");
  await shot("bin");
  await page.click("[data-binned='shop-db-1'] [data-action=restore]");
  await gone("[data-binned='shop-db-1']");
  await until("it runs under its old name", () => place.docker("ps", "--format", "{{.Names}}").split("\n").includes("shop-db-1"));
  await page.click("[data-action=empty-bin]");
  await page.click("[data-action=confirm-empty-bin]");
  await gone("[data-binned]");
  assert.doesNotMatch(place.docker("ps", "-a", "--format", "{{.Names}}"), /cubby-bin/);
});

step("removing in the details can be undone", async () => {
  await page.click("[data-show=all]");
  await page.click("[data-container=web] a.main");
  await page.click(".details [data-action=remove]");
  await sees("dialog .stays li");
  await shot("remove");
  await page.click("[data-action=confirm-remove]");
  await gone("[data-container=web]");
  await page.click("[data-action=undo]");
  await sees("[data-container=web][data-state=running]");
  const { HostConfig } = inspect("web");
  assert.equal(HostConfig.RestartPolicy.Name, "on-failure", "as it was");
});

step("no part of it has a violation that axe can find, light or dark", async () => {
  // What the page is made of is the same in the dark; colours are not.
  const rules = { light: undefined, dark: ["color-contrast"] };
  for (const scheme of ["light", "dark"]) {
    const check = (where, within) => walk.accessible(where, within, rules[scheme]);
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
    await go("apps");
    await sees("[data-container=web] [data-usage]");
    await check(`list, ${scheme}`);
    await shot(`list-${scheme}`);
    await page.click("[data-container=web] a.main");
    for (const name of ["overview", "logs", "terminal", "files", "stats", "processes", "environment", "inspect"]) {
      await tab(name);
      await until("its contents", () => page.evaluate(() => !/…/.test(document.querySelector("[role=tabpanel] [role=status]")?.textContent ?? "")));
      await check(`${name}, ${scheme}`, ".details");
      await shot(`${name}-${scheme}`);
    }
    await page.keyboard.press("Escape");
    await go("apps");
    await page.click("[data-action=run]");
    await page.fill("[data-field=paste]", `docker run -p 80:80 --cap-add SYS_ADMIN -v data:/d ${IMAGE}`);
    await page.press("[data-field=paste]", "Enter");
    await sees("[data-dangers]");
    await check(`run form, ${scheme}`, "dialog[open]");
    await shot(`run-${scheme}`);
    await page.click("[data-action=reset-run]");
    await page.keyboard.press("Escape");
    await gone("dialog[open]");
  }
});

step("every action of the list and of every tab is reached by the keyboard", async () => {
  await page.emulateMedia({ colorScheme: "light" });
  await go("apps");
  await sees("[data-container=web] [data-usage]");
  await walk.reachable("list");
  await page.focus("[data-container=web] a.main");
  await page.keyboard.press("Enter");
  for (const name of ["overview", "logs", "files", "stats", "processes", "environment", "inspect"]) {
    while ((await page.getAttribute("[role=tab][aria-selected=true]", "id")) !== `tab-${name}`) await page.press("[role=tab][aria-selected=true]", "ArrowRight");
    await until("its contents", () => page.evaluate(() => !/…/.test(document.querySelector("[role=tabpanel] [role=status]")?.textContent ?? "")));
    await walk.reachable(name);
  }
});

step("what was done is told as lines for a shell", async () => {
  await go("apps");
  await page.click("[data-container=web] [aria-haspopup=menu]");
  await page.click("[role=menuitem]:has-text('Pause')");
  await sees("[data-container=web][data-state=paused]");
  await page.click("[data-container=web] [data-action=unpause]");
  await sees("[data-container=web][data-state=running]");
  await page.click("[data-action=activity]");
  await reads("[data-section=commands]", "docker unpause web");
  assert.match(await text("[data-section=commands]"), /docker unpause web.*docker pause web/s, "the newest first");
  await walk.accessible("activity", "dialog[open]");
  await shot("commands");
  await page.keyboard.press("Escape");
  await gone("dialog[open]");
});

step("each thing has its commands, to be copied before anything is done", async () => {
  await page.click("[data-container=web] [aria-haspopup=menu]");
  await page.click("[role=menuitem]:has-text('As commands')");
  await reads("dialog[open]", "docker cp web:/PATH .");
  assert.match(await text("dialog[open]"), /export DOCKER_HOST=unix:\/\/.*docker stop web.*docker exec -it web sh/s);
  await walk.accessible("commands", "dialog[open]");
  await page.keyboard.press("Escape");
  await page.click("[data-container=web] [aria-haspopup=menu]");
  await page.click("[role=menuitem].danger");
  await page.click("[data-same] summary");
  await reads("[data-same] [data-line]", "docker rm -f");
  await page.keyboard.press("Escape");
  await gone("dialog[open]");
});

step("the palette puts what is done to containers first", async () => {
  await page.keyboard.press("Control+k");
  await page.keyboard.type("st");
  await until("start or stop first", async () => /: (Start|Stop)$/.test(await text("#verb-0")));
  await page.keyboard.press("Escape");
  await gone("dialog[open]");
});

step("charts are drawn again in the colours that are chosen in the app", async () => {
  const choose = async (words) => {
    await page.keyboard.press("Control+k");
    await page.keyboard.type(words);
    await reads("#verb-0", words);
    await page.keyboard.press("Enter");
    await gone("dialog[open]");
  };
  await page.click("[data-container=web] a.main");
  await tab("stats");
  const chart = await sees("[data-chart] canvas");
  await choose("Dark");
  await until("another chart", () => chart.evaluate((canvas) => !canvas.isConnected));
  await sees("[data-chart] canvas");
  await choose("Like the system");
  await sees("html[data-theme=light]");
});

step("something to try runs with one click", async () => {
  const serve = ["/bin/sh", "-c", "exec /bin/busybox httpd -f -p 80 -h /srv"];
  place.docker("load", "-q", "-i", imageArchive(place.home, "nginx:alpine", [{ "srv/index.html": "tried" }], { Cmd: serve, StopSignal: "SIGKILL" }));
  await go("home");
  await sees("[data-thing=web] svg:nth-of-type(1)");
  await walk.accessible("gallery", "[data-gallery]");
  await page.click("[data-thing=web]");
  await reads("section.details h2", "web-");
  const name = (await text("section.details h2")).trim();
  const [door] = inspect(name).NetworkSettings.Ports["80/tcp"];
  assert.equal(door.HostIp, "127.0.0.1", "open to this computer only");
  assert.equal(await (await fetch(`http://127.0.0.1:${door.HostPort}/`)).text(), "tried");
  place.docker("rm", "-f", name);
});

step("nothing sticks out of a small window, written to the right or to the left", async () => {
  const before = page.viewportSize();
  for (const direction of ["ltr", "rtl"]) {
    await page.evaluate((value) => { document.documentElement.dir = value; }, direction);
    for (const [width, height] of [[1280, 800], [800, 800], [640, 480]]) {
      await page.setViewportSize({ width, height });
      for (const name of ["home", "apps", "images", "data", "doors", "networks", "library", "machine", "settings"]) {
        await go(name);
        await sees("main h1");
        await walk.fits(`${name}, ${direction}, ${width}`);
      }
      await go("apps");
      await page.click("[data-container=web] [aria-haspopup=menu]");
      await sees("[role=menu]");
      await walk.fits(`menu, ${direction}, ${width}`);
      await page.keyboard.press("Escape");
      await page.click("[data-container=web] a.main");
      for (const name of ["overview", "logs", "terminal", "files", "stats", "processes", "environment", "inspect"]) {
        await tab(name);
        await walk.fits(`${name}, ${direction}, ${width}`);
      }
    }
  }
  await shot("rtl-small");
  await page.evaluate(() => document.documentElement.removeAttribute("dir"));
  await page.setViewportSize(before);
});

test("no script failed meanwhile", () => assert.deepEqual(walk.pageErrors, []));
