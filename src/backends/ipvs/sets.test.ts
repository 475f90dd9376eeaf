import { describe, expect, it } from 'vitest';
import { kernelSetName, SET_NAMES } from './sets.ts';

describe('names of sets', () => {
  it('fit into the kernel and are all different, of both families', () => {
    const names = SET_NAMES.flatMap((name) => [kernelSetName(name, 'IPv4'), kernelSetName(name, 'IPv6')]);
    expect(new Set(names).size).toBe(2 * SET_NAMES.length);
    for (const name of names) expect(name).toMatch(/^[A-Z0-9-]{1,31}$/);
  });

  it.each([
    ['KUBE-CLUSTER-IP', 'KUBE-6-CLUSTER-IP'],
    ['KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'KUBE-6-NODE-PORT-LOCAL-SCTP-HAS'],
    ['KUBE-LOAD-BALANCER-SOURCE-CIDR', 'KUBE-6-LOAD-BALANCER-SOURCE-CID'],
    ['POINTSMAN-VS', 'POINTSMAN-6-VS'],
  ] as const)('of IPv6: %s is %s', (set, name) => {
    expect(kernelSetName(set, 'IPv6')).toBe(name);
  });
});
