// Verification of virtual and real servers: every one, every field. See verifier.ts.

import type { ServiceKey } from '../../model/names.ts';
import {
  formatEndpoint,
  formatServiceKey,
  isSameSettings,
  type IpvsService,
} from '../../kernel/ipvs-codec.ts';
import { realServerId, type AddressService, type DesiredVirtualServer } from './desired.ts';
import { isSameDestination, type AppliedVirtualServer } from './diff.ts';
import { isAddressService } from './observe.ts';
import type { Repair, Repairs } from './repairs.ts';
import type { VerifierParts } from './verifier.ts';

/** Virtual servers whose real servers one slice reads. */
const SERVERS_PER_SLICE = 32;
/** About how many virtual servers the kernel lists in one piece, for estimates. */
const SERVICES_PER_PIECE = 90;

type ServerVerifierParts = Pick<VerifierParts, 'port' | 'table' | 'writer'>;

export class ServerVerifier {
  private readonly parts: ServerVerifierParts;
  private readonly repairs: Repairs;

  constructor(parts: ServerVerifierParts, repairs: Repairs) {
    this.parts = parts;
    this.repairs = repairs;
  }

  /** About how many slices a comparison of all of them has. */
  get slices(): number {
    const servers = this.parts.table.applied.size;
    return Math.ceil(servers / SERVICES_PER_PIECE) + Math.ceil(servers / SERVERS_PER_SLICE);
  }

  /** Existence and settings of every virtual server; learns of foreign ones. */
  async *checkVirtualServers(): AsyncGenerator<void> {
    const { applied, foreign } = this.parts.table;
    const seen = new Set<AppliedVirtualServer>();
    const others = new Set<string>();
    for await (const piece of this.parts.port.servicePieces()) {
      const suspects: AddressService[] = [];
      for (const service of piece) {
        const id = formatServiceKey(service);
        const known = applied.get(id);
        if (known === undefined) others.add(id);
        else seen.add(known);
        if (known === undefined ? !foreign.has(id) : !isSameSettings(known.service, service))
          this.confirm(service, id, suspects);
      }
      await this.repairVirtualServers(suspects);
      yield;
    }
    let read = 0;
    for (const [id, service] of foreign) {
      if (others.has(id)) continue;
      if (this.parts.port.service(service) === undefined) foreign.delete(id);
      if (++read % SERVERS_PER_SLICE === 0) yield;
    }
    // A listing may miss what is there; what was changed since is a new object and is asked for singly, too.
    const missing = [...applied.values()].filter((known) => !seen.has(known)).map(({ service }) => service);
    for (let at = 0; at < missing.length; at += SERVERS_PER_SLICE) {
      await this.repairVirtualServers(missing.slice(at, at + SERVERS_PER_SLICE));
      yield;
    }
  }

  /** A listed service is not as we know it: by now it may be gone, ours and right, or foreign. */
  private confirm(listed: IpvsService, id: string, suspects: AddressService[]): void {
    const { applied, foreign } = this.parts.table;
    if (applied.has(id)) {
      if (isAddressService(listed)) suspects.push(listed);
    } else if (this.parts.port.service(listed) !== undefined) {
      foreign.set(id, listed);
    }
  }

