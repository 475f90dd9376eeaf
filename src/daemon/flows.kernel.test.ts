// The care for UDP flows as the daemon wires it, on this machine's conntrack.

import { describe, expect, it } from 'vitest';
import { runInNamespace, whyNoNamespaces } from '../../test/kernel/in-namespace.ts';

const FILE = new URL('../../test/kernel/flow-cases.ts', import.meta.url);

describe.skipIf(whyNoNamespaces !== null)(
  `flows of UDP clients${whyNoNamespaces === null ? '' : ` (skipped: ${whyNoNamespaces})`}`,
  () => {
    it('that became stale are gone when the sync is over, and nothing else; a second look waits until the end', async () => {
      expect(await runInNamespace(FILE, 'afterSyncs')).toEqual({
        before: ['127.0.0.1 5001', '127.0.0.2 5001', '127.0.0.2 5002', '::1 5001', '::1 5002'],
        after: ['127.0.0.1 5001', '127.0.0.2 5002', '::1 5002'],
        deleted: [1, 1],
        failures: [],
        lines: ['IPv4', 'IPv6'].map(
          (family) =>
            `Looked for stale flows of UDP clients ${JSON.stringify({ family, deleted: 1, elapsedMs: 0 })}`,
        ),
        passes: ['IPv4 1', 'IPv6 1'],
        isWaiting: 1,
        timersLeft: 0,
      });
    });
  },
);
