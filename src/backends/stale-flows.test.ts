// Which flows go: a table of everything that must hold, and properties over random portals and entries.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { change, flow, target, UDP } from '../../test/flows.ts';
import { matchesFilter } from '../kernel/conntrack-codec.ts';
import { familyOf } from '../model/ip.ts';
import { flowFilters, isStaleFlow, isUdpPortal, type FlowChanges } from './stale-flows.ts';

function changesOf(portals: Readonly<Record<string, readonly string[] | null>>): FlowChanges {
  return new Map(Object.entries(portals).map(([portal, servers]) => [portal, change(portal, servers)]));
}

const CHANGES = changesOf({
  '10.96.0.10 53': ['10.244.1.5 5353', '10.244.2.5 5353'],
  'fd00:10:96::10 53': ['fd00:10:244:1::5 5353'],
  '192.168.50.11 30053': ['10.244.1.5 5353'],
  '10.96.0.20 53': [],
  '10.96.0.30 53': null,
  '192.168.50.11 8053': ['192.168.50.11 8053'],
});

describe('a flow', () => {
  it.each([
    ['to a server that is gone', flow('10.96.0.10 53', '10.244.1.6 5353'), true],
    ['to a server that is there', flow('10.96.0.10 53', '10.244.2.5 5353'), false],
    ['to another port of a server that is there', flow('10.96.0.10 53', '10.244.2.5 9999'), true],
    ['that raced ahead of its portal', flow('10.96.0.10 53', '10.96.0.10 53'), true],
    ['of IPv6 to a server that is gone', flow('fd00:10:96::10 53', 'fd00:10:244:1::6 5353'), true],
    ['of IPv6 to a server that is there', flow('fd00:10:96::10 53', 'fd00:10:244:1::5 5353'), false],
    ['to a node port whose server is gone', flow('192.168.50.11 30053', '10.244.1.6 5353'), true],
    ['to the number of a node port somewhere else', flow('198.51.100.7 30053', '198.51.100.7 30053'), false],
    ['to another port of the address', flow('10.96.0.10 54', '10.244.1.6 5353'), false],
    ['to a portal without servers, to one that it had', flow('10.96.0.20 53', '10.244.1.5 5353'), true],
    ['to a portal without servers, older than it', flow('10.96.0.20 53', '10.96.0.20 53'), true],
    ['to a portal that is gone', flow('10.96.0.30 53', '10.244.1.5 5353'), true],
    ['to an address that was one, never balanced', flow('10.96.0.30 53', '10.96.0.30 53'), false],
    [
      'to a server that has the very address of its portal',
      flow('192.168.50.11 8053', '192.168.50.11 8053'),
      false,
    ],
    ['to a portal that did not change', flow('10.96.0.40 53', '10.244.1.6 5353'), false],
    ['of TCP', flow('10.96.0.10 53', '10.244.1.6 5353', { protocol: 6 }), false],
    ['of SCTP', flow('10.96.0.10 53', '10.244.1.6 5353', { protocol: 132 }), false],
    ['of another zone', flow('10.96.0.10 53', '10.244.1.6 5353', { zone: 7 }), false],
  ])('%s: stale %s', (_, entry, isStale) => {
    expect(isStaleFlow(entry, CHANGES)).toBe(isStale);
  });

  it('is a matter of UDP portals only', () => {
    expect([6, 17, 132].map((protocol) => isUdpPortal({ protocol, ...target('10.96.0.10 53') }))).toEqual([
      false,
      true,
      false,
    ]);
  });
});

describe('what conntrack is asked for', () => {
  const own = (text: string): unknown => {
    const { address: destination, port: destinationPort } = target(text);
    return { family: familyOf(destination), original: { destination, protocol: UDP, destinationPort } };
  };

  it.each([
    ['nothing where no portal changed', 'IPv4', ['fd00:10:96::1 53'], 8, []],
    [
      'each portal of the family',
      'IPv4',
      ['10.96.0.1 53', 'fd00:10:96::1 53', '10.96.0.2 53'],
      2,
      [own('10.96.0.1 53'), own('10.96.0.2 53')],
    ],
    [
      'each portal of the other family',
      'IPv6',
      ['10.96.0.1 53', 'fd00:10:96::1 53'],
      2,
      [own('fd00:10:96::1 53')],
    ],
    [
      'all of UDP beyond the limit',
      'IPv4',
      ['10.96.0.1 53', '10.96.0.2 53', '10.96.0.3 53'],
      2,
      [{ family: 'IPv4', original: { protocol: UDP } }],
    ],
    [
      'all of UDP where the kernel does not filter',
      'IPv4',
      ['10.96.0.1 53'],
      0,
      [{ family: 'IPv4', original: { protocol: UDP } }],
    ],
  ] as const)('is %s', (_, family, portals, maxFilters, expected) => {
    const changes = changesOf(Object.fromEntries(portals.map((portal) => [portal, []])));
    expect(flowFilters(family, changes, maxFilters)).toEqual(expected);
  });
});

const anyTarget = (last: number): fc.Arbitrary<string> =>
  fc
    .record({ isIPv6: fc.boolean(), host: fc.integer({ min: 1, max: last }), port: fc.constantFrom(53, 54) })
    .map(({ isIPv6, host, port }) => `${isIPv6 ? `fd00:10:96::${host}` : `10.96.0.${host}`} ${port}`);
const anyChanges = fc.dictionary(anyTarget(4), fc.option(fc.array(anyTarget(6), { maxLength: 3 })), {
  noNullPrototype: true,
});
const anyFlow = fc
  .tuple(anyTarget(5), anyTarget(6), fc.constantFrom(6, 17, 17, 17, 132), fc.constantFrom(0, 0, 0, 1))
  .map(([portal, server, protocol, zone]) => flow(portal, server, { protocol, zone }));

describe('whatever changed', () => {
  it('a flow to a server that its portal has stays, and so does every flow to another address or port', () => {
    fc.assert(
      fc.property(anyChanges, anyFlow, (portals, entry) => {
        const changes = changesOf(portals);
        const { original, reply } = entry;
        const servers = portals[`${original.destination} ${original.destinationPort}`];
        const isCurrent = servers?.includes(`${reply.source} ${reply.sourcePort}`) === true;
        if (servers === undefined || isCurrent) expect(isStaleFlow(entry, changes)).toBe(false);
      }),
    );
  });

  it('no flow to a server that the portal does not have survives', () => {
    fc.assert(
      fc.property(anyChanges, anyFlow, (portals, entry) => {
        const { original, reply } = entry;
        const portal = `${original.destination} ${original.destinationPort}`;
        const server = `${reply.source} ${reply.sourcePort}`;
        fc.pre(portal in portals && portal !== server && original.protocol === UDP && entry.zone === 0);
        expect(isStaleFlow(entry, changesOf(portals))).toBe(!(portals[portal]?.includes(server) ?? false));
      }),
    );
  });

  it('every stale flow is in the answers to what conntrack is asked for', () => {
    fc.assert(
      fc.property(anyChanges, anyFlow, fc.integer({ min: 0, max: 4 }), (portals, entry, maxFilters) => {
        const changes = changesOf(portals);
        fc.pre(isStaleFlow(entry, changes));
        const filters = flowFilters(entry.family, changes, maxFilters);
        expect(filters.some((filter) => matchesFilter(filter, entry))).toBe(true);
      }),
    );
  });
});
