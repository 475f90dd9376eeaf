// Who sends a packet, and what that means: the three kinds of clients under each detector.

import { describe, expect, test } from 'vitest';
import { address, cidr } from '../../test/addresses.ts';
import { planOf, HERE, THERE } from '../../test/one-service.ts';
import { clientKindOf, isMasqueraded, selectionFor, type PacketInput } from './clients.ts';
import type { ClientKind, LocalDetector, Masquerade } from './plan.ts';

const NODE_INPUT: PacketInput = { from: 'node' };
const by = (interfaceName: string): PacketInput => ({ from: 'interface', interfaceName });

const NONE: LocalDetector = { kind: 'none' };
const CIDR_4 = cidr('10.244.0.0/16');
const CIDR_6 = cidr('fd00:10:244::/48');
const BOTH: LocalDetector = { kind: 'cidr', ipv4: CIDR_4, ipv6: CIDR_6 };
const ONLY_4: LocalDetector = { kind: 'cidr', ipv4: CIDR_4, ipv6: null };
const ONLY_6: LocalDetector = { kind: 'cidr', ipv4: null, ipv6: CIDR_6 };
const BRIDGE: LocalDetector = { kind: 'bridge', interfaceName: 'cbr0' };
const PREFIX: LocalDetector = { kind: 'interfacePrefix', prefix: 'cali' };

const POD = '10.244.1.5';
const POD_6 = 'fd00:10:244:1::5';
const NODE = '192.168.50.11';
const CLIENT = '203.0.113.7';

describe('the kind of a client', () => {
  test.each<[string, LocalDetector, string, PacketInput, ClientKind]>([
    ['no detector knows no pod', NONE, POD, by('cali1'), 'outside'],
    ['no detector, a process of this node', NONE, NODE, NODE_INPUT, 'node'],
    ['a CIDR knows a pod by its address', BOTH, POD, by('eth0'), 'pod'],
    ['a CIDR knows an IPv6 pod by that family', BOTH, POD_6, by('eth0'), 'pod'],
    ['a CIDR, an address outside', BOTH, CLIENT, by('eth0'), 'outside'],
    ['a CIDR, this node', BOTH, NODE, NODE_INPUT, 'node'],
    ['a CIDR, a process of this node with an address of the pod network', BOTH, POD, NODE_INPUT, 'pod'],
    ['a CIDR of the other family only', ONLY_4, POD_6, by('eth0'), 'outside'],
    ['a CIDR of the other family only', ONLY_6, POD, by('eth0'), 'outside'],
    ['a CIDR of this family only', ONLY_6, POD_6, by('eth0'), 'pod'],
    ['a bridge knows what enters by it', BRIDGE, CLIENT, by('cbr0'), 'pod'],
    ['a bridge, another interface', BRIDGE, POD, by('cbr01'), 'outside'],
    ['a bridge, this node', BRIDGE, POD, NODE_INPUT, 'node'],
    ['a prefix knows what enters by such interfaces', PREFIX, CLIENT, by('cali12ab'), 'pod'],
    ['a prefix, another interface', PREFIX, POD, by('eth0'), 'outside'],
    ['a prefix inside a name is none', PREFIX, POD, by('xcali'), 'outside'],
    ['a prefix, an interface that is not known', PREFIX, POD, by(''), 'outside'],
    ['a prefix, this node', PREFIX, POD, NODE_INPUT, 'node'],
  ])('%s', (_name, detector, source, input, expected) => {
    expect(clientKindOf(address(source), input, detector)).toBe(expected);
  });
});

test('pods and this node get what is for inside, everybody else what is for outside', () => {
  const [, nodePort] = planOf({ type: 'NodePort', externalTrafficPolicy: 'Local' }, [
    HERE,
    THERE,
  ]).virtualServers;
  const selections = (['pod', 'node', 'outside'] as const).map((client) => selectionFor(nodePort!, client));
  expect(selections).toEqual([nodePort!.internal, nodePort!.internal, nodePort!.external]);
  expect(selections[0]).not.toEqual(selections[2]);
});

describe('whose source address is replaced', () => {
  test.each<[Masquerade, Record<ClientKind, boolean>]>([
    ['none', { pod: false, node: false, outside: false }],
    ['node', { pod: false, node: true, outside: false }],
    ['nonPods', { pod: false, node: true, outside: true }],
    ['all', { pod: true, node: true, outside: true }],
  ])('%s', (masquerade, expected) => {
    for (const client of ['pod', 'node', 'outside'] as const)
      expect(isMasqueraded(masquerade, client)).toBe(expected[client]);
  });
});
