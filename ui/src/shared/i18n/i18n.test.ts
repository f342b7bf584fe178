import { expect, it } from "vitest";
import { de } from "./de";
import { en } from "./en";

const holes = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort();

it("has the same keys and the same holes in every language", () => {
  expect(Object.keys(de).sort()).toEqual(Object.keys(en).sort());
  for (const key of Object.keys(en) as (keyof typeof en)[]) {
    // The singular may spell the number out.
    if (!key.endsWith("_one")) expect(holes(de[key]), key).toEqual(holes(en[key]));
  }
});

it("is translated", () => {
  const same = (Object.keys(en) as (keyof typeof en)[]).filter((key) => en[key] === de[key] && en[key].replace(/\{\w+\}/g, "").trim().split(/\s+/).length > 2);
  expect(same).toEqual([]);
});
