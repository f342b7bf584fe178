import { expect, it } from "vitest";
import { en } from "./i18n/en";
import { why } from "./why";

it("recognises what engines and registries say", () => {
  expect(why("Get \"https://registry-1.docker.io/v2/\": dns error: failed to lookup address information")).toBe(en["why.offline"]);
  expect(why("pull access denied for x, repository does not exist or may require 'docker login'")).toBe(en["why.login"]);
  expect(why("manifest for nginx:nope not found: manifest unknown")).toBe(en["why.no_image"]);
  expect(why("invalid pool request: Pool overlaps with other one on this address space")).toBe(en["why.subnet"]);
  expect(why("boom")).toBeUndefined();
});
