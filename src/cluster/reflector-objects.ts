// Which objects of one kind were told to whom we tell, and in which version: what is needed to see, after a list, what is gone and what is
// not new. Pure. Per object it keeps its key and its resourceVersion.
//
// A list counts only when it is complete. Until then `listed` takes down what was seen, and nothing is forgotten; a list that ends too early
// leaves everything as it was.

/** See above. */
export class KnownObjects {
  private known = new Map<string, string>();
  /** What the list that is going on holds; null when none is. */
  private listing: Map<string, string> | null = null;
  private isTrusted = true;

  get size(): number {
    return this.known.size;
  }

  /**
   * A list begins, in place of one that was going on. Not trusted: versions may be those of another history (a restored backup), so equal
   * ones prove nothing.
   */
  beginList(isTrusted = true): void {
    this.listing = new Map();
    this.isTrusted = isTrusted;
  }

  /**
   * The list that is going on holds this object. With `isTold` it is told at once (before the first complete list) and known from now on.
   * False when just this version is known already.
   */
  listed(key: string, version: string, isTold: boolean): boolean {
    const before = this.known.get(key);
    const isSame = before === version && version !== '';
    const kept = isSame ? before : flat(version);
    this.listing?.set(key, kept);
    if (isSame && this.isTrusted) return false;
    if (isTold) this.known.set(key, kept);
    return true;
  }

  /** The list that is going on (a stream) says that this object is gone since. */
  unlisted(key: string): void {
    this.listing?.delete(key);
  }

  /** True when the list that is going on holds the object in this version, and not in a later one. */
  isListed(key: string, version: string): boolean {
    return this.listing?.get(key) === version;
  }

  /** Keys of what is known and not in the list that is going on: gone, if the list is complete. */
  missing(): string[] {
    const { listing } = this;
    return listing === null ? [] : [...this.known.keys()].filter((key) => !listing.has(key));
  }

  /** The list is complete, and what it changes was told: what it holds is known from now on. */
  finishList(): void {
    if (this.listing !== null) this.known = this.listing;
    this.listing = null;
  }

  /** True when the object is known in just this version. */
  has(key: string, version: string): boolean {
    return version !== '' && this.known.get(key) === version;
  }

  /** A watch said that an object is as it is, and that was told. */
  applied(key: string, version: string): void {
    this.known.set(key, flat(version));
  }

  /** A watch said that an object is gone, and that was told. */
  deleted(key: string): void {
    this.known.delete(key);
  }
}

/** A copy: what JSON.parse gives may be a view into the text of the whole object. */
function flat(text: string): string {
  return Buffer.from(text, 'latin1').toString('latin1');
}
