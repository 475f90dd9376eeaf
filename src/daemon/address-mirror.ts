// The addresses of this machine as a mirror of the kernel's links and addresses: events in, set of addresses out, at the cost of what
// changed. Of the Services' own link it keeps the index and nothing else. Pure: no sockets, no clock; local-addresses.ts wires those.
// Which events the kernel sends in which order: net/ipv4/devinet.c, net/ipv6/addrconf.c, net/core/dev.c.

import { ADDRESS_FLAG, type Link, type LinkAddress } from '../kernel/rtnetlink-codec.ts';
import type { RtnetlinkEvent } from '../kernel/rtnetlink-watch.ts';
import { compareIp, type IpAddress } from '../model/ip.ts';

/**
 * What happened to the link of the Services' addresses. 'address-gone': one address was removed from it, by whomever. 'link-gone': it
 * was deleted or renamed, all addresses with it. 'lost': events may be missing; whatever was known about it must be checked.
 */
export type ServiceLinkEvent =
  | { readonly kind: 'address-gone'; readonly address: IpAddress }
  | { readonly kind: 'link-gone' }
  | { readonly kind: 'lost' };

/** Addresses kept of links that nobody announced; more than that is no matter of order. */
const MAX_UNANNOUNCED = 1000;

/**
 * Whether an address counts as this machine's. IPv6 addresses whose duplicate address detection goes on do: it ends within seconds, no
 * packet gets to them before, and what waits for it is then there at once (optimistic ones even serve meanwhile). Those whose
 * detection failed do not, unlike in kube-proxy: another machine owns the address, this kernel has no local route for it, and a
 * virtual server would only take connections away that this machine opens to the owner.
 */
function isOurs({ flags }: LinkAddress): boolean {
  return (flags & ADDRESS_FLAG.DAD_FAILED) === 0;
}

/** What tells the addresses of one link apart: the kernel takes an IPv4 address several times, with other prefixes or peers. */
function identity({ family, address, prefixLength, peer }: LinkAddress): string {
  return family === 'IPv6' ? address : `${address}/${prefixLength} ${peer ?? ''}`;
}

export class AddressMirror {
  private readonly serviceLink: string;
  private serviceIndex: number | null = null;
  /** Addresses by link and identity; links without any are there as well, the Services' link never is. */
  private links = new Map<number, Map<string, IpAddress>>();
  /** The same for links that were not announced yet; they do not count. */
  private readonly unannounced = new Map<number, Map<string, IpAddress>>();
  private unannouncedCount = 0;
  /** On how many links, or how often on one, an address is. */
  private counts = new Map<IpAddress, number>();
  /** What differs from the list at the last `takeChange`. */
  private difference = new Set<IpAddress>();
  private list: readonly IpAddress[] | null = null;

  /** `serviceLink`: name of the link whose addresses are left out. */
  constructor(serviceLink: string) {
    this.serviceLink = serviceLink;
  }

  /** Index of the Services' link, null while there is none. */
  get serviceLinkIndex(): number | null {
    return this.serviceIndex;
  }

  /** All addresses of links other than the Services' link, each once, in order of `compareIp`; the same array until one changes. */
  current(): readonly IpAddress[] {
    this.list ??= [...this.counts.keys()].sort(compareIp);
    return this.list;
  }

  /** Whether `current()` differs as a set from what it was at the last call of this method (or at first: from nothing). */
  takeChange(): boolean {
    const isChanged = this.difference.size > 0;
    this.difference.clear();
    return isChanged;
  }

  get isChanged(): boolean {
    return this.difference.size > 0;
  }

  /** Replaces everything by what was read. `addresses` may leave out the Services' link, whose addresses are passed over. */
  reset(links: readonly Link[], addresses: readonly LinkAddress[]): void {
    const before = this.counts;
    this.counts = new Map();
    this.links = new Map();
    this.unannounced.clear();
    this.unannouncedCount = 0;
    this.serviceIndex = links.find(({ name }) => name === this.serviceLink)?.index ?? null;
    for (const { index } of links) if (index !== this.serviceIndex) this.links.set(index, new Map());
    const untold = this.difference;
    this.difference = new Set();
    for (const address of addresses) this.setAddress(address, isOurs(address));
    // So far that is the difference between nothing and what was read. Wanted is the one to the list taken last, which is what was
    // here before, less what of it was not told.
    for (const address of before.keys()) toggle(this.difference, address);
    for (const address of untold) toggle(this.difference, address);
    this.list = null;
  }

