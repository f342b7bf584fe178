// Edited and not saved, by container and path: another tab, another page, or an engine that went away take none of it.

export const unsaved = new Map<string, string>();
