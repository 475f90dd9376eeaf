// Clean-ups of kube-proxy's rules in every mode against this machine's kernel and tools. Virtual servers are in test/lab/cleanup.test.ts.

import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { runInNamespace, whyNoNamespaces } from '../../test/kernel/in-namespace.ts';

const run = (name: string): Promise<any> =>
  runInNamespace(new URL('../../test/kernel/cleanup-cases.ts', import.meta.url), name);
const title = 'a clean-up';

function hasNft(): boolean {
  try {
    execFileSync('nft', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(whyNoNamespaces !== null)(
  whyNoNamespaces === null ? title : `${title} (skipped: ${whyNoNamespaces})`,
  () => {
    it(
      "takes mode iptables out of both flavours, kubelet's and others' chains stay; a clean-up of ours finds nothing there",
      { timeout: 120_000 },
      async () => {
        const results = await run('modeIptables');
        expect(results).toHaveLength(6);
        for (const result of results)
          expect(result).toMatchObject({
            ofOurs: [],
            isLeft: true,
            isChanged: true,
            isAsBefore: true,
            jumps: 24,
            others: [],
            again: [],
          });
      },
    );

    it('takes mode ipvs out of nft, and its sets with it', { timeout: 120_000 }, async () => {
      const results = await run('modeIpvsInNft');
      expect(results).toHaveLength(3);
      for (const result of results)
        expect(result).toEqual({ sets: 34, others: [], names: 'KUBE-CLUSTER-IP2\n', isAsBefore: true });
    });

    it('destroys a set although the kernel lets go of it only after it said that the rule is deleted', async () => {
      const { refusal, names } = await run('setOfDeletedRule');
      // The kernel may be quick; what it says otherwise must be what the clean-up waits for.
      expect(refusal).toMatch(/^$|IPSET_ERR_BUSY/);
      expect(names).toBe(refusal === '' ? '' : 'ASKED\n');
    });

    it(
      'cleans both flavours at once, tells with exit code 1 what the kernel refused, and does the rest when asked again',
      { timeout: 120_000 },
      async () => {
        const kept = expect.stringContaining(
          'failed: set KUBE-IPVS-IPS: ipset destroy KUBE-IPVS-IPS: IPSET_ERR_BUSY (errno 4100)',
        );
        const { first, names, second } = await run('refused');
        expect(first).toEqual({ code: 1, stdout: kept, stderr: '' });
        expect(first.stdout).toMatch(/^jumps: 18 removed\nchains: 22 removed\nsets: 33 removed, 1 failed\n/m);
        expect(names).toBe('KUBE-IPVS-IPS\nHOLDER\n');
        expect(second).toEqual({ code: 0, stdout: 'sets: 1 removed\n', stderr: '' });
      },
    );

    it('finds and deletes tables of nf_tables without a program', { timeout: 120_000 }, async () => {
      expect(await run('tables')).toEqual([
        ['IPv4 nat', 'IPv4 filter', 'IPv6 nat'],
        true,
        ['IPv4 filter', 'IPv6 nat'],
        false,
        false,
        ['IPv4 filter', 'IPv6 nat'],
      ]);
    });

    it.skipIf(!hasNft())(
      `takes the tables of mode nftables, and no others${hasNft() ? '' : ' (skipped: nft is not installed)'}`,
      { timeout: 120_000 },
      async () => {
        const removed = [
          { kind: 'table', object: 'ip kube-proxy' },
          { kind: 'table', object: 'ip6 kube-proxy' },
        ];
        for (const result of await run('modeNftables'))
          expect(result).toEqual({
            tablesThen: 4,
            ofOurs: [],
            removed,
            failed: [],
            isAsBefore: true,
            again: [],
          });
      },
    );
  },
);
