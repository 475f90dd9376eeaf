// The ports and endpoints of one EndpointSlice, by the rows of the service model 1.3, building endpoints from slices. Which slices count
// at all: endpoint-slice.test.ts; endpoints of several slices: endpoints.test.ts.

import { describe, expect, test } from 'vitest';
import { plainSlice } from '../../test/objects.ts';
import { DEFAULTS, endpoint, ONE, PORTS, readSlice } from '../../test/slices.ts';
import { problemLines } from '../../test/problems.ts';
import { CONDITION, projectEndpointSlice } from './endpoint-slice.ts';

const { READY, SERVING, TERMINATING } = CONDITION;
describe('1.3 building endpoints: ports', () => {
  test('every port is kept, with its own number and protocol, also two of one name', () => {
    const ports = [
      ...PORTS,
      { name: 'http', port: 9090 },
      { port: 53, protocol: 'UDP' },
      { name: 's', port: 9, protocol: 'SCTP' },
    ];
    expect(readSlice({ ports }).record!.ports).toEqual([
      { name: 'http', protocol: 'TCP', port: 8080 },
      { name: 'http', protocol: 'TCP', port: 9090 },
      { name: '', protocol: 'UDP', port: 53 },
      { name: 's', protocol: 'SCTP', port: 9 },
    ]);
  });

  const LEFT_OUT = 'is not valid: the port is left out; use';
  test.each<[string, object, string]>([
    ['nil port number', { name: 'all' }, `port: null ${LEFT_OUT} a whole number from 1 to 65535`],
    ['port number 0', { port: 0 }, `port: 0 ${LEFT_OUT} a whole number from 1 to 65535`],
    ['unknown protocol', { port: 1, protocol: 'QUIC' }, `protocol: "QUIC" ${LEFT_OUT} one of TCP, UDP, SCTP`],
    [
      'a name that is none',
      { port: 1, name: 'A' },
      `name: "A" ${LEFT_OUT} lower-case letters, digits and hyphens, at most 63`,
    ],
  ])('%s: left out and reported', (_row, port, line) => {
    expect(readSlice({ ports: [port, ...PORTS] })).toEqual({ record: DEFAULTS, lines: [`ports[0].${line}`] });
  });
});

describe('1.3 building endpoints: addresses', () => {
  test.each([
    ['only addresses[0] is used', ['10.244.1.1', '10.244.1.99', 'rubbish']],
    ['leading zeros', ['010.244.001.0001']],
    ['IPv4-mapped text counts as IPv4', ['::ffff:10.244.1.1']],
  ])('%s', (_row, addresses) => {
    expect(readSlice({ endpoints: [{ addresses }] })).toEqual({ record: DEFAULTS, lines: [] });
  });

  test('IPv6', () => {
    const rest = { addressType: 'IPv6', endpoints: [{ addresses: ['FD00:10:244:1:0::0001'] }] };
    expect(readSlice(rest)).toEqual({
      record: { ...DEFAULTS, family: 'IPv6', endpoints: [{ ...ONE, address: 'fd00:10:244:1::1' }] },
      lines: [],
    });
  });

  const LEFT_OUT = 'is not valid: the endpoint is left out;';
  const POD = `${LEFT_OUT} use the address of a pod or host`;
  test.each<[string, unknown, string]>([
    ['no addresses', [], `null ${LEFT_OUT} write an IPv4 address`],
    ['addresses null', null, `null ${LEFT_OUT} write an IPv4 address`],
    ['addresses as a text', '10.244.1.2', `null ${LEFT_OUT} write an IPv4 address`],
    ['a host name', ['web'], `"web" ${LEFT_OUT} write an IPv4 address`],
    ['a number', [10], `10 ${LEFT_OUT} write an IPv4 address`],
    ['loopback', ['127.0.0.1'], `"127.0.0.1" ${POD}`],
    ['unspecified', ['0.0.0.0'], `"0.0.0.0" ${POD}`],
    ['link-local', ['169.254.169.254'], `"169.254.169.254" ${POD}`],
    ['multicast', ['224.0.0.1'], `"224.0.0.1" ${POD}`],
    ['broadcast', ['255.255.255.255'], `"255.255.255.255" ${POD}`],
    [
      'IPv6 in a slice of IPv4',
      ['fd00::1'],
      "fd00::1 is not of the slice's address type IPv4: the endpoint is left out; move it to a slice of type IPv6",
    ],
  ])('%s: the endpoint is left out and reported, the others stay', (_row, addresses, line) => {
    const { record, problems } = projectEndpointSlice(
      plainSlice({ endpoints: [{ addresses: ['10.244.1.1'] }, { addresses }] }),
    );
    expect(record).toEqual(DEFAULTS);
    expect(problemLines(problems)).toEqual([
      `EndpointSlice default/web-1: endpoints[1].addresses[0]: ${line}`,
    ]);
    expect(problems[0]!.reason).toBe(line.includes('type IPv6') ? 'WrongFamily' : 'InvalidField');
  });

  test('an address may be repeated: which one counts is decided in the merge', () => {
    const endpoints = [{ addresses: ['10.244.1.1'] }, { addresses: ['10.244.1.1'] }];
    expect(readSlice({ endpoints }).record!.endpoints).toEqual([ONE, ONE]);
  });
});