  /** Reads each of these alone; those that are really missing or changed are made right, with everything that hangs on them. */
  private async repairVirtualServers(services: readonly AddressService[]): Promise<void> {
    const { applied, drains, failures, lingering } = this.parts.table;
    const owners = new Set<ServiceKey>();
    const repairs: { readonly owner: ServiceKey; readonly repair: Repair }[] = [];
    // Read before anything is noted: a read that fails must not leave a service out of `applied` with nobody to make it.
    const read = services.map((service) => [service, this.parts.port.service(service)] as const);
    for (const [service, found] of read) {
      const id = formatServiceKey(service);
      const known = applied.get(id);
      const owner = this.parts.table.holderOf(id);
      if (known === undefined || (owner !== undefined && failures.has(owner))) continue;
      if (owner === undefined) {
        // It stayed although no Service wants it (excludeCIDRs, a refused removal); once it is gone nobody misses it.
        if (found === undefined) applied.delete(id);
        continue;
      }
      if (found === undefined) {
        applied.delete(id);
        drains.drop(id);
        // Of one that lingers only what hangs on it is left to remove.
        if (!lingering.has(id))
          repairs.push({ owner, repair: { kind: 'virtualServer', object: id, what: 'was missing' } });
      } else if (isAddressService(found) && !isSameSettings(found, known.service)) {
        applied.set(id, { service: found, destinations: known.destinations });
        repairs.push({ owner, repair: { kind: 'virtualServer', object: id, what: settingsText(found) } });
      } else {
        continue;
      }
      owners.add(owner);
    }
    if (owners.size > 0) await this.parts.writer.write([...owners]);
    for (const { owner, repair } of repairs) if (!failures.has(owner)) this.repairs.note(repair);
  }

  /** Every real server with every field. `onError` hears of what could not be read; the others are compared all the same. */
  async *checkRealServers(onError: (error: unknown) => void): AsyncGenerator<void> {
    const { ledger } = this.parts.table;
    let read = 0;
    for (const key of [...ledger.keys()]) {
      const state = ledger.effectiveOf(key);
      for (const virtualServer of state.virtualServers) {
        // The Service may have changed between two slices; its next turn is in the next cycle.
        if (ledger.effectiveOf(key) !== state) break;
        try {
          await this.checkServersOf(key, virtualServer);
        } catch (error) {
          onError(error);
        }
        if (++read % SERVERS_PER_SLICE === 0) yield;
      }
    }
  }

  private async checkServersOf(
    key: ServiceKey,
    { id, service, realServers }: DesiredVirtualServer,
  ): Promise<void> {
    const { applied, drains, failures } = this.parts.table;
    const known = applied.get(id);
    if (known === undefined || failures.has(key)) return;
    const read = async (): Promise<string | null> => {
      const found = await this.parts.port.destinations(service);
      const difference = differenceOf(found, realServers, drains.of(id));
      if (difference !== null) applied.set(id, { service: known.service, destinations: found });
      return difference;
    };
    if ((await read()) === null) return;
    const difference = await read();
    if (difference === null) {
      applied.set(id, known);
      return;
    }
    if (this.parts.port.service(service) === undefined) {
      applied.set(id, known);
      await this.repairVirtualServers([service]);
      return;
    }
    await this.parts.writer.write([key]);
    if (!failures.has(key)) this.repairs.note({ kind: 'realServers', object: id, what: difference });
  }
}

const NONE: ReadonlyMap<string, unknown> = new Map();

/**
 * What differs between the servers in the kernel and the planned ones, as one phrase; null when nothing does. Those that drain may be there, with
 * weight 0.
 */
function differenceOf(
  found: AppliedVirtualServer['destinations'],
  planned: DesiredVirtualServer['realServers'],
  draining: ReadonlyMap<string, unknown> = NONE,
): string | null {
  const byId = new Map(found.map((each) => [realServerId(each), each]));
  for (const server of planned) {
    const id = realServerId(server);
    const each = byId.get(id);
    if (each === undefined) return `${formatEndpoint(server.address, server.port)} was missing`;
    if (!isSameDestination(each, server))
      return `${formatEndpoint(server.address, server.port)} had weight ${each.weight}, ${each.forwarding ?? ''} and thresholds ${each.upperThreshold ?? 0}:${each.lowerThreshold ?? 0}`;
    byId.delete(id);
  }
  for (const [id, extra] of byId) {
    const isDraining = draining.has(id);
    if (isDraining && extra.weight === 0) continue;
    const what = isDraining ? `had weight ${extra.weight} in its drain` : 'was there and is not planned';
    return `${formatEndpoint(extra.address, extra.port)} ${what}`;
  }
  return null;
}

function settingsText({ scheduler, flags, timeoutSeconds, netmask }: AddressService): string {
  return `had scheduler ${scheduler}, flags ${flags}, timeout ${timeoutSeconds} s, netmask ${netmask}`;
}
