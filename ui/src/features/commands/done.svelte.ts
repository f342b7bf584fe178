// What was done since the window opened, as lines for a shell, newest first. Kept here only: a line may have a password in its settings.

const KEPT = 100;

export interface Done {
  id: number;
  line: string;
  at: number;
}

/** One line, and what it does. */
export interface Entry {
  label: string;
  line: string;
}

class Commands {
  /** What a dialog shows of one thing. */
  shown = $state.raw<{ name: string; entries: readonly Entry[] } | null>(null);
  list = $state.raw<readonly Done[]>([]);
  private next = 1;

  add(line: string | null): void {
    if (line !== null) this.list = [{ id: this.next++, line, at: Date.now() }, ...this.list].slice(0, KEPT);
  }
}

export const commands = new Commands();
