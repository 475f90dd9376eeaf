// What Services share: who owns a thing that several claim (an address, port and protocol), and how many need a thing that all may have
// (an address, a set member). Small pure indexes that answer each change with its consequences; cost is that of the change.
// They know nothing of what the texts mean: callers choose the spelling of claims and keys.

import { isSameData } from '../model/equal.ts';
import { compareText } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';

interface Claimant {
  readonly key: ServiceKey;
  readonly order: number;
  readonly claims: readonly string[];
}

/**
 * Ownership of contested things. Of all Services that claim one, the owner is the one with the smallest order (creation time: the
 * older wins), then with the smallest key; it does not depend on who came first here.
 */
export class Claims {
  private readonly claimants = new Map<ServiceKey, Claimant>();
  /** The only claimant, or all of them with the owner first: one entry per claim that nobody contests. */
  private readonly byClaim = new Map<string, Claimant | Claimant[]>();

  /**
   * Replaces all claims of a Service; an empty list withdraws it. Returns the other Services that claim something of which the owner is
   * another one by it, sorted, without repetition.
   */
  set(key: ServiceKey, order: number, claims: readonly string[]): ServiceKey[] {
    const before = this.claimants.get(key);
    const next: Claimant = { key, order, claims: [...new Set(claims)] };
    // Most changes of a Service concern its endpoints and leave its claims as they are.
    if (isSameData(before, next)) return [];
    const affected = new Set<ServiceKey>();
    // All new claims are made before old ones are withdrawn, so that an owner that stays one is never seen to change.
    for (const claim of next.claims) this.replace(claim, before, next, affected);
    // Where a claim was made anew, the old one is gone already and withdrawing it changes nothing.
    before?.claims.forEach((claim) => this.replace(claim, before, null, affected));
    if (next.claims.length === 0) this.claimants.delete(key);
    else this.claimants.set(key, next);
    affected.delete(key);
    return [...affected].sort(compareText);
  }

  /** The Service that owns a claim, or undefined when nobody claims it. */
  ownerOf(claim: string): ServiceKey | undefined {
    return firstOf(this.byClaim.get(claim))?.key;
  }

  /** All Services that want it, the owner first. */
  claimantsOf(claim: string): ServiceKey[] {
    const entry = this.byClaim.get(claim);
    if (entry === undefined) return [];
    return Array.isArray(entry) ? entry.map(({ key }) => key) : [entry.key];
  }

  private replace(
    claim: string,
    before: Claimant | undefined,
    next: Claimant | null,
    affected: Set<ServiceKey>,
  ): void {
    const entry = this.byClaim.get(claim);
    // Nearly always nobody else wants it.
    if (entry === undefined || entry === before) {
      if (next === null) this.byClaim.delete(claim);
      else this.byClaim.set(claim, next);
      return;
    }
    const owner = firstOf(entry);
    const others = Array.isArray(entry) ? entry.filter((one) => one !== before) : [entry];
    if (next !== null) {
      const at = others.findIndex((one) => compareClaimants(next, one) < 0);
      others.splice(at < 0 ? others.length : at, 0, next);
    }
    // Somebody else wants it, so somebody is left.
    const first = others[0] as Claimant;
    this.byClaim.set(claim, others.length === 1 ? first : others);
    if (owner?.key === first.key) return;
    // Everybody who claims it is concerned: whoever still does not have it loses to somebody else.
    for (const { key } of others) affected.add(key);
  }
}

function firstOf(entry: Claimant | Claimant[] | undefined): Claimant | undefined {
  return Array.isArray(entry) ? entry[0] : entry;
}

function compareClaimants(a: Claimant, b: Claimant): number {
  return a.order - b.order || compareText(a.key, b.key);
}

/** How many users each thing has. */
export class ReferenceCounts {
  private readonly counts = new Map<string, number>();

  /** Adds a user; true when it is the first. */
  acquire(key: string): boolean {
    const count = this.count(key);
    this.counts.set(key, count + 1);
    return count === 0;
  }

  /** Takes a user away; true when it was the last. Throws plain Error when there was none. */
  release(key: string): boolean {
    const count = this.count(key);
    if (count === 0) throw new Error(`released more often than acquired: ${key}`);
    if (count > 1) this.counts.set(key, count - 1);
    else this.counts.delete(key);
    return count === 1;
  }

  /** Everything that has a user. */
  keys(): IterableIterator<string> {
    return this.counts.keys();
  }

  /** Number of users. */
  count(key: string): number {
    return this.counts.get(key) ?? 0;
  }
}
