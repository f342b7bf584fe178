// A `docker run` line as the form's contents, each part with the sentence that explains it.

import type { Key, Words } from "../../shared/i18n";
import { dangers } from "./dangers";
import { FLAGS, OTHER_NAMES, SHORT } from "./flags";
import { emptyRun, type Run } from "./spec";
import { commands, quoted, type Line, type Word } from "./words";

export interface Piece {
  /** As it was written, for people. */
  text: string;
  explains: Key;
  with: Words;
  /** Not taken over: unknown, senseless, or without a place in the form. */
  problem: boolean;
  danger: Key | null;
}

export interface Parsed {
  run: Run;
  pieces: Piece[];
}

/** The first `docker run` in the text. Undefined when there is none. */
export function parseRun(text: string): Parsed | undefined {
  for (const line of commands(text)) {
    const from = afterVerb(line.words);
    if (from !== undefined) return parseWords(line.words.slice(from), line);
  }
  return undefined;
}

/** Where the flags begin, if it is a `docker run` at all. */
function afterVerb(words: Word[]): number | undefined {
  let at = 0;
  const word = () => words[at]?.text ?? "";
  while (word() === "$" || word() === ">" || word() === "sudo" || word() === "%" || /^\w+=/.test(word())) at++;
  if (!/(^|\/)(docker|podman|nerdctl|cubby)(\.exe)?$/.test(word())) return undefined;
  at++;
  // `--context x`, `-H x`: which engine is not the form's business.
  while (word().startsWith("-")) at += word().includes("=") || !/^(-H|-c|-l|--host|--context|--config|--log-level)$/.test(word()) ? 1 : 2;
  if (word() === "container") at++;
  return word() === "run" || word() === "create" ? at + 1 : undefined;
}

export function parseWords(words: readonly Word[], line?: Line): Parsed {
  const run = emptyRun();
  const pieces: Piece[] = [];
  const add = (text: string, explains: Key, params: Words = {}, problem = false) => pieces.push({ text, explains, with: params, problem, danger: null });
  let at = 0;

  const apply = (name: string, shown: string, value: string, filled: boolean) => {
    const flag = FLAGS[OTHER_NAMES[name] ?? name];
    if (!flag) return void add(shown, "flag.unknown", {}, true);
    const before = dangers(run).length;
    const taken = flag.apply(run, value) !== false;
    const problem = !taken || flag.explains === "flag.left" || flag.explains === "flag.env_file";
    add(shown, taken ? flag.explains : "flag.senseless", { value }, problem);
    const piece = pieces.at(-1);
    const found = dangers(run);
    if (piece && found.length > before) piece.danger = newest(found, pieces);
    if (filled) add(shown, "flag.filled", {}, true);
  };

  for (; at < words.length; at++) {
    const { text, filled } = words[at] as Word;
    if (text === "--") {
      at++;
      break;
    }
    if (!text.startsWith("-") || text === "-") break;
    if (text.startsWith("--")) {
      const equals = text.indexOf("=");
      const name = equals < 0 ? text : text.slice(0, equals);
      const flag = FLAGS[OTHER_NAMES[name] ?? name];
      if (equals >= 0) apply(name, quoted(text), text.slice(equals + 1), filled);
      else if (!flag || flag.bare) apply(name, text, "", filled);
      else {
        const next = words[++at];
        apply(name, next ? `${text} ${quoted(next.text)}` : text, next?.text ?? "", filled || (next?.filled ?? false));
      }
      continue;
    }
    // `-itp 80:80`, `-p80:80`, `-p=80:80`
    for (let index = 1; index < text.length; index++) {
      const letter = text[index] ?? "";
      const name = SHORT[letter];
      const flag = name ? FLAGS[name] : undefined;
      if (!name || !flag) {
        add(`-${letter}`, "flag.unknown", {}, true);
      } else if (flag.bare) {
        apply(name, `-${letter}`, "", filled);
      } else {
        let value = text.slice(index + 1).replace(/^=/, "");
        let shown = `-${letter} ${quoted(value)}`;
        let fills = filled;
        if (index + 1 >= text.length) {
          const next = words[++at];
          value = next?.text ?? "";
          shown = next ? `-${letter} ${quoted(value)}` : `-${letter}`;
          fills ||= next?.filled ?? false;
        }
        apply(name, shown, value, fills);
        break;
      }
    }
  }

  const image = words[at];
  if (image) {
    run.image = image.text;
    add(image.text, "flag.image", { value: image.text });
    if (image.filled) add(image.text, "flag.filled", {}, true);
    const command = words.slice(at + 1);
    run.command = command.map((word) => word.text);
    if (run.entrypoint && run.entrypoint.length === 1 && run.entrypoint[0] === "") run.entrypoint = [""];
    if (command.length > 0) add(run.command.map(quoted).join(" "), "flag.command", { value: run.command.join(" ") });
    if (command.some((word) => word.filled)) add(run.command.map(quoted).join(" "), "flag.filled", {}, true);
  } else {
    add("", "flag.no_image", {}, true);
  }
  if (line?.open) add("", "flag.open_quote", {}, true);
  return { run, pieces };
}

/** The danger that no piece before has named. */
function newest(found: Key[], pieces: Piece[]): Key | null {
  return found.find((key) => !pieces.some((piece) => piece.danger === key)) ?? null;
}
