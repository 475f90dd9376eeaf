// Small representations: one copy of texts and lists that repeat thousands of times (node names, zones, port names), and lists without
// spare capacity. They save memory and change no meaning.

/** Distinct values kept; beyond that values pass through uncopied, so hostile input cannot fill the memory twice. */
const MAX_ENTRIES = 65_536;

/** Gives the same object for equal values. Entries are never dropped: what it holds are names of nodes, zones and ports. */
export class Interner {
  private readonly texts = new Map<string, string>();
  private readonly lists = new Map<string, readonly string[]>();

  /** The text, as the copy that was seen first. */
  text(value: string): string {
    const known = this.texts.get(value);
    if (known !== undefined) return known;
    if (this.texts.size < MAX_ENTRIES) this.texts.set(value, value);
    return value;
  }

  /** The list of texts without blanks, as the frozen copy that was seen first. */
  list(values: readonly string[]): readonly string[] {
    const id = values.join(' ');
    const known = this.lists.get(id);
    if (known !== undefined) return known;
    const copy = Object.freeze(values.map((value) => this.text(value)));
    if (this.lists.size < MAX_ENTRIES) this.lists.set(id, copy);
    return copy;
  }
}

const EMPTY: readonly never[] = Object.freeze([]);

/** A list to keep: a grown array has room for 16 items more, which is most of the memory of a short one. */
export function packed<T>(list: readonly T[]): readonly T[] {
  return list.length === 0 ? EMPTY : list.slice();
}
