// Sets that grow by a swap, on this machine's kernel: what ipset prints, and what rules see while it happens.

import { describe, expect, it } from 'vitest';
import { runInNamespace, whyNoNamespaces } from '../../test/kernel/in-namespace.ts';

const run = (name: string): Promise<any> =>
  runInNamespace(new URL('../../test/kernel/replace-cases.ts', import.meta.url), name);
const title = (name: string): string =>
  whyNoNamespaces === null ? name : `${name} (skipped: ${whyNoNamespaces})`;

describe.skipIf(whyNoNamespaces !== null)(title('a set that is replaced'), () => {
  it(
    'takes 70,000 members where it was full with 65,536, and a rule matches every packet meanwhile',
    { timeout: 120_000 },
    async () => {
      expect(await run('growUnderRule')).toEqual({
        filled: 0,
        refused: ['IPSET_ERR_HASH_FULL'],
        packets: { isSome: true, isEveryHit: true, misses: 0 },
        rest: 0,
        header: [70_000, 131_072, 1],
        isComplete: true,
        names: ['S'],
      });
    },
  );

  it('comes to our parameters from whatever others created it with, and keeps its members', async () => {
    expect(await run('foreignParameters')).toEqual({
      headers: [
        'family inet hashsize 1024 maxelem 65536',
        'family inet6 hashsize 1024 maxelem 65536',
        'range 0-65535',
      ],
      members: [
        ['10.0.0.1,tcp:1', '10.0.0.1,tcp:2', '10.0.0.1,tcp:3'],
        ['fd00::1,tcp:80,fd00:1:2::/48 nomatch', 'fd00::1,tcp:80,fd00:1::/32'],
        ['100', '200'],
      ],
      names: ['nets', 'ports', 'small'],
    });
  });

  it('is what it was after a failure, with no copy left', async () => {
    const { lines, isUnchanged, two, after, names } = await run('failures');
    expect(lines).toEqual([
      expect.stringContaining('ipset replace missing: ENOENT'),
      expect.stringContaining('ipset replace S: IPSET_ERR_TYPE_MISMATCH'),
      expect.stringContaining('ipset replace N: IPSET_ERR_TYPE_MISMATCH'),
      expect.stringContaining('ipset replace six: IPSET_ERR_TYPE_MISMATCH'),
      expect.stringMatching(/^ipset add POINTSMAN-TMP 10\.0\.0\.\d: IPSET_ERR_HASH_FULL/),
      expect.stringContaining('ipset destroy KEPT: IPSET_ERR_BUSY'),
    ]);
    expect(isUnchanged).toBe(true);
    expect(two).toEqual(['ok', 'a set is being replaced already']);
    expect(after).toEqual(['maxelem 1000', '10.0.0.1', '10.0.0.2', '10.0.0.3']);
    expect(names).toEqual(['KEPT', 'N', 'S', 'six']);
  });
});
