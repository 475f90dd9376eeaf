// The ipset, rtnetlink and conntrack clients against this machine's kernel, compared with what ipset, ip and /proc say.

import { describe, expect, it } from 'vitest';
import { runInNamespace, whyNoNamespaces } from '../../test/kernel/in-namespace.ts';

const run = (name: string): Promise<any> =>
  runInNamespace(new URL('../../test/kernel/client-cases.ts', import.meta.url), name);
const title = (name: string): string =>
  whyNoNamespaces === null ? name : `${name} (skipped: ${whyNoNamespaces})`;

describe.skipIf(whyNoNamespaces !== null)(title('ipset'), () => {
  it('adds, lists and deletes members of every type as ipset sees them', { timeout: 120_000 }, async () => {
    const results = await run('everySetType');
    expect(results).toHaveLength(10);
    for (const { name, failures, entries, all, rest } of results) {
      expect({ name, failures, entries, count: all.theirs.length }).toEqual({
        name,
        failures: 0,
        entries: 1000,
        count: 1000,
      });
      expect(all.ours).toEqual(all.theirs);
      expect(rest.theirs).toHaveLength(400);
      expect(rest.ours).toEqual(rest.theirs);
    }
  });

  it('shares sets with the ipset program in both directions', async () => {
    expect(await run('exchangeWithIpset')).toEqual({
      theirs: ['10.0.0.1,tcp:80'],
      ours: ['10.0.0.2,udp:53'],
      names: ['O', 'T'],
    });
  });

  it(
    'reports exactly the members that a full set refuses, and adds all others',
    { timeout: 120_000 },
    async () => {
      expect(await run('fullSet')).toEqual({ zeros: 20, full: 1000, others: 0, present: 1000 });
    },
  );

  it(
    'says which members were there already, whoever put them, and adds the others',
    { timeout: 120_000 },
    async () => {
      const { results, mixed } = await run('presentMembers');
      expect(results).toHaveLength(10);
      for (const { name, ...found } of results)
        expect({ name, ...found }).toEqual({ name, failures: 0, isExact: true, again: 1000, entries: 1000 });
      expect(mixed).toEqual([['10.0.0.2', '10.0.0.1'], ['IPSET_ERR_HASH_ELEM']]);
    },
  );

  it('lists the headers of all sets, whatever types and extensions others made them with', async () => {
    const { ours, theirs } = await run('foreignHeaders');
    expect(ours).toEqual(theirs);
    expect(theirs).toHaveLength(9);
    expect(ours).toContain('S hash:ip,port IPv4 300 70000');
    expect(ours).toContain('hash:ip hash:ip IPv6 2 65536');
  });

  it('says that a rule refers to the set', async () => {
    const { outcomes, references, isDestroyed } = await run('busySet');
    expect(outcomes).toEqual([
      'ipset destroy B: IPSET_ERR_BUSY (errno 4100); a rule or another set refers to the set; remove that first',
      'ipset rename B C: IPSET_ERR_REFERENCED (errno 4108); a rule or another set refers to the set; remove that first',
    ]);
    expect([references, isDestroyed]).toEqual([0, true]);
  });
});

describe.skipIf(whyNoNamespaces !== null)(title('rtnetlink'), () => {
  it(
    'adds and deletes addresses as ip sees them, with a full prefix and nothing else',
    { timeout: 120_000 },
    async () => {
      const { failures, all, rest, line, links, theirLinks, deleted } = await run('manyAddresses');
      expect(failures).toBe(0);
      expect(all.theirs).toHaveLength(500);
      expect(all.ours).toEqual(all.theirs);
      expect(rest.theirs).toHaveLength(250);
      expect(rest.ours).toEqual(rest.theirs);
      expect(line).toMatch(
        /inet 10\.96\.0\.1\/32 scope global kube-ipvs0\\ +valid_lft forever preferred_lft forever$/,
      );
      expect(links).toEqual(
        [...theirLinks.matchAll(/^(\d+): ([^:@]+)/gm)].map(([, index, name]: any) => `${index} ${name}`),
      );
      expect(deleted).toEqual([true, false]);
    },
  );

  it('adds and deletes local routes as ip sees them', async () => {
    const { failures, printed, present, after } = await run('localRoutes');
    expect(failures).toBe(0);
    expect(printed).toMatch(/^local 10\.96\.0\.0\/12 scope host/m);
    expect(printed).toMatch(/^local fd96::\/108 metric 1024/m);
    expect(present).toBe(true);
    expect(after).not.toMatch(/10\.96|fd96/);
  });

  it(
    'tells of changes in order, and of losses when a storm is larger than the buffer',
    { timeout: 120_000 },
    async () => {
      const { quiet, isLost, lost, seesMore } = await run('events');
      expect(quiet.lost).toEqual([]);
      expect(quiet.seen).toEqual([
        'link new br0',
        'address new 10.0.0.1',
        'route new 10.0.0.1/32',
        'address new fd00::1',
        'address deleted 10.0.0.1',
        'route deleted 10.0.0.1/32',
        'address deleted fd00::1',
        'link deleted br0',
      ]);
      expect({ isLost, lost, seesMore }).toEqual({ isLost: true, lost: ['ENOBUFS'], seesMore: true });
    },
  );

  it('dumps again on a socket whose dump failed in the middle', { timeout: 120_000 }, async () => {
    expect(await run('dumpAfterFailedDump')).toEqual({ code: 'KERNEL_PROTOCOL', count: 3000 });
  });
});

describe.skipIf(whyNoNamespaces !== null)(title('conntrack'), () => {
  it('lists what /proc shows and deletes what was asked for, in both families and in zones', async () => {
    const { ours, before, some, ipv6, outcome, after, again } = await run('conntrackOfTraffic');
    const facts = before.map((line: string) => {
      const [, family, source, destination, mark, zone] =
        /^ipv(\d).*? sport=(\d+) dport=(\d+) .* mark=(\d+) zone=(\d+)/.exec(line) ?? [];
      return [`IPv${family}`, Number(source), Number(destination), Number(zone), Number(mark)];
    });
    expect(facts).toHaveLength(12);
    expect(ours.toSorted()).toEqual(facts.toSorted());
    // The kernel's own filter takes an IPv6 address for one that is not wanted.
    expect(ipv6).toEqual([[5004], 0]);
    expect([some, outcome, again]).toEqual([4, { deleted: 4, failures: [] }, { deleted: 0, failures: [] }]);
    expect(after).toHaveLength(8);
    expect(after.filter((line: string) => line.includes('dst=127.0.0.2'))).toEqual([]);
  });

  it('does not delete an entry with another id, such as a later connection with the same tuple', async () => {
    expect(await run('conntrackTwin')).toEqual({ count: 1, twins: { deleted: 0, failures: [] }, left: 1 });
  });
});
