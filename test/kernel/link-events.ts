// Links, addresses and events about them as the rtnetlink client gives them, written short; for tests of who follows them.

import type { Link, LinkAddress } from '../../src/kernel/rtnetlink-codec.ts';
import type { RtnetlinkEvent } from '../../src/kernel/rtnetlink-watch.ts';
import { familyOf } from '../../src/model/ip.ts';
import { address } from '../addresses.ts';

/** Name of the Services' link. */
export const SERVICE = 'kube-ipvs0';

/** A link that is up. */
export function link(index: number, name: string): Link {
  return { index, name, kind: 'dummy', isUp: true, mtu: 1500, flags: 1 };
}

/** "192.0.2.1/24" or "192.0.2.1/24 peer 192.0.2.9" on a link. */
export function on(linkIndex: number, text: string, flags = 0): LinkAddress {
  const [, plain = '', prefix, peer] = /^([^/]+)\/(\d+)(?: peer (.+))?$/.exec(text) ?? [];
  const own = address(plain);
  return {
    linkIndex,
    family: familyOf(own),
    address: own,
    peer: peer === undefined ? null : address(peer),
    prefixLength: Number(prefix),
    scope: 0,
    flags,
  };
}

/** A link appears, or something about it changes. */
export const newLink = (index: number, name: string): RtnetlinkEvent => ({
  kind: 'link',
  change: 'new',
  link: link(index, name),
});
/** A link goes. */
export const deletedLink = (index: number, name: string): RtnetlinkEvent => ({
  kind: 'link',
  change: 'deleted',
  link: link(index, name),
});
/** An address appears on a link, or something about it changes. */
export const added = (index: number, text: string, flags = 0): RtnetlinkEvent => ({
  kind: 'address',
  change: 'new',
  address: on(index, text, flags),
});
/** An address goes from a link. */
export const deleted = (index: number, text: string): RtnetlinkEvent => ({
  kind: 'address',
  change: 'deleted',
  address: on(index, text),
});
