// What counts of the Node while it comes, changes and goes, and what the log says.

import { expect, it } from 'vitest';
import { linesOf } from '../../test/log-lines.ts';
import { parseCidr, parseIp, type Cidr, type IpAddress } from '../model/ip.ts';
import type { NodeRecord } from '../model/node.ts';
import { OwnNode } from './own-node.ts';

const record = (addresses: string, podCIDRs: string, zone = 'a'): NodeRecord => ({
  name: 'n1',
  zone,
  addresses: addresses
    .split(' ')
    .filter(Boolean)
    .map((text) => parseIp(text) as IpAddress),
  podCIDRs: podCIDRs
    .split(' ')
    .filter(Boolean)
    .map((text) => parseCidr(text) as Cidr),
  isLeaving: false,
});
const ANY = '0.0.0.0' as IpAddress;
const NODE_CIDR = { bindAddress: ANY, detectLocalMode: 'NodeCIDR' } as const;
const CLUSTER_CIDR = { bindAddress: ANY, detectLocalMode: 'ClusterCIDR' } as const;

it('keeps what the Node no longer says, and takes what it says anew', () => {
  const { log, lines } = linesOf();
  const node = new OwnNode('n1', log);
  expect(node.take(undefined, NODE_CIDR)).toBeUndefined();
  const full = record('10.0.0.1 fd00::1', '10.244.1.0/24');
  expect(node.take(record('10.0.0.1 fd00::1', ''), NODE_CIDR)?.podCIDRs).toEqual([]);
  expect(node.take(full, NODE_CIDR)).toEqual(full);
  expect(node.take(record('', '', ''), NODE_CIDR)).toEqual({ ...full, zone: '' });
  expect(node.take(undefined, NODE_CIDR)).toEqual({ ...full, zone: '' });
  expect(node.take(undefined, NODE_CIDR)).toEqual(node.current);
  const other = record('10.0.0.2', '10.244.2.0/24 fd00:2::/64', 'b');
  expect(node.take(other, NODE_CIDR)).toEqual(other);
  expect(lines).toEqual([
    'I Successfully retrieved NodeIPs NodeIPs=10.0.0.1,fd00::1',
    'I NodeInfo podCIDRs=10.244.1.0/24',
    'W The Node was deleted; what was known of it holds node=n1',
    'I NodeIPs changed for the node node=n1 newNodeIPs=10.0.0.2 oldNodeIPs=10.0.0.1,fd00::1',
    'I PodCIDRs changed for the node node=n1 newPodCIDRs=10.244.2.0/24,fd00:2::/64 oldPodCIDRs=10.244.1.0/24',
  ]);
});

it('says nothing of what does not matter', () => {
  const { log, lines } = linesOf();
  const node = new OwnNode('n1', log);
  node.take(record('10.0.0.1', '10.244.1.0/24'), CLUSTER_CIDR);
  node.take(record('10.0.0.1 10.0.0.9', '10.244.2.0/24', 'b'), CLUSTER_CIDR);
  expect(lines).toEqual(['I Successfully retrieved NodeIPs NodeIPs=10.0.0.1']);
});

it.each([
  ['', '0.0.0.0', 1],
  ['10.0.0.1', '0.0.0.0', 0],
  ['', '192.0.2.7', 0],
  ['', '127.0.0.1', 1],
])('Node %j with bindAddress %s: %d lines that loopback is assumed', (addresses, bindAddress, count) => {
  const { log, lines } = linesOf();
  const config = { ...CLUSTER_CIDR, bindAddress: bindAddress as IpAddress };
  const node = new OwnNode('n1', log);
  node.take(record(addresses, ''), config);
  node.reportUnknown(config);
  expect(lines.filter((line) => line.includes('assuming loopback; if this is incorrect'))).toHaveLength(
    count,
  );
});
