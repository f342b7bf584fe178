// The lines of one log: bounded, addressable by number, searchable, and laid out in rows of a fixed height.
//
// Lines have absolute numbers that never change; the oldest are dropped in whole blocks when the buffer is full. With
// wrapping on, a line takes as many rows as its cells need at the current width; a sum per block makes both directions
// (row → line, line → row) a short search, so that a million lines scroll like ten.

import type { LogLine } from "../../bindings/schema";
import { cells, clean } from "./ansi";

export const BLOCK = 1024;
const MAX_LINES = 1_000_000;
const MAX_CHARACTERS = 96_000_000;
/** So many lines are looked through one by one faster than all of them together. */
const FEW = 20_000;

export interface StoredLine {
  /** As it came, colours included. */
  raw: string;
  /** Without control sequences: what is searched, copied and measured. */
  text: string;
  err: boolean;
  at: number | null;
  /** Which of several logs it is from. */
  from: number;
}

interface Block {
  lines: StoredLine[];
  characters: number;
  /** Rows of all lines at the current width. */
  rows: number;
  /** What a search reads; made once a block is full. */
  folded: Folded | undefined;
}

/**
 * The lines of a block in lower case as one text. Why: looking through one long text is twenty times as fast as through a
 * thousand short ones, each of which would have to be folded first.
 */
interface Folded {
  text: string;
  /** Where each line begins in it, and one past the end. Not the lines' own lengths: folding changes some. */
  starts: Uint32Array;
}

export class LogBuffer {
  private blocks: Block[] = [];
  private firstLine = 0;
  private characters = 0;
  private columns = 0;
  private query = "";
  /** Absolute numbers of the lines that contain the query, ascending. */
  private found: number[] = [];

  constructor(
    private readonly maxLines = MAX_LINES,
    private readonly maxCharacters = MAX_CHARACTERS,
    /** A view of another buffer's lines is made ready for a search when there is one. */
    private readonly folds = true,
  ) {}

  /** Number of the oldest line kept. */
  get first(): number {
    return this.firstLine;
  }

  /** One past the newest line. */
  get end(): number {
    const last = this.blocks.at(-1);
    return last ? this.firstLine + (this.blocks.length - 1) * BLOCK + last.lines.length : this.firstLine;
  }

  get length(): number {
    return this.end - this.firstLine;
  }

  get matches(): readonly number[] {
    return this.found;
  }

  get rows(): number {
    return this.blocks.reduce((sum, block) => sum + block.rows, 0);
  }

  append(lines: readonly LogLine[], from = 0): StoredLine[] {
    const stored = lines.map((line) => ({ raw: line.text, text: clean(line.text), err: line.source === "err", at: line.at_unix_ms, from }));
    this.put(stored);
    return stored;
  }

  put(lines: readonly StoredLine[]): void {
    const needle = this.query;
    for (const stored of lines) {
      const block = this.lastBlock();
      block.lines.push(stored);
      block.characters += stored.text.length;
      block.rows += this.rowsOf(stored);
      this.characters += stored.text.length;
      if (this.folds && block.lines.length === BLOCK) block.folded = fold(block.lines);
      if (needle && contains(stored.text, needle)) this.found.push(this.end - 1);
    }
    this.dropOldest();
  }

  /** Another buffer with the lines that are wanted; lines are shared, not copied. */
  only(wanted: (line: StoredLine) => boolean): LogBuffer {
    const other = new LogBuffer(this.maxLines, this.maxCharacters, false);
    for (const block of this.blocks) other.put(block.lines.filter(wanted));
    return other;
  }

  line(number: number): StoredLine | undefined {
    const at = number - this.firstLine;
    return this.blocks[Math.floor(at / BLOCK)]?.lines[at % BLOCK];
  }

  /** 0: one row per line. Otherwise the number of cells in a row. */
  wrapAt(columns: number): void {
    if (columns === this.columns) return;
    this.columns = columns;
    for (const block of this.blocks) block.rows = block.lines.reduce((sum, line) => sum + this.rowsOf(line), 0);
  }

