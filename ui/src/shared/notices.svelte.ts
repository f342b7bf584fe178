// What the app says by itself: errors with a remedy, and announcements for screen readers.

import type { AppError, Remedy } from "../bindings/schema";
import { CallError } from "./client";
import { t } from "./i18n";
import { titled } from "./titles";

export interface Notice {
  id: number;
  kind: "error" | "done";
  title: string;
  detail: string;
  remedy: Remedy | null;
  /** Runs the failed action another way, for `use_free_port`. */
  retry: (() => void) | undefined;
  /** A button of its own, such as Undo. */
  action?: { label: string; run: () => void };
  /** Of something that was followed: says nothing once the engine itself turns out to be away. */
  passing?: boolean;
}

class Notices {
  list = $state.raw<readonly Notice[]>([]);
  /** Read out politely. */
  spoken = $state("");
  private nextId = 1;

  error(error: AppError, retry?: () => void): void {
    this.add({ kind: "error", title: error.title, detail: error.detail, remedy: error.remedy, retry });
  }

  /** Something that was followed broke off. */
  broke(error: AppError): void {
    this.add({ kind: "error", title: titled(error.title), detail: error.detail, remedy: error.remedy, retry: undefined, passing: true });
  }

  /** The engine went away, which is shown; what broke with it needs no words of its own. */
  engineLost(): void {
    this.list = this.list.filter((notice) => !notice.passing);
  }

  done(title: string): void {
    const id = this.add({ kind: "done", title, detail: "", remedy: null, retry: undefined });
    setTimeout(() => this.dismiss(id), 5000);
  }

  /** Something that was done and can be undone for a while. */
  undoable(title: string, label: string, run: () => void): void {
    const id = this.add({ kind: "done", title, detail: "", remedy: null, retry: undefined, action: { label, run } });
    setTimeout(() => this.dismiss(id), 12_000);
  }

  dismiss(id: number): void {
    this.list = this.list.filter((notice) => notice.id !== id);
  }

  say(text: string): void {
    this.spoken = text;
  }

  /** Runs an action; a failure becomes a notice. Returns undefined then. */
  async attempt<T>(action: () => Promise<T>, retry?: () => void): Promise<T | undefined> {
    try {
      return await action();
    } catch (thrown) {
      if (thrown instanceof CallError) {
        this.error(thrown.error, retry);
      } else {
        console.error(thrown);
        this.error({ code: "failed", title: t("error.unexpected"), detail: String(thrown), remedy: null });
      }
      return undefined;
    }
  }

  /** The same for something in a list: when it went away meanwhile, the list shows that and nothing needs saying. */
  attemptOn<T>(action: () => Promise<T>, name = ""): Promise<T | undefined> {
    return this.attempt(async () => {
      try {
        return await action();
      } catch (thrown) {
        if (!(thrown instanceof CallError)) throw thrown;
        if (thrown.error.code === "not_found") return undefined;
        // Which one of the list.
        throw name ? new CallError({ ...thrown.error, title: `${name}: ${thrown.error.title}` }) : thrown;
      }
    }) as Promise<T | undefined>;
  }

  private add(notice: Omit<Notice, "id">): number {
    const id = this.nextId++;
    // The same error again replaces the old one; more than four would hide the app.
    const others = this.list.filter((other) => other.title !== notice.title || other.detail !== notice.detail);
    this.list = [...others.slice(-3), { ...notice, id }];
    return id;
  }
}

export const notices = new Notices();
