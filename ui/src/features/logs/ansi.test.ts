import { describe, expect, it } from "vitest";
import { cells, clean, marked, segments } from "./ansi";

describe("ansi", () => {
  it("keeps colours and drops every other sequence", () => {
    const raw = "\x1b[1;32mok\x1b[0m \x1b]0;title\x07done\x1b[2K\x1b[?25l";
    expect(segments(raw)).toEqual([{ text: "ok", bold: true, colour: 2 }, { text: " " }, { text: "done" }]);
    expect(clean(raw)).toBe("ok done");
  });

  it("shows what a carriage return left standing", () => {
    expect(clean("10%\r50%\r100%")).toBe("100%");
    expect(clean("windows line\r")).toBe("windows line");
  });

  it("removes characters that reorder or hide text", () => {
    expect(clean("a\u202eb\u0000c\u2066d")).toBe("abcd");
  });

  it("expands tabs to their stops", () => {
    expect(clean("ab\tc")).toBe("ab      c");
  });

  it("survives unfinished and nonsense sequences", () => {
    for (const raw of ["\x1b", "\x1b[", "\x1b[38;5m", "\x1b[999;;m x", "\x1b]8;;http://x", "\x1bP"]) {
      expect(() => segments(raw)).not.toThrow();
    }
    expect(clean("\x1b[38;2;1;2;3mred\x1b[38;5;9mbright")).toBe("redbright");
  });

  it("counts cells", () => {
    expect(cells("abc")).toBe(3);
    expect(cells("日本")).toBe(4);
    expect(cells("é")).toBe(1);
  });

  it("marks matches across colours", () => {
    const parts = marked([{ text: "foo" }, { text: "Bar", colour: 1 }, { text: " foobar" }], "foobar", "match");
    expect(parts).toEqual([
      { text: "foo", mark: "match" },
      { text: "Bar", colour: 1, mark: "match" },
      { text: " " },
      { text: "foobar", mark: "match" },
    ]);
  });

  it("marks neighbours and leaves the rest", () => {
    expect(marked([{ text: "aaab" }], "a", "match").map((part) => [part.text, part.mark])).toEqual([
      ["a", "match"], ["a", "match"], ["a", "match"], ["b", undefined],
    ]);
    expect(marked([{ text: "xyz" }], "a", "match")).toEqual([{ text: "xyz" }]);
  });
});
