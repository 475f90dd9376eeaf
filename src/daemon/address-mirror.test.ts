import { describe, expect, it } from 'vitest';
import { added, deleted, deletedLink, link, newLink, on, SERVICE } from '../../test/kernel/link-events.ts';
import { ADDRESS_FLAG } from '../kernel/rtnetlink-codec.ts';
import type { RtnetlinkEvent } from '../kernel/rtnetlink-watch.ts';
import { AddressMirror, type ServiceLinkEvent } from './address-mirror.ts';

/** lo, eth0 with two addresses, kube-ipvs0. */
function mirrorOfNode(): AddressMirror {
  const mirror = new AddressMirror(SERVICE);
  mirror.reset(
    [link(1, 'lo'), link(2, 'eth0'), link(3, SERVICE)],
    [on(1, '127.0.0.1/8'), on(2, '192.168.50.11/24'), on(2, 'fd00:50::11/64'), on(3, '10.96.0.1/32')],
  );
  mirror.takeChange();
  return mirror;
}

const NODE = ['127.0.0.1', '192.168.50.11', 'fd00:50::11'];

interface Row {
  readonly title: string;
  readonly events: readonly RtnetlinkEvent[];
  readonly current?: readonly string[];
  readonly service?: readonly string[];
  readonly isContradiction?: boolean;
}

const ROWS: readonly Row[] = [
  {
    title: 'adds an address',
    events: [added(2, '192.168.50.12/32')],
    current: ['127.0.0.1', '192.168.50.11', '192.168.50.12', 'fd00:50::11'],
  },
  {
    title: 'removes an address',
    events: [deleted(2, '192.168.50.11/24')],
    current: ['127.0.0.1', 'fd00:50::11'],
  },
  {
    title: 'takes no notice of an address that changes its lifetime',
    events: [added(2, '192.168.50.11/24')],
  },
  {
    title: 'sees no change in what went and came back',
    events: [deleted(2, '192.168.50.11/24'), added(2, '192.168.50.11/24')],
  },
  {
    title: 'keeps an address that is on another link as well',
    events: [added(1, '192.168.50.11/32'), deleted(2, '192.168.50.11/24')],
  },
  {
    title: 'keeps an address that is there with another prefix as well',
    events: [added(2, '192.168.50.11/32'), deleted(2, '192.168.50.11/24')],
  },
  {
    title: 'keeps an address that has another peer as well',
    events: [added(2, '192.168.50.11/24 peer 192.0.2.1'), deleted(2, '192.168.50.11/24')],
  },
  {
    title: 'knows an IPv6 address by itself, as the kernel does when its peer is changed',
    events: [added(2, 'fd00:50::11/128 peer fd00::9'), deleted(2, 'fd00:50::11/128 peer fd00::9')],
    current: ['127.0.0.1', '192.168.50.11'],
  },
  {
    title: 'drops the addresses of a deleted link',
    events: [deletedLink(2, 'eth0')],
    current: ['127.0.0.1'],
  },
  { title: 'keeps the addresses of a renamed link', events: [newLink(2, 'wan')] },
  {
    title: 'passes over outdated deletions',
    events: [deleted(2, '192.0.2.77/32'), deletedLink(77, 'gone'), deleted(77, '192.0.2.1/32')],
  },
  { title: 'passes over routes', events: [{ kind: 'route', change: 'new', route: {} as never }] },
  {
    title: 'counts addresses of a link once it is announced',
    events: [added(9, '192.0.2.1/24'), newLink(9, 'eth9')],
    current: ['127.0.0.1', '192.0.2.1', '192.168.50.11', 'fd00:50::11'],
  },
  { title: 'does not count addresses of a link that is not announced', events: [added(9, '192.0.2.1/24')] },
  {
    title: 'forgets addresses of a link that went before it was announced',
    events: [added(9, '192.0.2.1/24'), deletedLink(9, 'eth9'), newLink(9, 'eth9')],
  },
  {
    title: 'counts an address that goes on with duplicate address detection',
    events: [added(2, 'fd00::7/64', ADDRESS_FLAG.TENTATIVE)],
    current: [...NODE.slice(0, 2), 'fd00::7', 'fd00:50::11'],
  },
  {
    title: 'drops an address whose duplicate address detection fails',
    events: [added(2, 'fd00:50::11/64', ADDRESS_FLAG.TENTATIVE | ADDRESS_FLAG.DAD_FAILED)],
    current: ['127.0.0.1', '192.168.50.11'],
  },
  { title: "does not see addresses come to the Services' link", events: [added(3, '10.96.0.2/32')] },
  {
    title: "tells of each address that goes from the Services' link",
    events: [deleted(3, '10.96.0.1/32'), deleted(3, '10.96.0.9/32')],
    service: ['address-gone 10.96.0.1', 'address-gone 10.96.0.9'],
  },
  {
    title: "tells of the Services' link when it is deleted, and knows it again under another index",
    events: [
      deletedLink(3, SERVICE),
      newLink(8, SERVICE),
      added(8, '10.96.0.1/32'),
      deleted(8, '10.96.0.1/32'),
    ],
    service: ['link-gone', 'address-gone 10.96.0.1'],
  },
  {
    title: "drops addresses that wait for a link that turns out to be the Services'",
    events: [deletedLink(3, SERVICE), added(8, '10.96.0.1/32'), newLink(8, SERVICE)],
    service: ['link-gone'],
  },
  {
    title: "drops the addresses of a link that is renamed to the Services' link",
    events: [deletedLink(3, SERVICE), newLink(2, SERVICE)],
    current: ['127.0.0.1'],
    service: ['link-gone'],
  },
  {
    title: "asks for a read when the Services' link is renamed",
    events: [newLink(3, 'dummy0')],
    service: ['link-gone'],
    isContradiction: true,
  },
  {
    title: "asks for a read when a second link bears the Services' name",
    events: [newLink(8, SERVICE)],
    service: ['link-gone'],
    isContradiction: true,
  },
  { title: "passes over news of the Services' link", events: [newLink(3, SERVICE)] },
];

