// The steps of a walk: what fails is pictured once, and those after it are not tried.

import assert from "node:assert/strict";
import { test } from "node:test";

export class Steps {
  failed = false;
  #picture;

  /** `picture` is asked to show how things look when a step fails. */
  constructor(picture) {
    this.#picture = picture;
  }

  /** A test that is one step. */
  step(name, run) {
    test(name, () => this.take(run));
  }

  async take(run) {
    assert.ok(!this.failed, "not tried: an earlier step failed");
    try {
      await run();
    } catch (error) {
      this.failed = true;
      await this.#picture();
      throw error;
    }
  }
}
