// Takes a change of the plan into the table: renders what changed, settles who owns what from here on, and says in which order and in which
// groups the Services are to be written. The kernel is not touched.

import type { ServiceKey } from '../../model/names.ts';
import type { NodeOptions, ServicePlan } from '../../plan/plan.ts';
import type { PlanChange } from '../backend.ts';
import { Handovers, type Groups } from './handovers.ts';
import { renderService } from './render.ts';
import { SERVICES_PER_PACE, type IpvsSettings } from './settings.ts';
import type { Table } from './table.ts';

/** The Services to write: the critical ones before all others begin. */
interface Intake {
  readonly critical: Groups;
  readonly others: Groups;
}

/** Takes in all of the change, with the Services that win or lose something by it. Awaits `pace` on the way. */
export async function takeIn(change: PlanChange, table: Table, pace: IpvsSettings['pace']): Promise<Intake> {
  const critical: ServiceKey[] = [];
  const present: ServiceKey[] = [];
  const gone: ServiceKey[] = [];
  const neighbours = new Set<ServiceKey>();
  let done = 0;
  for (const [key, plan] of change.services) {
    const others = plan === null ? withdraw(key, table) : claim(plan, change.node, table);
    for (const other of others) neighbours.add(other);
    const list = plan === null ? gone : plan.isCritical ? critical : present;
    list.push(key);
    if (++done % SERVICES_PER_PACE === 0) await pace();
  }
  for (const key of change.isComplete ? unmentioned(change, table) : []) {
    for (const other of withdraw(key, table)) neighbours.add(other);
    gone.push(key);
  }
  for (const key of gone) neighbours.delete(key);
  const affected = [...neighbours].filter((key) => !change.services.has(key));
  // Gone ones last: what another Service needs, too, stays.
  const others = present.concat(affected, gone);
  const handovers = new Handovers(table);
  for (const keys of [critical, others]) {
    for (const key of keys) {
      handovers.note(key);
      if (++done % SERVICES_PER_PACE === 0) await pace();
    }
  }
  return { critical: handovers.groups(critical), others: handovers.groups(others) };
}

/** Services of which a complete change says nothing; also what an apply that ended with an error had withdrawn only here. */
function unmentioned({ services }: PlanChange, { desired, ledger }: Table): Set<ServiceKey> {
  const known = new Set([...desired.keys(), ...ledger.keys()]);
  for (const key of services.keys()) known.delete(key);
  return known;
}

/** Returns the other Services that win or lose by it; so does `withdraw`. */
function claim(plan: ServicePlan, node: NodeOptions, { desired, ledger }: Table): ServiceKey[] {
  const service = renderService(plan, node);
  desired.set(plan.key, service);
  return ledger.claim(service);
}

function withdraw(key: ServiceKey, { desired, failures, ledger }: Table): ServiceKey[] {
  desired.delete(key);
  failures.forget(key);
  return ledger.withdraw(key);
}
