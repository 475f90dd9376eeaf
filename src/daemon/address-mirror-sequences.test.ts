import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { added, deleted, deletedLink, link, newLink, on, SERVICE } from '../../test/kernel/link-events.ts';
import { ADDRESS_FLAG, type Link, type LinkAddress } from '../kernel/rtnetlink-codec.ts';
import type { RtnetlinkEvent } from '../kernel/rtnetlink-watch.ts';
import { compareIp, type IpAddress } from '../model/ip.ts';
import { AddressMirror } from './address-mirror.ts';

type Change =
  | {
      readonly op: 'link' | 'unlink' | 'unlinkAtOnce' | 'rename' | 'touch';
      readonly index: number;
      readonly name: string;
    }
  | { readonly op: 'add' | 'remove' | 'fail'; readonly index: number; readonly text: string };

const NAMES = [SERVICE, 'eth0', 'eth1'];
const TEXTS = [
  '192.0.2.1/24',
  '192.0.2.1/32',
  '192.0.2.1/32 peer 192.0.2.9',
  '192.0.2.2/24',
  'fd00::1/64',
  'fd00::2/64',
];

const changes = fc.array(
  fc.oneof(
    {
      weight: 2,
      arbitrary: fc.record({
        op: fc.constantFrom(
          'link' as const,
          'unlink' as const,
          'unlinkAtOnce' as const,
          'rename' as const,
          'touch' as const,
        ),
        index: fc.integer({ min: 1, max: 4 }),
        name: fc.constantFrom(...NAMES),
      }),
    },
    {
      weight: 3,
      arbitrary: fc.record({
        op: fc.constantFrom('add' as const, 'add' as const, 'remove' as const, 'fail' as const),
        index: fc.integer({ min: 1, max: 4 }),
        text: fc.constantFrom(...TEXTS),
      }),
    },
  ),
  { maxLength: 40 },
);

/** What the kernel holds, as simple as can be: each change gives the events that the kernel sends, or none where it refuses. */
class ModelKernel {
  readonly links = new Map([
    [1, 'eth0'],
    [2, SERVICE],
  ]);
  readonly held = new Map<string, LinkAddress>();

  apply(change: Change): RtnetlinkEvent[] {
    const { index } = change;
    const name = this.links.get(index);
    if (change.op === 'link') {
      if (name !== undefined || [...this.links.values()].includes(change.name)) return [];
      this.links.set(index, change.name);
      return [newLink(index, change.name)];
    }
    if (name === undefined) return [];
    if ('text' in change) return this.applyAddress(change.op, index, change.text);
    switch (change.op) {
      case 'unlink':
      case 'unlinkAtOnce': {
        const own = [...this.held].filter(([, { linkIndex }]) => linkIndex === index);
        for (const [key] of own) this.held.delete(key);
        this.links.delete(index);
        const gone = own.map(([, one]): RtnetlinkEvent => ({
          kind: 'address',
          change: 'deleted',
          address: one,
        }));
        return change.op === 'unlink' ? [...gone, deletedLink(index, name)] : [deletedLink(index, name)];
      }
      case 'rename':
        if ([...this.links.values()].includes(change.name)) return [];
        this.links.set(index, change.name);
        return [newLink(index, change.name)];
      case 'touch':
        return [newLink(index, name)];
    }
  }

  private applyAddress(op: 'add' | 'remove' | 'fail', index: number, text: string): RtnetlinkEvent[] {
    const key = `${index} ${text}`;
    if (op === 'remove') return this.held.delete(key) ? [deleted(index, text)] : [];
    if (op === 'fail' && (!text.includes(':') || !this.held.has(key))) return [];
    const flags = op === 'fail' ? ADDRESS_FLAG.DAD_FAILED | ADDRESS_FLAG.TENTATIVE : 0;
    this.held.set(key, on(index, text, flags));
    return [added(index, text, flags)];
  }

  isService(index: number): boolean {
    return this.links.get(index) === SERVICE;
  }

  readLinks(): Link[] {
    return [...this.links].map(([index, name]) => link(index, name));
  }

