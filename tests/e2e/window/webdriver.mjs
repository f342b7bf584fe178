// As much of the WebDriver protocol as the window test needs. https://www.w3.org/TR/webdriver2/

import { writeFileSync } from "node:fs";

const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";
const KEYS = { Enter: "\uE007", Escape: "\uE00C", Tab: "\uE004" };

export class WebDriver {
  #base;
  #session;

  constructor(port) {
    this.#base = `http://127.0.0.1:${port}`;
  }

  async #ask(method, path, body) {
    const answer = await fetch(this.#base + path, { method, ...(body ? { body: JSON.stringify(body), headers: { "content-type": "application/json" } } : {}) });
    const { value } = await answer.json();
    if (!answer.ok) throw new Error(`${method} ${path}: ${value.error}: ${value.message}`);
    return value;
  }

  ready() {
    return this.#ask("GET", "/status").then((status) => status.ready, () => false);
  }

  /** Starts the program and takes over its window. */
  async open(binary) {
    const capabilities = { alwaysMatch: { "webkitgtk:browserOptions": { binary, args: [] } } };
    const { sessionId } = await this.#ask("POST", "/session", { capabilities });
    this.#session = `/session/${sessionId}`;
  }

  async close() {
    if (this.#session) await this.#ask("DELETE", this.#session);
    this.#session = undefined;
  }

  /** Ends a session whose program is gone; what WebDriver has to say about that is of no interest. */
  async forget() {
    await this.close().catch(() => {});
    this.#session = undefined;
  }

  eval(script) {
    return this.#ask("POST", `${this.#session}/execute/sync`, { script: `return (${script});`, args: [] });
  }

  async click(selector) {
    const element = await this.#ask("POST", `${this.#session}/element`, { using: "css selector", value: selector });
    await this.#ask("POST", `${this.#session}/element/${element[ELEMENT]}/click`, {});
  }

  type(text) {
    const actions = [...text].flatMap((value) => [{ type: "keyDown", value }, { type: "keyUp", value }]);
    return this.#ask("POST", `${this.#session}/actions`, { actions: [{ type: "key", id: "keyboard", actions }] });
  }

  press(key) {
    return this.type(KEYS[key] ?? key);
  }

  /** What the next frame shows: the picture is otherwise the one before the last change. */
  async shot(file) {
    const script = "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done)));";
    await this.#ask("POST", `${this.#session}/execute/async`, { script, args: [] });
    writeFileSync(file, Buffer.from(await this.#ask("GET", `${this.#session}/screenshot`), "base64"));
  }
}
