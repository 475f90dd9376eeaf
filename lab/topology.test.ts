// The topology on this machine's kernel: who reaches whom and with which address, and that nothing stays behind.

import { describe, expect, it } from 'vitest';
import { whyNoNamespaces } from '../test/kernel/in-namespace.ts';
import { runInLabNamespace } from '../test/lab/in-lab-namespace.ts';
import { createTopology } from './topology.ts';

const run = (name: string): Promise<any> =>
  runInLabNamespace(new URL('../test/lab/topology-cases.ts', import.meta.url), name);
const title = (name: string): string =>
  whyNoNamespaces === null ? name : `${name} (skipped: ${whyNoNamespaces})`;

// How each host's address looks to the others: the node speaks to its own pods as their gateway.
const ADDRESSES: Readonly<Record<string, readonly [string, string]>> = {
  node1: ['192.168.50.11', 'fd00:50::11'],
  node2: ['192.168.50.12', 'fd00:50::12'],
  pod1: ['10.244.1.11', 'fd00:10:244:1::11'],
  pod2: ['10.244.1.12', 'fd00:10:244:1::12'],
  remote1: ['10.244.2.11', 'fd00:10:244:2::11'],
  client1: ['192.168.50.100', 'fd00:50::100'],
};
const GATEWAYS: Readonly<Record<string, readonly [string, string]>> = {
  'node1 to pod1': ['10.244.1.1', 'fd00:10:244:1::1'],
  'node1 to pod2': ['10.244.1.1', 'fd00:10:244:1::1'],
  'node2 to remote1': ['10.244.2.1', 'fd00:10:244:2::1'],
};

const isInside = (name: string): boolean => /^(pod|remote)/.test(name);

describe.skipIf(whyNoNamespaces !== null)(title('topology'), () => {
  it('lets all reach each other with their own addresses at once, except outside clients and pods', async () => {
    const seen = await run('reachability');
    const expected: Record<string, string[]> = {};
    for (const from of Object.keys(ADDRESSES)) {
      for (const to of Object.keys(ADDRESSES)) {
        const pair = `${from} to ${to}`;
        const [ipv4, ipv6] = GATEWAYS[pair] ?? ADDRESSES[from] ?? [];
        expected[pair] = [`${to} ${ipv4}`, `${to} ${ipv4}`, `${to} ${ipv6}`, `${to} ${ipv6}`];
        if (from === 'client1' && isInside(to)) expected[pair] = Array(4).fill('ENETUNREACH null');
      }
      // The client has no way to answer a pod: a service has to masquerade that.
      if (isInside(from)) expected[`${from} to client1`] = Array(4).fill('timedOut null');
    }
    expect(seen).toEqual(expected);
  });

  it("carries traffic between the node's pods through the node's stack", async () => {
    const { forwarding, notForwarding } = await run('podsMeetInTheNode');
    expect(forwarding).toEqual(['pod2', 'pod2']);
    expect(notForwarding).not.toContain('pod2');
  });

  it('routes the service networks of clients to this node', async () => {
    expect(await run('serviceNetworksLeadToTheNode')).toEqual([
      { from: '192.168.50.100', by: 'service' },
      { from: '192.168.50.101', by: 'service' },
      { from: 'fd00:50::100', by: 'service' },
      { from: 'fd00:50::101', by: 'service' },
    ]);
  });

  it('removes everything, also below open sockets, and can be built again', async () => {
    const { before, built, whileBuilt, afterRefusal, after, rebuilt } = await run('disposal');
    // lo, the bridge, a LAN port for node2 and for the client, a veth for each pod.
    expect(built.links - before.links).toBe(5);
    expect(whileBuilt).toBe('node2 exists already: dispose of the earlier topology first');
    expect(afterRefusal.namespaces).toBe(built.namespaces);
    expect(after).toEqual(before);
    expect(rebuilt.links).toBe(built.links);
  });

  it('names the step that failed and leaves nothing of a half-built topology', async () => {
    const { before, own, after } = await run('failures');
    expect(own).toMatch(
      /failed in the own namespace: ip route add 10\.244\.2\.0\/24 via 192\.168\.50\.12: .*File exists/,
    );
    expect(after).toEqual(before);
  });

  it('turns on IPv6 forwarding unless told otherwise, and leaves ip_forward alone', async () => {
    expect(await run('forwarding')).toEqual({ on: ['1', '0'], off: ['0', '0'] });
  });
});

describe('topology options', () => {
  it.each([{ pods: 65 }, { remotePods: -1 }, { clients: 1.5 }])('refuses %o', (options) => {
    expect(() => createTopology(options)).toThrow(/A topology has 0 to 64 of/);
  });
});
