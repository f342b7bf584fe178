// Which rows of a long list to draw. Pure arithmetic, so that it can be tested without a browser.

export interface Window {
  first: number;
  /** One past the last. */
  end: number;
  /** Where the first drawn row stands, in pixels from the top. */
  top: number;
  /** Height of the whole list. */
  height: number;
}

/** Rows of one height. `spare` rows are drawn beyond each edge. */
export function windowOf(rows: number, rowHeight: number, scrollTop: number, viewHeight: number, spare = 6): Window {
  const first = Math.max(0, Math.min(rows, Math.floor(scrollTop / rowHeight) - spare));
  const end = Math.min(rows, Math.ceil((scrollTop + viewHeight) / rowHeight) + spare);
  return { first, end: Math.max(first, end), top: first * rowHeight, height: rows * rowHeight };
}