  /**
   * Applies one event, and hands to `onServiceLink` what it means for the Services' link. 'contradiction': events must be missing, or
   * addresses are concerned that the mirror does not keep; read everything and `reset`. Repeated and outdated events do no harm.
   */
  apply(
    event: RtnetlinkEvent,
    onServiceLink: (event: ServiceLinkEvent) => void = () => {},
  ): 'applied' | 'contradiction' {
    if (event.kind === 'address') {
      const { address } = event;
      if (address.linkIndex === this.serviceIndex) {
        if (event.change === 'deleted') onServiceLink({ kind: 'address-gone', address: address.address });
        return 'applied';
      }
      this.setAddress(address, event.change === 'new' && isOurs(address));
      return this.unannouncedCount > MAX_UNANNOUNCED ? 'contradiction' : 'applied';
    }
    if (event.kind === 'route') return 'applied';
    return event.change === 'new'
      ? this.announce(event.link, onServiceLink)
      : this.remove(event.link, onServiceLink);
  }

  private announce(
    { index, name }: Link,
    onServiceLink: (event: ServiceLinkEvent) => void,
  ): 'applied' | 'contradiction' {
    const isService = name === this.serviceLink;
    const wasService = index === this.serviceIndex;
    if (isService && wasService) return 'applied';
    if (isService) {
      const hasOther = this.serviceIndex !== null;
      this.dropLink(index);
      this.serviceIndex = index;
      if (!hasOther) return 'applied';
      // Two links never bear one name: the other was deleted or renamed without a word, and may still have its addresses.
      onServiceLink({ kind: 'link-gone' });
      return 'contradiction';
    }
    if (!this.links.has(index)) {
      this.links.set(index, new Map());
      const waiting = this.unannounced.get(index);
      this.dropUnannounced(index);
      for (const [id, address] of waiting ?? []) this.count(index, id, address);
    }
    if (!wasService) return 'applied';
    // Renamed: it is an ordinary link with addresses that nobody kept.
    this.serviceIndex = null;
    onServiceLink({ kind: 'link-gone' });
    return 'contradiction';
  }

  private remove({ index }: Link, onServiceLink: (event: ServiceLinkEvent) => void): 'applied' {
    this.dropLink(index);
    if (index === this.serviceIndex) {
      this.serviceIndex = null;
      onServiceLink({ kind: 'link-gone' });
    }
    return 'applied';
  }

  private dropLink(index: number): void {
    this.dropUnannounced(index);
    const addresses = this.links.get(index);
    if (addresses === undefined) return;
    for (const id of addresses.keys()) this.uncount(addresses, id);
    this.links.delete(index);
  }

  private dropUnannounced(index: number): void {
    this.unannouncedCount -= this.unannounced.get(index)?.size ?? 0;
    this.unannounced.delete(index);
  }

  private setAddress(address: LinkAddress, isPresent: boolean): void {
    const { linkIndex } = address;
    if (linkIndex === this.serviceIndex) return;
    const id = identity(address);
    const known = this.links.get(linkIndex);
    if (known !== undefined) {
      if (isPresent) this.count(linkIndex, id, address.address);
      else this.uncount(known, id);
      return;
    }
    const waiting = this.unannounced.get(linkIndex) ?? new Map<string, IpAddress>();
    this.unannouncedCount -= waiting.size;
    if (isPresent) waiting.set(id, address.address);
    else waiting.delete(id);
    this.unannouncedCount += waiting.size;
    if (waiting.size > 0) this.unannounced.set(linkIndex, waiting);
    else this.unannounced.delete(linkIndex);
  }

  private count(linkIndex: number, id: string, address: IpAddress): void {
    const addresses = this.links.get(linkIndex);
    if (addresses === undefined || addresses.has(id)) return;
    addresses.set(id, address);
    const before = this.counts.get(address) ?? 0;
    this.counts.set(address, before + 1);
    if (before === 0) this.toggled(address);
  }

  private uncount(addresses: Map<string, IpAddress>, id: string): void {
    const address = addresses.get(id);
    if (address === undefined) return;
    addresses.delete(id);
    const left = (this.counts.get(address) ?? 0) - 1;
    if (left > 0) {
      this.counts.set(address, left);
      return;
    }
    this.counts.delete(address);
    this.toggled(address);
  }

  private toggled(address: IpAddress): void {
    toggle(this.difference, address);
    this.list = null;
  }
}

/** Adds what is not in the set, removes what is. */
function toggle<T>(set: Set<T>, value: T): void {
  if (!set.delete(value)) set.add(value);
}
