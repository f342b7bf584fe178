import { svelte } from "@sveltejs/vite-plugin-svelte";
import type { Plugin } from "vite";
import { defineConfig } from "vitest/config";

/** Links the stylesheet below the first picture of `index.html`: nothing is painted before what the head links to is there. */
const pictureFirst: Plugin = {
  name: "picture-first",
  transformIndexHtml: {
    order: "post",
    handler(html) {
      const link = /\n *(<link rel="stylesheet"[^>]*>)/;
      const [whole, sheet] = link.exec(html) ?? ["", ""];
      return html.replace(whole, "").replace('<div id="app">', `${sheet}\n    <div id="app">`);
    },
  },
};

// `--mode fixture` swaps the platform for one with made-up data, for screenshots and work on looks. The production build never
// contains it: `src/platform/choose.ts` is the only importer, and only behind this constant.
export default defineConfig(({ mode }) => ({
  // Relative: the dev server serves the page below its token.
  base: "./",
  plugins: [svelte(), pictureFirst],
  define: { __FIXTURE__: JSON.stringify(mode === "fixture") },
  // Why: under vitest Svelte would resolve to its server build, where runes do nothing.
  resolve: mode === "test" ? { conditions: ["browser"] } : {},
  build: {
    target: ["es2022", "safari16"],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 700,
  },
  test: { include: ["src/**/*.test.ts"], environment: "node", testTimeout: 60_000 },
}));