describe('1.3 building endpoints: conditions, node and hints', () => {
  test.each([
    ['all absent', {}, READY | SERVING],
    ['ready', { ready: true, serving: true, terminating: false }, READY | SERVING],
    ['not ready', { ready: false }, SERVING],
    ['ready, not serving', { serving: false }, READY],
    ['neither ready nor serving', { ready: false, serving: false }, 0],
    ['terminating and serving', { ready: false, serving: true, terminating: true }, SERVING | TERMINATING],
    ['terminating', { ready: false, serving: false, terminating: true }, TERMINATING],
    [
      'publishNotReadyAddresses: ready while terminating',
      { ready: true, terminating: true },
      READY | SERVING | TERMINATING,
    ],
  ])('conditions: %s', (_row, conditions, expected) => {
    expect(readSlice(endpoint({ conditions }))).toEqual({
      record: { ...DEFAULTS, endpoints: [{ ...ONE, conditions: expected }] },
      lines: [],
    });
  });

  test.each([
    ['ready', 'no', 'conditions.ready: "no" is not valid: true is used; use true or false'],
    ['serving', 0, 'conditions.serving: 0 is not valid: true is used; use true or false'],
    ['terminating', 'true', 'conditions.terminating: "true" is not valid: false is used; use true or false'],
  ])('conditions.%s %j has the default and is reported', (name, value, line) => {
    const rest = endpoint({ conditions: { [name]: value } });
    expect(readSlice(rest)).toEqual({ record: DEFAULTS, lines: [`endpoints[0].${line}`] });
  });

  test('nodeName is kept', () => {
    expect(readSlice(endpoint({ nodeName: 'node-1.example' })).record!.endpoints[0]!.nodeName).toBe(
      'node-1.example',
    );
  });

  test.each([
    [7, '7 is not valid: the endpoint counts as on no known node; give the name of its Node'],
    ['Node 1', '"Node 1" is not valid: the endpoint counts as on no known node; give the name of its Node'],
    [['node1'], 'a list is not valid: the endpoint counts as on no known node; give the name of its Node'],
  ])('nodeName %j is reported, the endpoint stays', (nodeName, line) => {
    expect(readSlice(endpoint({ nodeName }))).toEqual({
      record: DEFAULTS,
      lines: [`endpoints[0].nodeName: ${line}`],
    });
  });

  const names = (...list: unknown[]): object[] => list.map((name) => ({ name }));
  test.each<[string, object, string[], string[]]>([
    ['zones', { forZones: names('zone-a', 'Zone_B') }, ['zone-a', 'Zone_B'], []],
    ['nodes', { forNodes: names('node1', 'node2.example') }, [], ['node1', 'node2.example']],
    [
      'a node name longer than a label',
      { forNodes: names(`${'a'.repeat(60)}.example`) },
      [],
      [`${'a'.repeat(60)}.example`],
    ],
    ['both', { forZones: names('zone-a'), forNodes: names('node1') }, ['zone-a'], ['node1']],
    ['empty lists: no hint', { forZones: [], forNodes: [] }, [], []],
    [
      'names that are none are passed over',
      { forZones: names('', null, 7, 'a b', 'zone-a') },
      ['zone-a'],
      [],
    ],
    ['only names that are none: no hint', { forZones: ['zone-a', null, ...names('a b')] }, [], []],
    ['what is no list: no hint', { forZones: 'zone-a', forNodes: { name: 'node1' } }, [], []],
    [
      'beyond 64: passed over',
      { forZones: names(...Array.from({ length: 65 }, (_, i) => `z${i}`)) },
      Array.from({ length: 64 }, (_, i) => `z${i}`),
      [],
    ],
  ])('hints: %s', (_row, hints, zoneHints, nodeHints) => {
    expect(readSlice(endpoint({ hints }))).toEqual({
      record: { ...DEFAULTS, endpoints: [{ ...ONE, zoneHints, nodeHints }] },
      lines: [],
    });
  });
});