describe('a mirror of addresses', () => {
  it.each(ROWS)('$title', ({ events, current = NODE, service = [], isContradiction = false }) => {
    const mirror = mirrorOfNode();
    const told: ServiceLinkEvent[] = [];
    const outcomes = events.map((event) => mirror.apply(event, (what) => told.push(what)));
    expect(mirror.current()).toEqual(current);
    expect(
      told.map((one) => (one.kind === 'address-gone' ? `${one.kind} ${one.address}` : one.kind)),
    ).toEqual(service);
    expect(outcomes.includes('contradiction')).toBe(isContradiction);
    expect(mirror.takeChange()).toBe(current.join() !== NODE.join());
    expect(mirror.takeChange()).toBe(false);
  });

  it('knows across a read what was not told before it', () => {
    const read = (mirror: AddressMirror, ...texts: string[]) =>
      mirror.reset(
        [link(2, 'eth0')],
        texts.map((text) => on(2, text)),
      );
    const mirror = mirrorOfNode();
    read(mirror, '192.0.2.1/32');
    mirror.takeChange();
    mirror.apply(added(2, '192.0.2.2/32'));
    read(mirror, '192.0.2.1/32', '192.0.2.2/32');
    expect(mirror.takeChange()).toBe(true);
    mirror.apply(added(2, '192.0.2.3/32'));
    read(mirror, '192.0.2.1/32', '192.0.2.2/32');
    expect(mirror.takeChange()).toBe(false);
  });

  it('gives the same array until an address changes', () => {
    const mirror = mirrorOfNode();
    const before = mirror.current();
    mirror.apply(added(2, '192.168.50.11/24'));
    mirror.apply(added(3, '10.96.0.2/32'));
    expect(mirror.current()).toBe(before);
  });

  it("counts an address that is on the Services' link and on another", () => {
    const mirror = new AddressMirror(SERVICE);
    mirror.reset([link(2, 'eth0'), link(3, SERVICE)], [on(3, '192.0.2.1/32'), on(2, '192.0.2.1/24')]);
    expect(mirror.current()).toEqual(['192.0.2.1']);
    expect(mirror.serviceLinkIndex).toBe(3);
  });

  it('keeps no more than 1000 addresses of links that nobody announced', () => {
    const mirror = mirrorOfNode();
    const outcomes = Array.from({ length: 1001 }, (_, i) =>
      mirror.apply(added(9, `10.1.${i >> 8}.${i & 255}/32`)),
    );
    expect([outcomes.indexOf('contradiction'), outcomes.length - 1]).toEqual([1000, 1000]);
  });

  it("keeps nothing of 44,000 addresses on the Services' link", () => {
    const mirror = mirrorOfNode();
    for (let i = 0; i < 44_000; i++) mirror.apply(added(3, `10.96.${i >> 8}.${i & 255}/32`));
    expect(
      JSON.stringify(mirror, (_, value: unknown) =>
        value instanceof Map || value instanceof Set ? [...value] : value,
      ).length,
    ).toBeLessThan(1000);
  });
});
