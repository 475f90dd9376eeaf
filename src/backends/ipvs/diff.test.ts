// The difference of one virtual server between kernel and plan, for every field of its settings and of its servers. More of it, with the ledger,
// in ledger.test.ts.

import { describe, expect, it } from 'vitest';
import { ip } from '../../../test/ipvs-plans.ts';
import { SERVICE_FLAG, type IpvsDestination, type ServiceSettings } from '../../kernel/ipvs-codec.ts';
import type { AddressService, DesiredVirtualServer } from './desired.ts';
import { diffVirtualServer, isEmptyDiff, isSameDestination } from './diff.ts';

const SERVICE: AddressService = {
  ...{ family: 'IPv4', protocol: 6, address: ip('10.96.0.1'), port: 80, scheduler: 'rr' },
  ...{ flags: 0, timeoutSeconds: 0, netmask: 0xffffffff },
};
const server = (address: string, weight = 1) => ({
  address: ip(address),
  port: 8080,
  weight,
  isLocal: false,
});
const wanted = (...servers: ReturnType<typeof server>[]): DesiredVirtualServer => ({
  ...{ id: 'TCP 10.96.0.1:80', service: SERVICE, realServers: servers },
  ...{ isBound: true, isClosedToNode: false, members: [] },
});

/** "NEW_DEST 10.0.0.1:8080" and so on, with what is removed behind a bar. */
function show(service: AddressService, found: readonly object[], desired: DesiredVirtualServer): string {
  const diff = diffVirtualServer({ service, destinations: found as never }, desired);
  const line = (each: (typeof diff.add)[number]): string =>
    'destination' in each ? `${each.op} ${each.destination.address}:${each.destination.port}` : each.op;
  expect(isEmptyDiff(diff)).toBe(diff.service === null && diff.add.length + diff.remove.length === 0);
  return [
    ...(diff.service === null ? [] : [line(diff.service)]),
    ...diff.add.map(line),
    '|',
    ...diff.remove.map(line),
  ].join(' ');
}

describe('a virtual server', () => {
  it('that the kernel has as planned needs nothing', () => {
    expect(show(SERVICE, [server('10.0.0.1')], wanted(server('10.0.0.1')))).toBe('|');
  });

  it('that the kernel lacks is made with all of its servers in their order', () => {
    const diff = diffVirtualServer(undefined, wanted(server('10.0.0.2'), server('10.0.0.1', 0)));
    expect(diff.service).toEqual({ op: 'NEW_SERVICE', service: SERVICE });
    expect(diff.add).toMatchObject([
      { op: 'NEW_DEST', destination: { address: '10.0.0.2', weight: 1, forwarding: 'masquerade' } },
      {
        op: 'NEW_DEST',
        destination: { address: '10.0.0.1', weight: 0, upperThreshold: 0, lowerThreshold: 0 },
      },
    ]);
  });

  it.each<[keyof ServiceSettings, Partial<ServiceSettings>]>([
    ['scheduler', { scheduler: 'wlc' }],
    ['flags', { flags: SERVICE_FLAG.PERSISTENT }],
    ['timeoutSeconds', { timeoutSeconds: 10 }],
    ['netmask', { netmask: 0xffffff00 }],
    ['persistenceEngine', { persistenceEngine: 'sip' }],
  ])('is set to what is planned when its %s is another', (_, found) => {
    const diff = diffVirtualServer({ service: { ...SERVICE, ...found }, destinations: [] }, wanted());
    expect(diff).toMatchObject({ service: { op: 'SET_SERVICE', service: SERVICE }, add: [], remove: [] });
  });

  it.each([
    ['gets servers that it lacks', ['10.0.0.1'], ['10.0.0.1', '10.0.0.2'], 'NEW_DEST 10.0.0.2:8080 |'],
    [
      'loses servers that are not planned',
      ['10.0.0.1', '10.0.0.2'],
      ['10.0.0.2'],
      '| DEL_DEST 10.0.0.1:8080',
    ],
    ['loses all of them', ['10.0.0.1'], [], '| DEL_DEST 10.0.0.1:8080'],
    ['does not mind their order', ['10.0.0.2', '10.0.0.1'], ['10.0.0.1', '10.0.0.2'], '|'],
    ['exchanges them', ['10.0.0.1'], ['10.0.0.2'], 'NEW_DEST 10.0.0.2:8080 | DEL_DEST 10.0.0.1:8080'],
  ])('%s', (_, found, planned, expected) => {
    expect(
      show(
        SERVICE,
        found.map((each) => server(each)),
        wanted(...planned.map((each) => server(each))),
      ),
    ).toBe(expected);
  });

  it('tells servers by address and port', () => {
    const other = { ...server('10.0.0.1'), port: 8081 };
    expect(show(SERVICE, [server('10.0.0.1')], wanted(other))).toBe(
      'NEW_DEST 10.0.0.1:8081 | DEL_DEST 10.0.0.1:8080',
    );
  });
});

describe('a server', () => {
  const found: IpvsDestination = {
    ...{ address: ip('10.0.0.1'), port: 8080, forwarding: 'masquerade', weight: 1 },
    ...{ upperThreshold: 0, lowerThreshold: 0 },
  };
  it.each<[string, Partial<IpvsDestination>]>([
    ['weight', { weight: 0 }],
    ['forwarding method', { forwarding: 'directRoute' }],
    ['upper threshold', { upperThreshold: 1 }],
    ['lower threshold', { lowerThreshold: 1 }],
  ])('is set to what is planned when its %s is another', (_, change) => {
    expect(isSameDestination(found, server('10.0.0.1'))).toBe(true);
    expect(isSameDestination({ ...found, ...change }, server('10.0.0.1'))).toBe(false);
    expect(show(SERVICE, [{ ...found, ...change }], wanted(server('10.0.0.1')))).toBe(
      'SET_DEST 10.0.0.1:8080 |',
    );
  });
});
