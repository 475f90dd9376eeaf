// Notifications of links, addresses and routes as typed events. It keeps no state: a listener that is told of a loss reads the state
// again through RtnetlinkClient. Source: rtnetlink(7), include/uapi/linux/rtnetlink.h (RTNLGRP_*).

import { AF_UNSPEC } from './nfnetlink.ts';
import { type DataMessage } from './netlink-transport.ts';
import { NetlinkMonitor } from './netlink-monitor.ts';
import { NETLINK_ROUTE } from './rtnetlink.ts';
import {
  decodeAddress,
  decodeLink,
  decodeRoute,
  RTM,
  type Link,
  type LinkAddress,
  type Route,
} from './rtnetlink-codec.ts';

/** RTNLGRP_* */
const RTNETLINK_GROUPS = {
  LINK: 1,
  IPV4_IFADDR: 5,
  IPV4_ROUTE: 7,
  IPV6_IFADDR: 9,
  IPV6_ROUTE: 11,
} as const;
export type RtnetlinkGroup = keyof typeof RTNETLINK_GROUPS;

/** What changed. 'new' also tells of a change to what was there: the kernel does not distinguish. */
export type RtnetlinkEvent =
  | { readonly kind: 'link'; readonly change: 'new' | 'deleted'; readonly link: Link }
  | { readonly kind: 'address'; readonly change: 'new' | 'deleted'; readonly address: LinkAddress }
  | { readonly kind: 'route'; readonly change: 'new' | 'deleted'; readonly route: Route };

/** Decodes one notification; undefined for what is neither a link, an address nor a route of IPv4 or IPv6 (a bridge's view of its ports, too). Throws KERNEL_PROTOCOL. */
export function decodeEvent({ bytes, header }: DataMessage): RtnetlinkEvent | undefined {
  const { payloadStart: start, payloadEnd: end } = header;
  switch (header.type) {
    case RTM.NEWLINK:
    case RTM.DELLINK:
      // Bridges report their ports under the same types (AF_BRIDGE): RTM_DELLINK there says that a link left its bridge.
      if (bytes[start] !== AF_UNSPEC) return undefined;
      return {
        kind: 'link',
        change: header.type === RTM.NEWLINK ? 'new' : 'deleted',
        link: decodeLink(bytes, start, end),
      };
    case RTM.NEWADDR:
    case RTM.DELADDR: {
      const address = decodeAddress(bytes, start, end);
      return address && { kind: 'address', change: header.type === RTM.NEWADDR ? 'new' : 'deleted', address };
    }
    case RTM.NEWROUTE:
    case RTM.DELROUTE: {
      const route = decodeRoute(bytes, start, end);
      return route && { kind: 'route', change: header.type === RTM.NEWROUTE ? 'new' : 'deleted', route };
    }
    default:
      return undefined;
  }
}

/**
 * Calls `onEvent` for each change in this thread's network namespace, in the kernel's order, and `onLost` when some went missing:
 * read everything again. Does not keep the process alive. Throws KERNEL_REFUSED when a group cannot be joined.
 */
export function watchRtnetlink(
  groups: readonly RtnetlinkGroup[],
  onEvent: (event: RtnetlinkEvent) => void,
  onLost: (why: string) => void,
): { close(): void } {
  return new NetlinkMonitor(
    NETLINK_ROUTE,
    groups.map((group) => RTNETLINK_GROUPS[group]),
    (message) => {
      const event = decodeEvent(message);
      if (event !== undefined) onEvent(event);
    },
    onLost,
  );
}
