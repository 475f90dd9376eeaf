// Finds the known word that somebody probably meant. Pure.

/** Longer words are not compared: the cost grows with the product of the lengths. */
const MAX_WORD_LENGTH = 64;

/** The word of `known` nearest to `word` by edit distance, letters compared without case; null when none is near (a third may differ). */
export function nearestWord(word: string, known: Iterable<string>): string | null {
  if (word.length > MAX_WORD_LENGTH) return null;
  let nearest: string | null = null;
  let least = Math.floor(word.length / 3) + 1;
  for (const candidate of known) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance >= least) continue;
    least = distance;
    nearest = candidate;
  }
  return nearest;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, substitution));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
