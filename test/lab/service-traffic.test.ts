// Traffic of Services as metrics, on a real kernel: what clients do is what is counted, for the Service that they do it with.

import { describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `traffic of Services in the lab${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    it('is that of all virtual servers of a Service, and of no other', async () => {
      const guest = await runInGuest(new URL('./service-traffic-guest.ts', import.meta.url), [], {
        memoryMb: 512,
      });
      if (guest.exitCode !== 0)
        throw new Error(`the guest did not finish (exit ${guest.exitCode}):\n${guest.stderr}`);
      const { first, last, errors } = JSON.parse(guest.stdout) as Record<string, Record<string, number>>;
      expect(errors).toEqual([]);
      expect(Object.values(first ?? {})).toEqual(Array.from({ length: 10 }, () => 0));
      expect(last?.['connections default web']).toBe(7);
      for (const direction of ['in', 'out']) {
        // An opening and an end, at least, and what was said in between.
        expect(last?.[`packets default web ${direction}`]).toBeGreaterThanOrEqual(7 * 3);
        expect(last?.[`bytes default web ${direction}`]).toBeGreaterThan(7 * 3 * 40);
      }
      const idle = Object.entries(last ?? {}).filter(([name]) => name.includes('idle'));
      expect(idle.map(([, value]) => value)).toEqual([0, 0, 0, 0, 0]);
    }, 1_600_000);
  },
);
