// The lines of a restore as words, by the original's rules: blanks, tabs and carriage returns divide, nothing quotes, and the program's
// own name is passed over wherever it stands. Pure. Source: ipvsadm 1.31 by behaviour (test/ipvsadm).

/** A longer word falls into pieces, as in the original's buffer. */
const MAX_WORD_BYTES = 4096;

/** One line's words; empty for a line that holds none. `line` has bytes as Latin-1 characters; the words are UTF-8 text. */
export function splitWords(line: string, program: string): string[] {
  // A saved table holds nothing but these; a million lines of it should not wait for what only people write.
  const isPlain = line.length <= MAX_WORD_BYTES && !/[^\x20-\x7e]/.test(line);
  const words: string[] = [];
  for (const word of isPlain ? line.split(' ') : line.split(/[ \t\r]/)) {
    if (word === '' || word === program) continue;
    if (isPlain) words.push(word);
    else pushPieces(word, words);
  }
  return words;
}

function pushPieces(word: string, words: string[]): void {
  for (let at = 0; at < word.length; at += MAX_WORD_BYTES) {
    const bytes = word.slice(at, at + MAX_WORD_BYTES);
    // A C string ends at its first NUL.
    const end = bytes.indexOf('\0');
    words.push(Buffer.from(end < 0 ? bytes : bytes.slice(0, end), 'latin1').toString('utf8'));
  }
}

/** A line of a restore and its number, from 1. */
export interface Line {
  readonly number: number;
  readonly text: string;
}

/** Whole lines out of pieces of text; the end of each piece is marked by null, because what is known by then should take effect. */
export function* splitLines(pieces: Iterable<string>): Generator<Line | null> {
  let rest = '';
  let number = 0;
  for (const piece of pieces) {
    const text = rest + piece;
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      yield { number: ++number, text: text.slice(start, end) };
      start = end + 1;
    }
    rest = text.slice(start);
    yield null;
  }
  if (rest !== '') yield { number: ++number, text: rest };
}
