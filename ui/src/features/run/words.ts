// A line for a shell, split into words as the shell would, without running anything.
//
// Understands both kinds of quotes, backslashes, comments, and lines that go on (`\`, PowerShell's backtick, cmd's caret).
// What the shell would fill in (`$PWD`, `$(id -u)`) stays as it is written and is marked.

export interface Word {
  text: string;
  /** Has parts that only a shell could fill in. */
  filled: boolean;
}

export interface Line {
  words: Word[];
  /** A quote or bracket never ends. */
  open: boolean;
}

const CONTINUES = /^(\\|`|\^)[ \t]*\r?\n/;
const ENDS = /^(&&|\|\||[;|&<>\n])/;

/** Every command of the text, in order. */
export function commands(text: string): Line[] {
  const lines: Line[] = [];
  let words: Word[] = [];
  let at = 0;
  const end = (open: boolean) => {
    if (words.length > 0) lines.push({ words, open });
    words = [];
  };
  while (at < text.length) {
    const rest = text.slice(at, at + 200);
    const continued = CONTINUES.exec(rest);
    if (continued) {
      at += continued[0].length;
    } else if (/^[ \t\r]/.test(rest)) {
      at++;
    } else if (rest.startsWith("#")) {
      const newline = text.indexOf("\n", at);
      at = newline < 0 ? text.length : newline;
    } else if (ENDS.test(rest)) {
      at += ENDS.exec(rest)?.[0].length ?? 1;
      end(false);
    } else {
      const word = readWord(text, at);
      words.push({ text: word.text, filled: word.filled });
      at = word.end;
      if (word.open) {
        end(true);
        return lines;
      }
    }
  }
  end(false);
  return lines;
}

interface ReadWord extends Word {
  end: number;
  open: boolean;
}

function readWord(text: string, from: number): ReadWord {
  let at = from;
  let out = "";
  let filled = false;
  const done = (open: boolean): ReadWord => ({ text: out, filled, end: at, open });
  while (at < text.length) {
    const char = text[at] ?? "";
    if (CONTINUES.test(text.slice(at, at + 80)) || /[\s;|&<>]/.test(char)) return done(false);
    if (char === "'") {
      const close = text.indexOf("'", at + 1);
      if (close < 0) {
        out += text.slice(at + 1);
        at = text.length;
        return done(true);
      }
      out += text.slice(at + 1, close);
      at = close + 1;
    } else if (char === '"') {
      const quoted = readQuoted(text, at + 1);
      out += quoted.text;
      filled ||= quoted.filled;
      at = quoted.end;
      if (quoted.open) return done(true);
    } else if (char === "\\" && at + 1 < text.length) {
      out += text[at + 1];
      at += 2;
    } else if (char === "$" && /[\w({]/.test(text[at + 1] ?? "")) {
      const end = filledEnd(text, at);
      if (end < 0) {
        out += text.slice(at);
        at = text.length;
        return done(true);
      }
      out += text.slice(at, end);
      filled = true;
      at = end;
    } else {
      out += char;
      at++;
    }
  }
  return done(false);
}

/** After the opening `"`. */
function readQuoted(text: string, from: number): ReadWord {
  let at = from;
  let out = "";
  let filled = false;
  while (at < text.length) {
    const char = text[at] ?? "";
    if (char === '"') return { text: out, filled, end: at + 1, open: false };
    if (char === "\\" && /["\\$`\n]/.test(text[at + 1] ?? "")) {
      if (text[at + 1] !== "\n") out += text[at + 1];
      at += 2;
    } else {
      if (char === "$" && /[\w({]/.test(text[at + 1] ?? "")) filled = true;
      out += char;
      at++;
    }
  }
  return { text: out, filled, end: at, open: true };
}

/** Where `$NAME`, `${…}` or `$(…)` ends; -1 when it does not. */
function filledEnd(text: string, from: number): number {
  const opener = text[from + 1];
  if (opener !== "(" && opener !== "{") {
    let end = from + 1;
    while (/\w/.test(text[end] ?? "")) end++;
    return end;
  }
  const closer = opener === "(" ? ")" : "}";
  let depth = 0;
  for (let at = from + 1; at < text.length; at++) {
    if (text[at] === opener) depth++;
    if (text[at] === closer && --depth === 0) return at + 1;
  }
  return -1;
}

/** For a POSIX shell. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
