// Which texts were seen not long ago, of a bounded number. Pure: the time is given.

/** See above. */
export class RecentKeys {
  private readonly windowMs: number;
  private readonly maxKeys: number;
  /** When each was first seen, oldest first. */
  private readonly seenMs = new Map<string, number>();

  /** A key is recent for `windowMs` from when it was added; of more than `maxKeys` the oldest are forgotten. */
  constructor(windowMs: number, maxKeys: number) {
    this.windowMs = windowMs;
    this.maxKeys = maxKeys;
  }

  /** False when it is recent, and then it stays as recent as it was. `nowMs` never goes back. */
  add(key: string, nowMs: number): boolean {
    for (const [old, atMs] of this.seenMs) {
      if (nowMs - atMs < this.windowMs) break;
      this.seenMs.delete(old);
    }
    if (this.seenMs.has(key)) return false;
    const [oldest] = this.seenMs.keys();
    if (oldest !== undefined && this.seenMs.size >= this.maxKeys) this.seenMs.delete(oldest);
    this.seenMs.set(key, nowMs);
    return true;
  }
}