  rowsOf(line: StoredLine): number {
    return this.columns > 0 ? Math.max(1, Math.ceil(cells(line.text) / this.columns)) : 1;
  }

  /** The line that holds a row, and that line's first row. Rows and lines past the end give the end. */
  lineAtRow(row: number): { line: number; row: number } {
    let top = 0;
    let number = this.firstLine;
    for (const block of this.blocks) {
      if (row >= top + block.rows) {
        top += block.rows;
        number += block.lines.length;
        continue;
      }
      for (const line of block.lines) {
        const rows = this.rowsOf(line);
        if (row < top + rows) return { line: number, row: top };
        top += rows;
        number++;
      }
    }
    return { line: number, row: top };
  }

  rowOfLine(number: number): number {
    let row = 0;
    let at = this.firstLine;
    for (const block of this.blocks) {
      if (number >= at + block.lines.length) {
        row += block.rows;
        at += block.lines.length;
        continue;
      }
      for (const line of block.lines) {
        if (at++ === number) return row;
        row += this.rowsOf(line);
      }
    }
    return row;
  }

  /** Case-insensitive; empty ends the search. */
  search(query: string): void {
    const needle = query.toLowerCase();
    if (needle === this.query) return;
    // Typing on narrows what was found: only those lines need another look.
    const narrows = this.query !== "" && needle.startsWith(this.query) && this.found.length < FEW;
    this.query = needle;
    if (needle === "") this.found = [];
    else if (narrows) this.found = this.found.filter((number) => contains(this.line(number)?.text ?? "", needle));
    else this.found = this.scan(needle);
  }

  text(): string {
    return this.blocks.map((block) => block.lines.map((line) => line.text).join("\n")).join("\n");
  }

  private scan(needle: string): number[] {
    const found: number[] = [];
    let first = this.firstLine;
    for (const block of this.blocks) {
      const full = block.lines.length === BLOCK;
      const folded = block.folded ?? fold(block.lines);
      if (full) block.folded = folded;
      find(folded, needle, first, found);
      first += block.lines.length;
    }
    return found;
  }

  private lastBlock(): Block {
    const last = this.blocks.at(-1);
    if (last && last.lines.length < BLOCK) return last;
    const block: Block = { lines: [], characters: 0, rows: 0, folded: undefined };
    this.blocks.push(block);
    return block;
  }

  private dropOldest(): void {
    let dropped = 0;
    while (this.blocks.length > 1 && (this.length > this.maxLines || this.characters > this.maxCharacters)) {
      const block = this.blocks.shift();
      if (!block) break;
      this.firstLine += block.lines.length;
      this.characters -= block.characters;
      dropped++;
    }
    if (dropped > 0) {
      const keep = this.found.findIndex((number) => number >= this.firstLine);
      this.found = keep < 0 ? [] : this.found.slice(keep);
    }
  }
}

function fold(lines: readonly StoredLine[]): Folded {
  const starts = new Uint32Array(lines.length + 1);
  const texts = lines.map((line, at) => {
    const text = line.text.toLowerCase();
    starts[at + 1] = (starts[at] ?? 0) + text.length + 1;
    return text;
  });
  return { text: texts.join("\n"), starts };
}

/** Adds the numbers of the lines that contain `needle`, the first of them being `first`. */
function find({ text, starts }: Folded, needle: string, first: number, found: number[]): void {
  let line = 0;
  for (let at = text.indexOf(needle); at >= 0; at = text.indexOf(needle, starts[line])) {
    while ((starts[line + 1] ?? Infinity) <= at) line++;
    found.push(first + line);
    line++;
  }
}

/** `needle` is lower case. */
function contains(text: string, needle: string): boolean {
  return text.includes(needle) || text.toLowerCase().includes(needle);
}
