// Writes the groups of a change. What is remembered of Services that failed is not what the kernel has: they are read again first, and
// written again with all they need, whatever is believed.

import type { ServiceKey } from '../../model/names.ts';
import { joinedOf, type Groups } from './handovers.ts';
import { isAddressService } from './observe.ts';
import type { IpvsKernelPort } from './port.ts';
import { SERVICES_PER_PACE, type IpvsSettings } from './settings.ts';
import type { PresentState } from './step-builder.ts';
import type { Table } from './table.ts';
import type { Writer } from './writer.ts';

export class GroupWriter {
  private readonly port: IpvsKernelPort;
  private readonly table: Table;
  private readonly writer: Writer;
  private readonly settings: () => IpvsSettings;

  constructor(port: IpvsKernelPort, table: Table, writer: Writer, settings: () => IpvsSettings) {
    this.port = port;
    this.table = table;
    this.writer = writer;
    this.settings = settings;
  }

  /** Writes the groups in their order, those with failures before all others; returns the number of operations. `present` as in StepOptions. */
  async write(groups: Groups, present: PresentState | null): Promise<number> {
    const { desired, failures } = this.table;
    const isBroken = (key: ServiceKey): boolean => failures.has(key) && desired.has(key);
    const broken = groups.filter((group) => group.some(isBroken));
    let operations = 0;
    if (broken.length > 0) {
      await this.reread(broken.flat());
      operations += await this.writeAgain(broken);
    }
    const isDone = new Set(broken);
    const sound = broken.length === 0 ? groups : groups.filter((group) => !isDone.has(group));
    return operations + (await this.writer.write(sound.flat(), { present, joined: joinedOf(sound) }));
  }

  /** Writes everything that these Services need, and removes what was left over; returns the number of operations. They were read before. */
  async writeAgain(groups: Groups): Promise<number> {
    const { failures, ledger } = this.table;
    const keys = groups.flat();
    for (const key of keys) failures.forget(key);
    const unwanted = failures.leftovers.take(ledger);
    return this.writer.write(keys, { isRepair: true, joined: joinedOf(groups), unwanted });
  }

  /** Reads what the kernel holds for these Services: what is there and not known as ours is somebody else's. */
  async reread(keys: Iterable<ServiceKey>): Promise<void> {
    let read = 0;
    for (const key of keys) {
      await this.rereadOne(key);
      if (++read % SERVICES_PER_PACE === 0) await this.settings().pace();
    }
  }

  private async rereadOne(key: ServiceKey): Promise<void> {
    const { applied, desired, foreign, ledger } = this.table;
    const known = [...(desired.get(key)?.virtualServers ?? []), ...ledger.effectiveOf(key).virtualServers];
    for (const [id, service] of new Map(known.map((each) => [each.id, each.service]))) {
      if (this.table.holderOf(id) !== key) continue;
      const found = this.port.service(service);
      if (found === undefined) {
        applied.delete(id);
        foreign.delete(id);
      } else if (applied.has(id) && isAddressService(found)) {
        applied.set(id, { service: found, destinations: await this.port.destinations(service) });
      } else {
        foreign.set(id, service);
      }
    }
  }
}
