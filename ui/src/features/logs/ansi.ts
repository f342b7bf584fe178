// Control sequences in log lines: colours are kept, everything else is removed. Nothing here writes HTML.

// eslint-disable-next-line no-control-regex
const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])/g;
// eslint-disable-next-line no-control-regex
const CONTROLS = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
/** Most lines have nothing of the kind. */
// eslint-disable-next-line no-control-regex
const ANY = /[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]/;
const TAB = 8;

export interface Segment {
  text: string;
  /** Index 0–15 of the sixteen colours. */
  colour?: number;
  bold?: boolean;
  mark?: "match" | "current";
}

/** The text alone, tabs expanded. What a progress bar overwrote by carriage returns is left out. */
export function clean(raw: string): string {
  if (!ANY.test(raw)) return raw;
  return segments(raw).map((segment) => segment.text).join("");
}

/** Width in cells of a monospaced font. */
export function cells(text: string): number {
  // eslint-disable-next-line no-control-regex
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    width += isWide(code) ? 2 : 1;
  }
  return width;
}

function isWide(code: number): boolean {
  return (
    (code >= 0x1100 && code <= 0x115f) || (code >= 0x2e80 && code <= 0xa4cf) || (code >= 0xac00 && code <= 0xd7a3) ||
    (code >= 0xf900 && code <= 0xfaff) || (code >= 0xfe30 && code <= 0xfe6f) || (code >= 0xff00 && code <= 0xff60) ||
    (code >= 0x1f300 && code <= 0x1faff) || (code >= 0x20000 && code <= 0x3fffd)
  );
}

/** Coloured pieces; their texts joined are `clean(raw)`. */
export function segments(raw: string): Segment[] {
  if (!ANY.test(raw)) return raw ? [{ text: raw }] : [];
  const visible = afterLastReturn(raw);
  const out: Segment[] = [];
  let style: Omit<Segment, "text"> = {};
  let column = 0;
  let from = 0;
  const push = (piece: string) => {
    let text = "";
    for (const character of piece.replace(CONTROLS, "")) {
      const wide = character === "\t" ? TAB - (column % TAB) : 1;
      text += character === "\t" ? " ".repeat(wide) : character;
      column += wide;
    }
    if (text) out.push({ text, ...style });
  };
  for (const match of visible.matchAll(SEQUENCES)) {
    push(visible.slice(from, match.index));
    from = match.index + match[0].length;
    if (match[0].startsWith("\x1b[") && match[0].endsWith("m")) style = styled(style, match[0].slice(2, -1));
  }
  push(visible.slice(from));
  return out;
}

function afterLastReturn(raw: string): string {
  const trimmed = raw.endsWith("\r") ? raw.replace(/\r+$/, "") : raw;
  return trimmed.slice(trimmed.lastIndexOf("\r") + 1);
}

function styled(style: Omit<Segment, "text">, parameters: string): Omit<Segment, "text"> {
  const codes = parameters.split(/[;:]/).map(Number);
  let next = { ...style };
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] ?? 0;
    if (code === 0) next = {};
    else if (code === 1) next.bold = true;
    else if (code === 22) delete next.bold;
    else if (code >= 30 && code <= 37) next.colour = code - 30;
    else if (code >= 90 && code <= 97) next.colour = code - 82;
    else if (code === 39) delete next.colour;
    else if (code === 38 || code === 48) at = extended(next, codes, at);
  }
  return next;
}

/** `38;5;n` and `38;2;r;g;b`: only the first sixteen have a colour of ours; returns where the numbers end. */
function extended(style: Omit<Segment, "text">, codes: number[], at: number): number {
  if (codes[at + 1] !== 5) return at + (codes[at + 1] === 2 ? 4 : 1);
  const index = codes[at + 2] ?? 16;
  if (codes[at] === 38 && index < 16) style.colour = index;
  return at + 2;
}

/** Cuts the segments at every occurrence of `needle` (lower case) and marks those. */
export function marked(parts: Segment[], needle: string, mark: "match" | "current"): Segment[] {
  if (!needle) return parts;
  const whole = parts.map((part) => part.text).join("").toLowerCase();
  const out: Segment[] = [];
  let offset = 0;
  let hit = whole.indexOf(needle);
  for (const part of parts) {
    let at = 0;
    while (at < part.text.length) {
      while (hit >= 0 && hit + needle.length <= offset + at) hit = whole.indexOf(needle, hit + needle.length);
      const inside = hit >= 0 && hit <= offset + at;
      const until = hit < 0 ? part.text.length : Math.min(part.text.length, (inside ? hit + needle.length : hit) - offset);
      const text = part.text.slice(at, until);
      out.push(inside ? { ...part, text, mark } : { ...part, text });
      at = until;
    }
    offset += part.text.length;
  }
  return out;
}
