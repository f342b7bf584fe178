// Which verbs fit what was typed, the likeliest first.
//
// A label is "thing: what is done to it", or just the latter. A word that begins what is done beats one that is a thing's name, which
// beats one that begins it, which beats one somewhere inside; between equals the nearer thing wins, then the order of the list.

import type { Near, Verb } from "./verbs";

/** Of a word of the query: the smaller, the better. */
const DONE = 0;
const CALLED = 1;
const NAMED = 2;
const INSIDE = 4;

const NEAR_USUALLY: Near = 2;

type Ranked = Pick<Verb, "label" | "also" | "always" | "near">;

/** Every word of the query must occur. Without one the list stays as it is, but for the thing on the page. */
export function matchingVerbs<T extends Ranked>(list: readonly T[], query: string): T[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = list.flatMap((verb) => {
    const worth = rank(verb, words);
    return worth === null ? [] : [{ verb, worth, near: verb.near ?? NEAR_USUALLY }];
  });
  const nearness = (near: Near) => (words.length > 0 ? near : Math.min(near, 1));
  return found.sort((a, b) => a.worth - b.worth || nearness(a.near) - nearness(b.near)).map(({ verb }) => verb);
}

/** `null`: it does not fit. */
function rank(verb: Ranked, words: readonly string[]): number | null {
  if (verb.always) return -1;
  const label = verb.label.toLowerCase();
  const colon = label.lastIndexOf(": ");
  const [named, done] = [label.slice(0, Math.max(colon, 0)), label.slice(colon < 0 ? 0 : colon + 2)];
  let sum = 0;
  for (const word of words) {
    const also = verb.also !== undefined && begins(verb.also, word);
    if (!also && !label.includes(word)) return null;
    sum += also || begins(done, word) ? DONE : named === word ? CALLED : begins(named, word) ? NAMED : INSIDE;
  }
  return sum;
}

/** Whether some word of the text begins with it. Languages without spaces have one word, which is good enough for them. */
function begins(text: string, word: string): boolean {
  for (let at = text.indexOf(word); at >= 0; at = text.indexOf(word, at + 1)) if (at === 0 || !/[\p{L}\p{N}]/u.test(text[at - 1] ?? "")) return true;
  return false;
}
