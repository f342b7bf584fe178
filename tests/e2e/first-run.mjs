// What a newcomer does, written once for the browser and for the real window.
//
// A `page` offers: eval(javascript) → value, click(selector), type(text), press(key), shot(name), and opens(selector) → the
// address that the user's browser is given by a click.

import assert from "node:assert/strict";
import { BOOT_MS, STEP_MS, until } from "./place.mjs";

const quoted = JSON.stringify;

function sees(page, selector, timeoutMs = STEP_MS) {
  return until(`${selector} on the page`, () => page.eval(`!!document.querySelector(${quoted(selector)})`), timeoutMs);
}

function gone(page, selector) {
  return until(`no ${selector} on the page`, () => page.eval(`!document.querySelector(${quoted(selector)})`));
}

function text(page, selector) {
  return page.eval(`document.querySelector(${quoted(selector)})?.textContent ?? ""`);
}

function reads(page, selector, words, timeoutMs = STEP_MS) {
  return until(`“${words}” in ${selector}`, async () => (await text(page, selector)).includes(words), timeoutMs);
}

async function press(page, selector) {
  await sees(page, selector);
  await page.click(selector);
}

const ROW = "[data-container=hello]";

/** `subtest(name, run)` is the runner's; after a failed step the others are not tried. */
export async function firstRun(page, subtest) {
  let broken = false;
  const step = (name, run) =>
    subtest(name, async () => {
      assert.ok(!broken, "not tried: an earlier step failed");
      broken = true;
      await run();
      broken = false;
    });

  await step("the machine gets ready, stage by stage", async () => {
    await sees(page, "nav [href='#/apps']");
    await page.shot("1-getting-ready");
    await until(
      "the big button",
      async () => {
        const problem = await text(page, ".problem");
        assert.equal(problem, "", "the machine did not start");
        return page.eval(`!!document.querySelector("[data-action=run-demo]")`);
      },
      BOOT_MS,
    );
    await page.shot("2-ready");
  });

  let url = "";
  await step("one click runs the demo", async () => {
    await page.click("[data-action=run-demo]");
    await until(
      "a door in the family tree",
      async () => {
        assert.equal(await text(page, ".notice.error"), "", "the demo was refused");
        return page.eval(`!!document.querySelector(".tree a.door[href^='http://']")`);
      },
      BOOT_MS,
    );
    url = await page.eval(`document.querySelector(".tree a.door").href`);
    await page.shot("3-family-tree");
  });

  await step("its page answers at the door's address", async () => {
    const answer = await until("an answer", () => fetch(url, { signal: AbortSignal.timeout(5000) }).catch(() => undefined));
    assert.equal(answer.status, 200);
    assert.match(await answer.text(), /<html/i);
  });

  await step("a click on the door opens it in the user's browser", async () => {
    assert.equal(await page.opens(".tree a.door"), url);
    assert.ok(await page.eval(`!!document.querySelector(".tree a.door")`), "the app itself stays where it is");
  });

  await step("a second copy runs beside it, behind a door of its own", async () => {
    await press(page, ".family .image button");
    const doors = `[...new Set([...document.querySelectorAll(".tree a.door")].map((door) => door.href))]`;
    await until("two doors", async () => {
      assert.equal(await text(page, ".notice.error"), "", "the copy was refused");
      return (await page.eval(`${doors}.length`)) === 2;
    });
    const copy = await page.eval(`${doors}.find((href) => href !== ${quoted(url)})`);
    const answer = await until("an answer", () => fetch(copy, { signal: AbortSignal.timeout(5000) }).catch(() => undefined));
    assert.equal(answer.status, 200);
    await page.shot("3-two-copies");

    const other = `[data-container]:not(${ROW})`;
    await page.click("nav [href='#/apps']");
    await press(page, `${other} [aria-haspopup=menu]`);
    await press(page, "[role=menuitem].danger");
    await press(page, "[data-action=confirm-remove]:not(:disabled)");
    await gone(page, other);
    await gone(page, "dialog[open]");
  });

  await step("the list shows it running", async () => {
    await page.click("nav [href='#/apps']");
    await sees(page, `${ROW}[data-state=running]`);
    await page.shot("4-apps");
  });

  await step("its logs appear, and are searched", async () => {
    await page.click(`${ROW} a.main`);
    await press(page, "#tab-logs");
    await reads(page, "[role=log]", "Hello from");
    await page.click("input[type=search][placeholder='Search the logs']");
    await page.type("hello");
    await sees(page, "[role=log] mark.current");
    assert.match((await text(page, "[role=log] mark.current")).toLowerCase(), /^hello$/);
    await page.shot("5-logs");
  });

  await step("a terminal takes what is typed", async () => {
    await press(page, "#tab-terminal");
    await sees(page, ".xterm-rows");
    // The shell is there once it shows a prompt.
    await until("a prompt", async () => /[#$>]\s*$/m.test((await text(page, ".xterm-rows")).trimEnd()));
    await page.click(".xterm-screen");
    await page.type("echo one-two-three");
    await page.press("Enter");
    // Once as typed, once as printed.
    await until("the echo", async () => (await text(page, ".xterm-rows")).split("one-two-three").length >= 3);
    await page.shot("6-terminal");
    await page.type("exit");
    await page.press("Enter");
    await reads(page, ".holder .foot", "The shell ended");
  });

  await step("stopped, it says why it is not running", async () => {
    await press(page, "#tab-overview");
    await press(page, ".details [data-action=stop]");
    await sees(page, `${ROW}[data-state=exited]`, BOOT_MS);
    await sees(page, "[data-reason=stopped]");
    await page.shot("7-stopped");
    await assert.rejects(fetch(url, { signal: AbortSignal.timeout(5000) }), "a stopped container's door is closed");
  });

  await step("removing says what goes and what stays, and then it is gone", async () => {
    await press(page, ".details [data-action=remove]");
    await sees(page, "dialog .stays li");
    assert.match(await text(page, "dialog .stays"), /image/);
    await page.shot("8-remove");
    await press(page, "[data-action=confirm-remove]");
    await gone(page, ROW);
    await gone(page, "dialog[open]");
    await page.shot("9-removed");
  });

  await step("the image is still there", async () => {
    await page.click("nav [href='#/images']");
    await sees(page, "tbody tr");
    await page.shot("10-images");
  });

  await step("the machine page shows what it takes", async () => {
    await page.click("nav [href='#/machine']");
    await sees(page, "[role=meter]");
    await page.shot("11-machine");
  });
}
