// The property that holds the IPVS backend together: any way to a plan, with refusals and lost answers on it, ends in the same kernel
// state as from scratch.

import fc from 'fast-check';
import { expect } from 'vitest';
import { serviceKey } from '../src/model/names.ts';
import type { ServicePlan } from '../src/plan/plan.ts';
import { change, plan, started } from './ipvs-plans.ts';

export async function assertAnyWayEndsTheSame(numRuns: number): Promise<void> {
  const spec = fc.record({
    address: fc.constantFrom('172.30.0.1', '172.30.0.2', 'fd96::1', undefined),
    nodePort: fc.constantFrom(30001, 30002),
    protocol: fc.constantFrom('TCP' as const, 'UDP' as const, 'SCTP' as const),
    scheduler: fc.constantFrom('rr', 'sh', 'mh'),
    affinitySeconds: fc.constantFrom(0, 60),
  });
  const endpoints = fc.uniqueArray(fc.constantFrom('1', '2', '3'), { maxLength: 3 });
  const step = fc.record({
    name: fc.constantFrom('a', 'b', 'c'),
    specs: fc.option(fc.array(fc.tuple(spec, endpoints), { maxLength: 3 })),
    fault: fc.constantFrom('', 'NEW', 'ADD', 'BIND', 'DEL', 'UNBIND', 'lost answer'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 6 }), async (steps) => {
      const { kernel, backend } = await started();
      const plans = new Map<string, ServicePlan>();
      for (const { name, specs, fault } of steps) {
        const key = serviceKey('default', name);
        const next =
          specs === null
            ? null
            : plan(
                name,
                distinct(specs).map(([each, hosts]) => ({
                  ...(each.address === undefined ? { nodePort: each.nodePort } : { address: each.address }),
                  protocol: each.protocol,
                  scheduler: each.scheduler,
                  affinitySeconds: each.affinitySeconds,
                  endpoints: hosts.map((host) =>
                    each.address?.includes(':') ? `fd10::${host}` : `10.0.0.${host}`,
                  ),
                })),
                name.charCodeAt(0),
              );
        if (next === null) plans.delete(name);
        else plans.set(name, next);
        if (fault === 'lost answer') kernel.losesNextAnswer = true;
        else if (fault !== '')
          kernel.faults.push({ matches: (write) => write.startsWith(fault), errno: 'ENOMEM', times: 1 });
        let report = await backend.apply(change([next ?? key]));
        kernel.faults.length = 0;
        kernel.losesNextAnswer = false;
        for (let i = 0; report.failed.length + report.leftovers.length > 0 && i < 3; i++)
          report = await backend.retry(report.failed);
        expect(report.failed).toEqual([]);
      }
      const clean = await started(...plans.values());
      // Rules stay for sets that became empty only until the next apply: both kernels get one.
      await clean.backend.apply(change([]));
      await backend.apply(change([]));
      expect(kernel.dump()).toBe(clean.kernel.dump());
    }),
    { numRuns },
  );
}

/** One entry per frontend: the API and the compiler never give two of the same. */
function distinct<T extends { address: string | undefined; nodePort: number; protocol: string }, U>(
  specs: readonly (readonly [T, U])[],
): (readonly [T, U])[] {
  return [
    ...new Map(
      specs.map((each) => [`${each[0].address ?? each[0].nodePort} ${each[0].protocol}`, each]),
    ).values(),
  ];
}
