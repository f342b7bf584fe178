// The shells that are open, by engine and container. They live here and not on the page, so that neither going somewhere else nor
// looking at another engine ends any of them.

import type { Terminal } from "@xterm/xterm";
import { client, world } from "../../shared/app";
import type { OpenTerminalStream } from "../../shared/client";
import { notices } from "../../shared/notices.svelte";
import { preferences } from "../../shared/preferences.svelte";
import { theme } from "./theme";

export class Shell {
  /** Where xterm draws; moved into whatever page shows it. */
  readonly element = document.createElement("div");
  ended = $state<{ code: number | null } | null>(null);
  private terminal: Terminal | undefined;
  private fitTo: (() => void) | undefined;
  private stream: OpenTerminalStream | undefined;
  private closed = false;
  private ignore: (() => void) | undefined;

  constructor(
    readonly container: string,
    readonly number: number,
    /** Through which it was opened, and goes on whichever is chosen. */
    readonly engine: string | null,
  ) {
    this.element.className = "xterm-home";
    void this.start();
  }

  focus(): void {
    this.terminal?.focus();
  }

  /** To the size of its page. Does nothing while it is on none. */
  fit(): void {
    if (this.element.isConnected && this.element.clientWidth > 0) this.fitTo?.();
  }

  close(): void {
    this.closed = true;
    this.stream?.close();
    this.ignore?.();
    this.terminal?.dispose();
    this.element.remove();
  }

  private async start(): Promise<void> {
    // Why: xterm is the heaviest part of the app; nobody waits for it before the first page.
    const [{ Terminal }, { FitAddon }] = await Promise.all([import("@xterm/xterm"), import("@xterm/addon-fit")]);
    if (this.closed) return;
    const mono = getComputedStyle(document.documentElement).getPropertyValue("--mono");
    const terminal = new Terminal({ fontFamily: mono, fontSize: 13, lineHeight: 1.2, cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches, scrollback: 10_000, theme: theme(), minimumContrastRatio: 4.5, screenReaderMode: true });
    const fit = new FitAddon();
    terminal.loadAddon(fit);
    terminal.open(this.element);
    this.terminal = terminal;
    this.fitTo = () => fit.fit();
    this.fit();
    this.connect(terminal);
    terminal.attachCustomKeyEventHandler((event) => this.key(terminal, event));
    this.ignore = preferences.onColours(() => (terminal.options.theme = theme()));
    if (this.element.isConnected) terminal.focus();
  }

  private connect(terminal: Terminal): void {
    const stream = client.openTerminal(
      { container: this.container, columns: terminal.cols, rows: terminal.rows, shell: null },
      {
        bytes: (bytes, taken) => terminal.write(bytes, taken),
        item: (item) => {
          if (item.type === "ended") this.ended = { code: item.exit_code };
          else if (item.type === "broken") {
            this.ended = { code: null };
            if (world.engines.chosen === this.engine && world.container(this.container)?.state === "running" && !world.stale && item.error.code !== "machine_off") notices.broke(item.error);
          }
        },
        lost: () => (this.ended = { code: null }),
      },
    );
    this.stream = stream;
    terminal.onData((text) => stream.send({ type: "text", text }));
    terminal.onResize(({ cols, rows }) => stream.send({ type: "resize", columns: cols, rows }));
  }

  /** Tab belongs to the shell; Ctrl+Shift+Escape is the way out for the keyboard. */
  private key(terminal: Terminal, event: KeyboardEvent): boolean {
    if (event.key === "C" && event.ctrlKey && event.shiftKey && terminal.hasSelection()) {
      if (event.type === "keydown") void navigator.clipboard.writeText(terminal.getSelection());
      event.preventDefault();
      return false;
    }
    if (!(event.key === "Escape" && event.ctrlKey && event.shiftKey)) return true;
    if (event.type === "keydown") document.querySelector<HTMLElement>("[role=tab][aria-selected=true]")?.focus();
    return false;
  }
}

export class Shells {
  list = $state.raw<readonly Shell[]>([]);
  chosen = $state.raw<Shell | null>(null);
  private last = 0;

  constructor(
    readonly container: string,
    readonly engine: string | null,
  ) {}

  /** Those whose program still runs. */
  get going(): number {
    return this.list.filter((shell) => !shell.ended).length;
  }

  open(): void {
    const shell = new Shell(this.container, ++this.last, this.engine);
    this.list = [...this.list, shell];
    this.chosen = shell;
  }

  /** Another in its place. */
  again(shell: Shell): void {
    this.close(shell);
    this.open();
  }

  close(shell: Shell): void {
    shell.close();
    const at = this.list.indexOf(shell);
    this.list = this.list.filter((other) => other !== shell);
    if (this.chosen === shell) this.chosen = this.list[Math.min(at, this.list.length - 1)] ?? null;
  }
}

/** By engine and container: two addresses may lead to the same one, and are two ways all the same. */
const all = new Map<string, Shells>();

export function shellsOf(container: string): Shells {
  const engine = world.engines.chosen;
  const key = JSON.stringify([engine, container]);
  const known = all.get(key);
  if (known) return known;
  // Why later: this is asked while a page is being worked out, which may not change anything.
  queueMicrotask(closeOrphans);
  const shells = new Shells(container, engine);
  all.set(key, shells);
  return shells;
}

/** How many go on through an engine. */
export function goingOn(engine: string | null): number {
  let going = 0;
  for (const shells of all.values()) if (shells.engine === engine) going += shells.going;
  return going;
}

/** Shells of containers that are gone go with them; what runs in an engine that is not looked at goes on. */
function closeOrphans(): void {
  for (const [key, shells] of all) {
    if (shells.engine !== world.engines.chosen || world.container(shells.container)) continue;
    for (const shell of shells.list) shells.close(shell);
    all.delete(key);
  }
}
