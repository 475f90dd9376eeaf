// The follower of this machine's addresses against this machine's kernel, with ip(8) as the one who changes them.

import { describe, expect, it } from 'vitest';
import { runInNamespace, whyNoNamespaces } from '../../test/kernel/in-namespace.ts';

const run = (name: string): Promise<any> =>
  runInNamespace(new URL('../../test/kernel/address-cases.ts', import.meta.url), name);
const title = whyNoNamespaces === null ? '' : ` (skipped: ${whyNoNamespaces})`;

describe.skipIf(whyNoNamespaces !== null)(`addresses of this machine${title}`, () => {
  it('follow every change of links and addresses, each told once', { timeout: 120_000 }, async () => {
    const first = ['127.0.0.1', '192.168.50.11', '::1'];
    expect(await run('everyChange')).toEqual({
      first,
      once: first,
      added: '1 192.0.2.1 192.168.50.11 fd00::1',
      withPeerOnly: '1 192.0.2.1 192.168.50.11 198.51.100.1 fd00::1',
      without: '1 192.168.50.11 198.51.100.1 fd00::1',
      renamed: '1 192.0.2.2 192.168.50.11 198.51.100.1 fd00::1',
      shared: '1 10.96.0.1 192.0.2.2 192.168.50.11 198.51.100.1 fd00::1',
      service: ['gone 10.96.0.1', 'gone 10.96.0.2', 'link-gone', 'gone 10.96.0.3'],
      deleted: '1 10.96.0.1',
      renamedService: ['10.96.0.1 10.96.0.4', 'link-gone', 'lost'],
      isAsRead: true,
    });
  });

  it(
    'hold an IPv6 address from the start of its duplicate detection, not when that failed',
    { timeout: 120_000 },
    async () => {
      expect(await run('duplicate')).toEqual({
        tentative: '1 192.168.50.11 fd00::1',
        whileOwned: '192.168.50.11 fd00::1',
        failed: '1 192.168.50.11',
        isFailedThere: true,
        localRoutes: '',
      });
    },
  );

  it('are right again after a storm larger than the receive buffer', { timeout: 120_000 }, async () => {
    const { isFound, isAlive, afterAdd, afterDelete } = await run('storm');
    expect({ isFound, isAlive, afterAdd }).toEqual({ isFound: true, isAlive: true, afterAdd: ['lost'] });
    expect(['lost', 'link-gone']).toContain(afterDelete[0]);
  });

  it(
    'are not disturbed by our own bind of many addresses, nor is a read during it',
    { timeout: 120_000 },
    async () => {
      expect(await run('ownBind')).toEqual({
        failures: 0,
        reads: ['127.0.0.1 192.168.50.11 ::1'],
        afterBind: [],
        gone: 5000,
        changes: 0,
        text: '192.168.50.11',
        of: ['127.0.0.1', '::1', '10.96.0.1'],
      });
    },
  );
});
