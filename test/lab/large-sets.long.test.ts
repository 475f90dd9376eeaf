// Sets above their size on the real kernel: 70,000 portals of 700 Services.

import { expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';

const missing = ipvsKernel.probe();

it.skipIf(missing !== null)(
  'a set that would hold more than 65,536 members grows under its rules, is taken over by the next start, and shrinks to none',
  async () => {
    const guest = await runInGuest(new URL('./large-sets-guest.ts', import.meta.url), [], {
      memoryMb: 2048,
      timeoutMs: 400_000,
    });
    expect(guest.exitCode, guest.stderr.slice(-2000)).toBe(0);
    expect(JSON.parse(guest.stdout)).toEqual({
      before: 'hash:ip,port 65536 60000',
      after: 'hash:ip,port 131072 70000',
      operations: 0,
      repairs: [],
      isMatched: true,
      emptied: 'hash:ip,port 131072 0',
      others: '',
      failures: [],
    });
  },
  420_000,
);
