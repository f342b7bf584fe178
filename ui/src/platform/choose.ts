// Which platform runs this page. The fixture is compiled in only by `vite --mode fixture`.

import type { Platform } from "./platform";

export async function choosePlatform(): Promise<Platform> {
  if (__FIXTURE__) return new (await import("./fixture")).FixturePlatform();
  if ("__TAURI_INTERNALS__" in window) return new (await import("./tauri")).TauriPlatform();
  return new (await import("./web")).WebPlatform();
}
