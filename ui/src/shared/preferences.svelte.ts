// What the user chose about the app itself; kept by the webview, known before the first picture.

export type Theme = "system" | "light" | "dark";
export type Contrast = "system" | "more";
export type Motion = "system" | "less";

interface Kept {
  language: string;
  theme: Theme;
  contrast: Contrast;
  motion: Motion;
  expert: boolean;
  notify: boolean;
}

const KEY = "cubby.preferences";
const USUAL: Kept = { language: "system", theme: "system", contrast: "system", motion: "system", expert: false, notify: true };

function load(): Kept {
  try {
    return { ...USUAL, ...(JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Kept>) };
  } catch {
    return USUAL; // No storage, or nonsense in it: no reason to bother anybody.
  }
}

const asks = (query: string) => (typeof matchMedia === "undefined" ? undefined : matchMedia(query));
const dark = asks("(prefers-color-scheme: dark)");
const contrast = asks("(prefers-contrast: more)");
const motion = asks("(prefers-reduced-motion: reduce)");

class Preferences {
  language = $state(USUAL.language);
  theme = $state<Theme>(USUAL.theme);
  contrast = $state<Contrast>(USUAL.contrast);
  motion = $state<Motion>(USUAL.motion);
  /** Docker's words first, and the pages that only those need who know them. */
  expert = $state(USUAL.expert);
  /** Desktop notifications while the window is away. */
  notify = $state(USUAL.notify);

  /** Of whoever draws by hand, in colours that were read once. */
  private readonly redraws = new Set<() => void>();

  onLanguage: (() => Promise<void>) | undefined;
  onNotify: ((on: boolean) => void) | undefined;

  constructor() {
    Object.assign(this, typeof localStorage === "undefined" ? USUAL : load());
  }

  set(change: Partial<Kept>): void {
    Object.assign(this, change);
    if (change.language !== undefined) void this.onLanguage?.();
    if (change.notify !== undefined) this.onNotify?.(change.notify);
    const { language, theme, contrast, motion, expert, notify } = this;
    try {
      localStorage.setItem(KEY, JSON.stringify({ language, theme, contrast, motion, expert, notify }));
    } catch {
      // It holds until the window closes.
    }
    this.apply();
  }

  /** Writes what holds now on the document, where tokens.css reads it. */
  apply(): void {
    const on = document.documentElement.dataset;
    on["theme"] = this.theme === "system" ? (dark?.matches ? "dark" : "light") : this.theme;
    on["contrast"] = this.contrast === "more" || contrast?.matches ? "more" : "usual";
    on["motion"] = this.motion === "less" || motion?.matches ? "less" : "usual";
    for (const redraw of this.redraws) redraw();
  }

  /** Calls it whenever colours may have changed, chosen here or by the system; returns what ends that. */
  onColours(redraw: () => void): () => void {
    this.redraws.add(redraw);
    return () => void this.redraws.delete(redraw);
  }

  /** Before the first page is drawn. */
  start(): void {
    this.apply();
    for (const query of [dark, contrast, motion]) query?.addEventListener("change", () => this.apply());
  }
}

export const preferences = new Preferences();
