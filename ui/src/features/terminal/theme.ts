// The terminal in the app's colours.

import type { ITheme } from "@xterm/xterm";

export function theme(): ITheme {
  const css = getComputedStyle(document.documentElement);
  const colour = (name: string) => css.getPropertyValue(`--${name}`).trim();
  const [ink, soft, bad, good, warn, info, accent] = ["ink", "ink-soft", "bad", "good", "warn", "info", "accent-strong"].map(colour) as [string, string, string, string, string, string, string];
  return {
    background: colour("sunken"), foreground: ink, cursor: colour("accent"), cursorAccent: colour("sunken"), selectionBackground: colour("accent-wash"), selectionForeground: ink,
    black: soft, red: bad, green: good, yellow: warn, blue: info, magenta: accent, cyan: info, white: ink,
    brightBlack: soft, brightRed: bad, brightGreen: good, brightYellow: warn, brightBlue: info, brightMagenta: accent, brightCyan: info, brightWhite: ink,
  };
}
