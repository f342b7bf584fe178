import fc from "fast-check";
import { expect, it } from "vitest";
import { commands, quoted } from "./words";

const words = (text: string) => commands(text).map((line) => line.words.map((word) => word.text));

it("reads quotes, escapes and comments as a shell does", () => {
  expect(words(`a 'b c' "d \\"e\\" f" g\\ h 'i'"j"k # not this`)).toEqual([["a", "b c", 'd "e" f', "g h", "ijk"]]);
  expect(words("one && two; three | four\nfive")).toEqual([["one"], ["two"], ["three"], ["four"], ["five"]]);
  expect(words(`x "" ''`)).toEqual([["x", "", ""]]);
});

it("goes on after a backslash, a backtick and a caret at the line's end", () => {
  for (const mark of ["\\", "`", "^"]) expect(words(`docker run ${mark}\n  -it ${mark}  \r\n  web`)).toEqual([["docker", "run", "-it", "web"]]);
});

it("keeps what the shell would fill in, in one word, and marks it", () => {
  const line = commands(`-u $(id -u):$(id -g) -v "$PWD:/app" '$HOME' cost\\$ 5$`)[0];
  expect(line?.words.map(({ text, filled }) => [text, filled])).toEqual([["-u", false], ["$(id -u):$(id -g)", true], ["-v", false], ["$PWD:/app", true], ["$HOME", false], ["cost$", false], ["5$", false]]);
});

it("says when a quote never ends", () => {
  for (const text of [`a 'b`, `a "b`, "a $(b"]) expect(commands(text).at(-1)?.open).toBe(true);
});

it("reads back any word that was quoted", () => {
  fc.assert(fc.property(fc.array(fc.string({ unit: "grapheme" }), { minLength: 1 }), (all) => {
    expect(words(all.map(quoted).join(" "))).toEqual([all]);
  }));
});

it("takes any text without hanging or failing", () => {
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom("'", '"', "\\", "$", "(", ")", "{", "}", "`", "^", "\n", " ", "a", "#", ";", "|") }), (text) => {
    expect(Array.isArray(commands(text))).toBe(true);
  }), { numRuns: 1000 });
});
