// Which page, and what is open on it: the address after `#`, so that back and forward work.

export type Page = "home" | "apps" | "images" | "doors" | "machine";
export type Tab = "overview" | "logs" | "terminal";

const PAGES: readonly Page[] = ["home", "apps", "images", "doors", "machine"];
const TABS: readonly Tab[] = ["overview", "logs", "terminal"];

class Router {
  page = $state<Page>("home");
  /** Container id on the apps page. */
  item = $state<string | null>(null);
  tab = $state<Tab>("overview");

  constructor() {
    if (typeof window === "undefined") return;
    window.addEventListener("hashchange", () => this.read());
    this.read();
  }

  go(page: Page, item: string | null = null, tab: Tab = "overview"): void {
    const path = ["", page, ...(item ? [item, tab] : [])].join("/");
    if (location.hash !== `#${path}`) location.hash = path;
  }

  private read(): void {
    const [page, item, tab] = location.hash.replace(/^#\/?/, "").split("/");
    this.page = PAGES.find((known) => known === page) ?? "home";
    this.item = item || null;
    this.tab = TABS.find((known) => known === tab) ?? "overview";
  }
}

export const router = new Router();
