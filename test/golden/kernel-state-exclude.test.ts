// ipvs.excludeCIDRs and virtual servers of others. Unlike kube-proxy, which deletes every virtual server that it does not know unless its
// address is excluded, we never delete one that is not ours, wherever it is; what is excluded keeps our own stale ones as well.

import { describe, expect, it } from 'vitest';
import { PROTOCOL_NUMBER } from '../../src/kernel/ipvs-codec.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { address } from '../addresses.ts';
import { FakeIpvsKernel } from '../fake-ipvs-kernel.ts';
import { deletion, run, service, slice } from './kernel-state-objects.ts';
import { readKernelState } from './kernel-state.ts';

/** Addresses inside and outside of what is excluded, of Services that are gone and of somebody else. */
const NETWORKS = {
  IPv4: {
    live: '172.30.0.1',
    staleIn: '172.30.99.1',
    staleOut: '172.30.98.1',
    foreignIn: '172.30.99.7',
    foreignOut: '172.30.98.7',
    server: '10.0.2.1',
  },
  IPv6: {
    live: 'fd00:172:30::1',
    staleIn: 'fd00:172:30:99::1',
    staleOut: 'fd00:172:30:98::1',
    foreignIn: 'fd00:172:30:99::7',
    foreignOut: 'fd00:172:30:98::7',
    server: 'fd00:10::2:1',
  },
} as const;
const EXCLUDE = { IPv4: '172.30.99.0/24', IPv6: '"fd00:172:30:99::/64"' } as const;
type Family = keyof typeof NETWORKS;

const excluding = (...families: readonly Family[]): string =>
  `ipvs: {excludeCIDRs: [${families.map((family) => EXCLUDE[family]).join(', ')}]}\n`;

/** A Service with one real server. */
function single(name: string, clusterIP: string, family: Family): ClusterEvent[] {
  return [
    service(name, { clusterIP, ipFamilies: [family], ports: [{ port: 80, targetPort: 8080 }] }),
    slice(name, [{ port: 8080 }], [NETWORKS[family].server]),
  ];
}

/** The lines of `ipvsadm -Sn` for one with one real server. */
function lines(family: Family, vip: string, scheduler = 'rr'): string[] {
  const bracketed = (text: string): string => (family === 'IPv4' ? text : `[${text}]`);
  const server = `${bracketed(NETWORKS[family].server)}:8080`;
  const [first, second] = [`-A -t ${bracketed(vip)}:80`, `-a -t ${bracketed(vip)}:80`];
  return [`${first} -s ${scheduler}`, `${second} -r ${server} -m -w 1`];
}

/** A kernel with somebody else's virtual servers, and with those of three Services of ours. */
async function mixed(family: Family): Promise<FakeIpvsKernel> {
  const { live, staleIn, staleOut, foreignIn, foreignOut, server } = NETWORKS[family];
  const kernel = new FakeIpvsKernel();
  for (const vip of [foreignIn, foreignOut]) {
    const netmask = family === 'IPv4' ? 0xffffffff : 128;
    const key = { family, protocol: PROTOCOL_NUMBER.TCP, address: address(vip), port: 80 };
    const foreign = { ...key, scheduler: 'wlc', flags: 0, timeoutSeconds: 0, netmask };
    const thresholds = { upperThreshold: 0, lowerThreshold: 0 };
    const destination = {
      address: address(server),
      port: 8080,
      forwarding: 'masquerade',
      weight: 1,
      ...thresholds,
    } as const;
    await kernel.applyIpvs([
      { op: 'NEW_SERVICE', service: foreign },
      { op: 'NEW_DEST', service: foreign, destination },
    ]);
  }
  await run(kernel, [
    ...single('live', live, family),
    ...single('stale-in', staleIn, family),
    ...single('stale-out', staleOut, family),
  ]);
  return kernel;
}

describe.each(['IPv4', 'IPv6'] as const)('excludeCIDRs, %s', (family) => {
  const { live, staleIn, staleOut, foreignIn, foreignOut } = NETWORKS[family];
  const foreign = [...lines(family, foreignIn, 'wlc'), ...lines(family, foreignOut, 'wlc')];
  const serversOf = async (kernel: FakeIpvsKernel): Promise<readonly string[]> =>
    (await readKernelState(kernel)).virtualServers;

  it('keeps what is stale inside with its real servers, and deletes it outside; what others own stays anywhere', async () => {
    const kernel = await mixed(family);
    await run(kernel, single('live', live, family), excluding('IPv4', 'IPv6'));
    const kept = [...foreign, ...lines(family, live), ...lines(family, staleIn)];
    expect(await serversOf(kernel)).toEqual(kept.sort());
    expect(kernel.writes.filter((write) => write.includes(foreignIn) || write.includes(foreignOut))).toEqual(
      [],
    );
  });

  it('keeps neither addresses nor members of what is stale', async () => {
    const kernel = await mixed(family);
    await run(kernel, single('live', live, family), excluding('IPv4', 'IPv6'));
    const { addresses, sets } = await readKernelState(kernel);
    expect(addresses).toEqual([live]);
    expect(Object.values(sets).flat()).toEqual([`${live},tcp:80`, live]);
  });

  it('holds for Services that go while the agent runs, too', async () => {
    const kernel = await mixed(family);
    const all = [
      ...single('live', live, family),
      ...single('stale-in', staleIn, family),
      ...single('stale-out', staleOut, family),
    ];
    const { agent } = await run(kernel, all, excluding('IPv4', 'IPv6'));
    agent.onEvents([deletion('stale-in'), deletion('stale-out')]);
    await agent.sync('request');
    const kept = [...foreign, ...lines(family, live), ...lines(family, staleIn)];
    expect(await serversOf(kernel)).toEqual(kept.sort());
    expect(kernel.addresses).toEqual(new Set([live]));
  });

  it('is no obstacle to a Service that comes back', async () => {
    const kernel = await mixed(family);
    await run(kernel, single('live', live, family), excluding('IPv4', 'IPv6'));
    await run(
      kernel,
      [...single('live', live, family), ...single('stale-in', staleIn, family)],
      excluding('IPv4', 'IPv6'),
    );
    expect(kernel.writes.filter((write) => /SERVICE|DEST/.test(write))).toEqual([]);
    expect(kernel.addresses).toEqual(new Set([live, staleIn]));
  });

  it('of the other family protects nothing, and without any all that is stale goes', async () => {
    for (const config of [excluding(family === 'IPv4' ? 'IPv6' : 'IPv4'), '']) {
      const kernel = await mixed(family);
      await run(kernel, single('live', live, family), config);
      expect(await serversOf(kernel)).toEqual([...foreign, ...lines(family, live)].sort());
    }
  });
});
