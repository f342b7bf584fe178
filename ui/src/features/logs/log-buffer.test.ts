import { describe, expect, it } from "vitest";
import type { LogLine } from "../../bindings/schema";
import { BLOCK, LogBuffer } from "./log-buffer";

const line = (text: string, source: "out" | "err" = "out"): LogLine => ({ text, source, at_unix_ms: 1, partial: false });
const numbered = (count: number, from = 0) => Array.from({ length: count }, (_, at) => line(`line ${from + at}`));

describe("LogBuffer", () => {
  it("addresses lines by absolute number", () => {
    const buffer = new LogBuffer();
    buffer.append(numbered(3000));
    expect(buffer.length).toBe(3000);
    expect(buffer.line(2500)?.text).toBe("line 2500");
    expect(buffer.line(3000)).toBeUndefined();
  });

  it("drops whole blocks of the oldest and keeps the numbers", () => {
    const buffer = new LogBuffer(2 * BLOCK);
    buffer.append(numbered(5 * BLOCK));
    expect(buffer.length).toBeLessThanOrEqual(2 * BLOCK);
    expect(buffer.first % BLOCK).toBe(0);
    expect(buffer.line(buffer.end - 1)?.text).toBe(`line ${5 * BLOCK - 1}`);
    expect(buffer.line(0)).toBeUndefined();
    expect(buffer.line(buffer.first)?.text).toBe(`line ${buffer.first}`);
  });

  it("is bounded by characters too", () => {
    const buffer = new LogBuffer(1_000_000, 100 * BLOCK);
    for (let at = 0; at < 6; at++) buffer.append(Array.from({ length: BLOCK }, () => line("x".repeat(60))));
    expect(buffer.length).toBeLessThanOrEqual(2 * BLOCK);
  });

  it("finds, narrows, and finds in what comes later", () => {
    const buffer = new LogBuffer();
    buffer.append([line("GET /a 200"), line("get /b 404"), line("POST /c 200")]);
    buffer.search("get");
    expect(buffer.matches).toEqual([0, 1]);
    buffer.search("get /b");
    expect(buffer.matches).toEqual([1]);
    buffer.append([line("GET /b 200")]);
    expect(buffer.matches).toEqual([1, 3]);
    buffer.search("");
    expect(buffer.matches).toEqual([]);
  });

  it("finds every line once, in full blocks as in the last one, whatever folding does to its length", () => {
    const buffer = new LogBuffer();
    const texts = Array.from({ length: 2 * BLOCK + 7 }, (_, at) => (at % 5 ? `line ${at}` : `İİ Needle and needle, line ${at}`));
    buffer.append(texts.map((text) => line(text)));
    for (const query of ["NEEDLE", "line 2051", "i̇i̇ n", "none of them"]) {
      buffer.search(query);
      const expected = texts.flatMap((text, at) => (text.toLowerCase().includes(query.toLowerCase()) ? [at] : []));
      expect(buffer.matches).toEqual(expected);
    }
  });

  it("forgets matches in dropped lines", () => {
    const buffer = new LogBuffer(BLOCK);
    buffer.search("line");
    buffer.append(numbered(3 * BLOCK));
    expect(buffer.matches[0]).toBe(buffer.first);
    expect(buffer.matches.length).toBe(buffer.length);
  });

  it("maps rows to lines and back, wrapped", () => {
    const buffer = new LogBuffer();
    buffer.append([line("x".repeat(25)), line(""), line("y".repeat(10))]);
    buffer.append(numbered(4000));
    buffer.wrapAt(10);
    expect(buffer.lineAtRow(2)).toEqual({ line: 0, row: 0 });
    expect(buffer.lineAtRow(3)).toEqual({ line: 1, row: 3 });
    expect(buffer.lineAtRow(4)).toEqual({ line: 2, row: 4 });
    expect(buffer.rowOfLine(2)).toBe(4);
    for (const number of [3, 1023, 1024, 1025, 3999]) {
      expect(buffer.lineAtRow(buffer.rowOfLine(number)).line).toBe(number);
    }
    expect(buffer.rowOfLine(buffer.end)).toBe(buffer.rows);
    buffer.wrapAt(0);
    expect(buffer.rows).toBe(buffer.length);
  });

  it("takes, searches and addresses a million lines in well under a second each", () => {
    const buffer = new LogBuffer();
    const chunk = Array.from({ length: 10_000 }, (_, at) => line(`2026-11-21T04:00:00Z request ${at} served in ${at % 97} ms by worker`));
    for (let at = 0; at < 100; at++) buffer.append(chunk);
    expect(buffer.length).toBeGreaterThan(900_000);
    const before = performance.now();
    buffer.search("request 9999 ");
    const took = performance.now() - before;
    expect(buffer.matches.length).toBeGreaterThan(90);
    // The goal is 100 ms; the bound leaves room for a busy machine.
    expect(took).toBeLessThan(1500);
  });
});
