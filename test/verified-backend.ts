// A backend under verification: on a fake kernel whose listings may lie, with what it repaired and the whole state as text.

import type { IpvsBackend } from '../src/backends/ipvs/backend.ts';
import type { Repair } from '../src/backends/ipvs/repairs.ts';
import type { IpvsService } from '../src/kernel/ipvs-codec.ts';
import type { ServicePlan } from '../src/plan/plan.ts';
import { FakeIpvsKernel } from './fake-ipvs-kernel.ts';
import { change, makeBackend } from './ipvs-plans.ts';

/**
 * A fake kernel whose listings of virtual servers are not true by the time they are read, as the real one's may be: outdated, incomplete, or
 * with what is gone by then. Single reads stay true.
 */
export class LyingKernel extends FakeIpvsKernel {
  /** What is listed instead of a piece. */
  lie: (piece: IpvsService[]) => IpvsService[] = (piece) => piece;
  /** Listings that go on. */
  openListings = 0;

  override async *servicePieces(): AsyncGenerator<IpvsService[]> {
    this.openListings++;
    try {
      for await (const piece of super.servicePieces()) yield this.lie(piece);
    } finally {
      this.openListings--;
    }
  }
}

/** A backend that has applied these plans. */
export async function verified<Kernel extends FakeIpvsKernel = LyingKernel>(
  plans: readonly ServicePlan[],
  kernel: Kernel = new LyingKernel() as FakeIpvsKernel as Kernel,
): Promise<{ readonly kernel: Kernel; readonly backend: IpvsBackend }> {
  const { backend } = makeBackend(kernel);
  await backend.apply(change(plans, true));
  kernel.writes = [];
  kernel.lists = [];
  return { kernel, backend };
}

/** One whole comparison, and a look at what drains after it, as the daemon does it; the number of slices. */
export async function compare(backend: Pick<IpvsBackend, 'verifier' | 'drain'>): Promise<number> {
  for (let slices = 1; slices < 1000; slices++) {
    if (!(await backend.verifier.checkSlice())) continue;
    await backend.drain();
    return slices;
  }
  throw new Error('the comparison does not end');
}

/** "virtualServer TCP 10.96.0.1:80 was missing" */
export const repairLine = ({ kind, object, what }: Repair): string => `${kind} ${object} ${what}`;

/** The last repairs as lines. */
export const repairsOf = ({ verifier }: Pick<IpvsBackend, 'verifier'>): string[] =>
  verifier.repairs.last().map(repairLine);

/** Everything of the kernel: more than `dump`, every field of virtual and real servers and the order of rules. */
export function stateOf(kernel: FakeIpvsKernel): string {
  const servers = [...kernel.table].map(
    ([id, { service, destinations }]) =>
      `${id} ${JSON.stringify(service)} ${JSON.stringify([...destinations].sort())}`,
  );
  const chains = (['IPv4', 'IPv6'] as const).flatMap((family) =>
    (['nat', 'filter'] as const).flatMap((table) =>
      ['KUBE-SERVICES', 'KUBE-POSTROUTING', 'PREROUTING'].map((name) => kernel.chain(family, table, name)),
    ),
  );
  return [kernel.dump(), ...servers.sort(), JSON.stringify(chains)].join('\n');
}
