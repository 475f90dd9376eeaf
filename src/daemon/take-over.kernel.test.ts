// Rules of modes iptables and nftables taken over on this machine's kernel, under connections. With IPVS: test/lab/take-over.test.ts.

import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { runInNamespace, whyNoNamespaces } from '../../test/kernel/in-namespace.ts';

const title = 'the rules of a kube-proxy of another mode';
const run = (name: string): Promise<any> =>
  runInNamespace(new URL('../../test/kernel/take-over-cases.ts', import.meta.url), name);

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
    const cases = [
      ['legacy', true, ['jump', 'chain']],
      ['nft', true, ['jump', 'chain']],
      ['nftBesideLegacy', false, ['jump', 'chain']],
      ['nftablesBesideNft', false, ['table']],
      ['nftablesBesideLegacy', false, ['table']],
    ] as const;
    for (const [name, isSetAside, kinds] of cases) {
      const isMissing = name.startsWith('nftables') && !hasNft();
      it.skipIf(isMissing)(
        `${name}: they serve until they are removed, no connection fails, and held ones go on${isMissing ? ' (skipped: nft is not installed)' : ''}`,
        { timeout: 120_000 },
        async () => {
          expect(await run(name)).toEqual({
            heldBy: 'pod',
            isSetAside,
            whileBoth: 'pod',
            kinds,
            failed: [],
            after: 'ours',
            servers: ['pod', 'ours'],
            hasAsked: true,
            heldAfter: 'pod',
            again: [],
            others: expect.arrayContaining(['nat OTHERS']),
            missing: [],
            jumps: [],
          });
        },
      );
    }
  },
);