  current(): IpAddress[] {
    const ours = [...this.held.values()].filter(
      ({ linkIndex, flags }) => !this.isService(linkIndex) && (flags & ADDRESS_FLAG.DAD_FAILED) === 0,
    );
    return [...new Set(ours.map((one) => one.address))].sort(compareIp);
  }

  resetMirror(mirror: AddressMirror): void {
    mirror.reset(this.readLinks(), [...this.held.values()]);
  }
}

describe('any sequence of changes', () => {
  it("leaves the mirror equal to the kernel after each, and tells all that happens to the Services' link", () => {
    fc.assert(
      fc.property(changes, (sequence) => {
        const kernel = new ModelKernel();
        const mirror = new AddressMirror(SERVICE);
        kernel.resetMirror(mirror);
        let taken = '';
        for (const [i, change] of sequence.entries()) {
          const wasService = kernel.isService(change.index);
          const events = kernel.apply(change);
          const expected = wasService
            ? events.flatMap((event) =>
                event.kind === 'address' && event.change === 'deleted'
                  ? [`address-gone ${event.address.address}`]
                  : [],
              )
            : [];
          if (wasService && !kernel.isService(change.index)) expected.push('link-gone');
          const told: string[] = [];
          const outcomes = events.map((event) =>
            mirror.apply(event, (what) =>
              told.push(what.kind === 'address-gone' ? `${what.kind} ${what.address}` : what.kind),
            ),
          );
          expect(told).toEqual(expected);
          // Only the rename of the Services' link needs a read, and what was seen of changes so far outlives it.
          const needsRead = wasService && change.op === 'rename' && events.length > 0;
          expect(outcomes.includes('contradiction')).toBe(needsRead);
          if (needsRead) kernel.resetMirror(mirror);
          const current = kernel.current();
          expect(mirror.current()).toEqual(current);
          if (i % 3 === 2) {
            expect(mirror.takeChange()).toBe(current.join() !== taken);
            taken = current.join();
          }
        }
      }),
    );
  });

  it('gives the same state from a read in the middle of it, whatever events before the read are applied again', () => {
    const cut = fc.integer({ min: 0, max: 40 });
    fc.assert(
      fc.property(changes, cut, cut, cut, (sequence, ...cuts) => {
        // Subscribed at the first cut; links read at the second, addresses of all but the Services' link at the third.
        const [subscribedAt = 0, linksAt = 0, addressesAt = 0] = cuts.toSorted((a, b) => a - b);
        const kernel = new ModelKernel();
        const journal: RtnetlinkEvent[] = [];
        let links: Link[] = [];
        let addresses: LinkAddress[] = [];
        for (let i = 0; i <= 40; i++) {
          if (i === linksAt) links = kernel.readLinks();
          if (i === addressesAt) {
            const asked = new Set(links.filter(({ name }) => name !== SERVICE).map(({ index }) => index));
            addresses = [...kernel.held.values()].filter(({ linkIndex }) => asked.has(linkIndex));
          }
          const change = sequence[i];
          const events = change === undefined ? [] : kernel.apply(change);
          if (i >= subscribedAt) journal.push(...events);
        }
        const mirror = new AddressMirror(SERVICE);
        mirror.reset(links, addresses);
        const isContradicted = journal.map((event) => mirror.apply(event)).includes('contradiction');
        if (isContradicted) kernel.resetMirror(mirror);
        expect(mirror.current()).toEqual(kernel.current());
      }),
      { numRuns: 500 },
    );
  });

  it('is put right by a read after events were lost, and the change told is the true one', () => {
    fc.assert(
      fc.property(changes, fc.array(fc.boolean(), { minLength: 40, maxLength: 40 }), (sequence, isLost) => {
        const kernel = new ModelKernel();
        const mirror = new AddressMirror(SERVICE);
        kernel.resetMirror(mirror);
        let taken = '';
        for (const [i, change] of sequence.entries()) {
          const events = kernel.apply(change);
          if (isLost[i] !== true) for (const event of events) mirror.apply(event);
          if (i % 7 !== 6) continue;
          taken = mirror.current().join();
          mirror.takeChange();
        }
        kernel.resetMirror(mirror);
        expect(mirror.current()).toEqual(kernel.current());
        expect(mirror.takeChange()).toBe(kernel.current().join() !== taken);
      }),
    );
  });
});
