// The fingerprint of rules in nf_tables against this machine's kernel and iptables-nft. The legacy one is in test/lab/verification-reads.test.ts.

import { describe, expect, it } from 'vitest';
import { runInNamespace, whyNoNamespaces } from '../../test/kernel/in-namespace.ts';

const title = 'rules in nf_tables';

describe.skipIf(whyNoNamespaces !== null)(
  whyNoNamespaces === null ? title : `${title} (skipped: ${whyNoNamespaces})`,
  () => {
    it('have another fingerprint after each change, and only then', async () => {
      const cases = new URL('../../test/kernel/fingerprint-cases.ts', import.meta.url);
      const changes = ['rule', 'rule of the same size', 'chain', 'restored'];
      const first = expect.stringMatching(/^generation \d+$/);
      expect(await runInNamespace(cases, 'nft')).toEqual([
        { family: 'IPv4', first, changes },
        { family: 'IPv6', first, changes },
      ]);
    });
  },
);
