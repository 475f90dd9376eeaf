import { describe, expect, it } from 'vitest';
import { address } from '../../test/addresses.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { plainService, plainSlice } from '../../test/objects.ts';
import type { ClusterObject } from '../model/objects.ts';
import { Snapshot } from '../model/snapshot.ts';
import type { NodeOptions } from '../plan/plan.ts';
import { compile } from '../plan/planner.ts';
import { addressOfNode, guessInput } from './packet-source.ts';

const NODE: NodeOptions = { ...PLAIN_NODE, nodeIPs: [address('192.168.50.11')] };

function planFor(node: NodeOptions) {
  const snapshot = new Snapshot();
  const endpoints = [{ addresses: ['10.244.1.1'], nodeName: 'node1' }, { addresses: ['10.244.2.1'] }];
  for (const object of [plainService({}), plainSlice({ endpoints })])
    snapshot.apply({ type: 'apply', object: object as ClusterObject });
  return compile(snapshot, node);
}

describe('how a packet comes in', () => {
  const BRIDGE: NodeOptions['localDetector'] = { kind: 'bridge', interfaceName: 'cbr0' };
  const PREFIX: NodeOptions['localDetector'] = { kind: 'interfacePrefix', prefix: 'cali' };
  it.each<[string, string, NodeOptions['localDetector'], string]>([
    ['from a process of this node: its own address', '192.168.50.11', BRIDGE, 'node'],
    ['from a process of this node: another address on it', '10.244.1.250', BRIDGE, 'node'],
    ['from a process of this node: loopback', '127.0.0.1', BRIDGE, 'node'],
    ['from a process of this node: a cluster IP, which is on it', '10.96.0.1', BRIDGE, 'node'],
    ['an endpoint on this node: by the bridge that the detector knows', '10.244.1.1', BRIDGE, 'cbr0'],
    ['an endpoint on this node: by an interface that the detector knows', '10.244.1.1', PREFIX, 'cali'],
    ['an endpoint on this node, where addresses tell who is a pod', '10.244.1.1', { kind: 'none' }, ''],
    ['an endpoint elsewhere: from the network', '10.244.2.1', BRIDGE, ''],
    ['anybody else: from the network', '203.0.113.7', PREFIX, ''],
  ])('%s', (_name, source, localDetector, expected) => {
    const input = guessInput(address(source), [address('10.244.1.250')], planFor({ ...NODE, localDetector }));
    expect(input.from === 'node' ? 'node' : input.interfaceName).toBe(expected);
  });
});

it('knows the address of the node, or says how to give it', () => {
  expect(addressOfNode(NODE, 'IPv4')).toBe('192.168.50.11');
  expect(() => addressOfNode(NODE, 'IPv6')).toThrow(
    'the IPv6 address of node node1 is not known; give it with --from ADDRESS --input node',
  );
});
