// Which page, and what is open on it: the address after `#`, so that back and forward work.

export const PAGES = ["home", "apps", "images", "data", "doors", "networks", "library", "machine", "settings"] as const;
export type Page = (typeof PAGES)[number];
const TABS = ["overview", "logs", "terminal", "files", "stats", "processes", "environment", "inspect"] as const;
export type Tab = (typeof TABS)[number];

/** In the place of a container: the form that makes one. No container has such an id. */
export const RUN_FORM = "new";

class Router {
  page = $state<Page>("home");
  /** What is open on the page: a container's id, an image's, a volume's name. */
  item = $state<string | null>(null);
  tab = $state<Tab>("overview");

  constructor() {
    if (typeof window === "undefined") return;
    window.addEventListener("hashchange", () => this.read());
    this.read();
  }

  go(page: Page, item: string | null = null, tab: Tab = "overview"): void {
    const path = ["", page, ...(item ? [encodeURIComponent(item), tab] : [])].join("/");
    if (location.hash !== `#${path}`) location.hash = path;
  }

  /** The page alone, in the place of the address that led here: going back does not lead here again. */
  clear(): void {
    history.replaceState(null, "", `#/${this.page}`);
    this.read();
  }

  private read(): void {
    const [page, item, tab] = location.hash.replace(/^#\/?/, "").split("/");
    this.page = PAGES.find((known) => known === page) ?? "home";
    this.item = item ? decoded(item) : null;
    this.tab = TABS.find((known) => known === tab) ?? "overview";
  }
}

/** An address that a person typed may be no encoding of anything. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export const router = new Router();
