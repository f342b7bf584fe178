// A walk through the pages in a real browser over a native engine: what its suites share.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { artifacts, programs, require, still, until } from "../place.mjs";
import { Steps } from "../steps.mjs";

const { chromium } = require("playwright-core");
const WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"];
const LOOK_MS = 60_000;

/** Why no sandbox: tests often run as root in a container, where Chromium cannot make one; it opens our own pages only. */
export function openBrowser() {
  return chromium.launch({ executablePath: programs.chromium, args: ["--no-sandbox"] });
}

export class Walk {
  pageErrors = [];
  #steps = new Steps(() => this.shot("failure"));

  /** Opens the UI over the place's engine, which it starts. The place ends with the walk. */
  static async begin(place, name, context = {}) {
    const walk = new Walk();
    Object.assign(walk, { place, name });
    walk.url = await place.open();
    walk.browser = await openBrowser();
    walk.page = await walk.browser.newPage({ viewport: { width: 1280, height: 860 }, locale: "en-US", ...context });
    walk.page.on("pageerror", (error) => walk.pageErrors.push(error.stack ?? String(error)));
    await walk.page.goto(walk.url);
    return walk;
  }

  async end() {
    await this.browser?.close();
    await this.place.end(this.#steps.failed);
  }

  step(run) {
    return this.#steps.take(run);
  }

  shot(name) {
    return this.page.screenshot({ path: path.join(artifacts, `browser-${this.name}-${name}.png`) });
  }

  go(where) {
    return this.page.evaluate((hash) => { location.hash = `#/${hash}`; }, where);
  }

  sees(selector, timeout = LOOK_MS) {
    return this.page.waitForSelector(selector, { timeout });
  }

  gone(selector) {
    return this.page.waitForSelector(selector, { state: "detached", timeout: LOOK_MS });
  }

  text(selector) {
    return this.page.textContent(selector);
  }

  reads(selector, words) {
    const now = () => this.page.locator(selector).first().textContent({ timeout: 100 }).catch(() => "");
    return until(`“${words}” in ${selector}`, async () => ((await now()) ?? "").includes(words));
  }

  inspect(name) {
    return JSON.parse(this.place.docker("inspect", name))[0];
  }

  /** axe finds nothing in a part of the page; `rules` instead of all of WCAG 2.2 AA. */
  async accessible(where, within = "body", rules = undefined) {
    await this.page.evaluate(readFileSync(require.resolve("axe-core/axe.min.js"), "utf8"));
    await still(this.page);
    const runOnly = rules ? { type: "rule", values: rules } : WCAG;
    const { violations } = await this.page.evaluate(([part, runOnly]) => globalThis.axe.run(document.querySelector(part), { runOnly, resultTypes: ["violations"] }), [within, runOnly]);
    assert.deepEqual(violations.flatMap(({ id, nodes }) => nodes.map((node) => `${where}: ${id}: ${node.html} ${node.any.map((one) => one.message).join("; ")}`)), []);
  }

  /** Nothing sticks out of the window sideways, but for what can be scrolled to, and nothing that can be clicked is cut off. */
  async fits(where) {
    await still(this.page);
    const out = await this.page.evaluate(() => {
      const scrolls = (element) => element && (/auto|scroll|hidden|clip/.test(getComputedStyle(element).overflowX) && element !== document.body || scrolls(element.parentElement));
      const beyond = (element) => {
        const { left, right, width } = element.getBoundingClientRect();
        return width > 1 && (left < -1 || right > innerWidth + 1);
      };
      const meant = [...document.body.querySelectorAll("main *, nav *, dialog *, [popover]")].filter((element) => element.checkVisibility() && beyond(element));
      // Nobody can click what is cut off and cannot be scrolled to.
      const cutOff = (element) => {
        const { left, right, width } = element.getBoundingClientRect();
        for (let around = element.parentElement; width > 1 && around && around !== document.body; around = around.parentElement) {
          const { overflowX } = getComputedStyle(around);
          if (/auto|scroll/.test(overflowX)) return false;
          const box = around.getBoundingClientRect();
          if (overflowX !== "visible" && (left < box.left - 1 || right > box.right + 1)) return true;
        }
        return false;
      };
      const controls = [...document.querySelectorAll("main :is(button, a, input, select)")].filter((element) => element.checkVisibility() && cutOff(element));
      const sticksOut = meant.filter((element) => element.matches("[popover] *, [popover]") || !scrolls(element.parentElement));
      return [...sticksOut, ...controls].map((element) => element.outerHTML.slice(0, 160));
    });
    assert.deepEqual(out, [], `${where}: out of the window`);
  }

  /** Everything on the page that can be clicked is reached by the Tab key, or by arrows within a group that is. */
  async reachable(where) {
    await still(this.page);
    await this.page.evaluate(() => {
      // From the top: a browser goes on where the focus was last.
      document.body.tabIndex = -1;
      document.body.focus();
      document.body.removeAttribute("tabindex");
      document.querySelectorAll("[data-reached]").forEach((element) => element.removeAttribute("data-reached"));
    });
    const onward = () => this.page.evaluate(() => {
      const now = document.activeElement;
      const again = now === document.body || now.hasAttribute("data-reached");
      now.setAttribute("data-reached", "");
      return !again;
    });
    // Past the end of the page Tab leaves it, and begins anew.
    do await this.page.keyboard.press("Tab");
    while (await onward());
    const missed = await this.page.evaluate(() => {
      const clickable = "button, a[href], input, select, textarea, summary, [tabindex], [role=button], [onclick]";
      const group = "[role=tablist], [role=menu], [role=tree], [role=listbox], [role=radiogroup]";
      const shown = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: false }) && !element.closest("[inert], [aria-hidden=true]");
      const reached = (element) => element.hasAttribute("data-reached");
      const byArrows = (element) => element.matches("input[type=radio]") ? [...document.getElementsByName(element.name)].some(reached) : [...(element.closest(group)?.querySelectorAll("[data-reached]") ?? [])].length > 0;
      // A key on something that is reached does the same (data-by-key; the suites press it). A frame that only scrolls, and the page
      // itself, take the focus without being an action.
      const passive = (element) => element.matches("main, [data-by-key], [tabindex='-1']:not(button, a, input, select, textarea, [role=button])");
      return [...document.querySelectorAll(clickable)].filter((element) => shown(element) && !element.disabled && !reached(element) && !byArrows(element) && !passive(element)).map((element) => element.outerHTML.slice(0, 200));
    });
    assert.deepEqual(missed, [], `${where}: not reached by the keyboard`);
  }
}
