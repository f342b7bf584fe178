import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// `--mode fixture` swaps the platform for one with made-up data, for screenshots and work on looks. The production build never
// contains it: `src/platform/choose.ts` is the only importer, and only behind this constant.
export default defineConfig(({ mode }) => ({
  // Relative: the dev server serves the page below its token.
  base: "./",
  plugins: [svelte()],
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
