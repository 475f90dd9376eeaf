// Looks at the servers that drain and deletes those whose last connection has ended or whose time is up, then the virtual servers that
// lingered for them. A look costs one listing of the servers of that virtual server; how often is said in drains.ts. IPVS has no command for
// single connections: deleting the server is what cuts those that are left.

import { PointsmanError } from '../../model/errors.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { IpvsOperation } from '../../kernel/ipvs.ts';
import { formatServiceKey } from '../../kernel/ipvs-codec.ts';
import { realServerId } from './desired.ts';
import type { AppliedVirtualServer } from './diff.ts';
import { formatDrain, type Drain, type DrainEnd, type VirtualServerDrains } from './drains.ts';
import type { CountedDestination, IpvsKernelPort } from './port.ts';
import type { IpvsSettings } from './settings.ts';
import type { Table } from './table.ts';
import type { Writer } from './writer.ts';

/** Virtual servers that one look reads. */
const SERVERS_PER_LOOK = 64;
const NONE: ReadonlySet<string> = new Set();
const ENOENT = 2;
const ESRCH = 3;

/** Connections that were cut because the time of a drain was up. */
export interface CutConnections {
  /** "TCP 10.96.0.1:80 -> 10.244.1.5:8080" */
  readonly object: string;
  readonly connections: number;
  readonly drainedForMs: number;
}

interface DrainerParts {
  readonly port: IpvsKernelPort;
  readonly table: Table;
  readonly writer: Writer;
  readonly settings: () => IpvsSettings;
  readonly onCut: (cut: CutConnections) => void;
}

interface Look {
  readonly of: VirtualServerDrains;
  readonly ends: Map<string, DrainEnd>;
}

export class Drainer {
  private readonly parts: DrainerParts;
  /** Virtual servers of which a drained server could not be deleted. */
  private readonly refused = new Set<string>();

  constructor(parts: DrainerParts) {
    this.parts = parts;
  }

  /** Milliseconds until the next look is due, 0 when it is overdue; null when nothing drains. */
  dueInMs(): number | null {
    const next = this.parts.table.drains.nextPollMs();
    return next === null ? null : Math.max(0, next - this.parts.settings().now());
  }

  /**
   * Looks at some of the virtual servers that are due; returns the number of operations. What is refused is noted and tried again at the next look,
   * and with `isRetry` what was refused before is due, too.
   */
  async look(isRetry = false): Promise<number> {
    const { table, settings, writer } = this.parts;
    const nowMs = settings().now();
    for (const id of this.refused) if (table.drains.of(id) === undefined) this.noteDeleted(id);
    const due = table.drains.due(nowMs, SERVERS_PER_LOOK, isRetry ? this.refused : NONE);
    if (due.length === 0) return 0;
    const looks: Look[] = [];
    const operations: IpvsOperation[] = [];
    for (const of of due) {
      const look = { of, ends: await this.readEnds(of, nowMs) };
      looks.push(look);
      // With the virtual server itself, all of its servers go at once.
      if (this.isLast(look)) continue;
      for (const [id, end] of look.ends) {
        const server = of.servers.get(id);
        if (server !== undefined && end !== 'gone')
          operations.push({ op: 'DEL_DEST', service: of.service, destination: server });
      }
    }
    if (operations.length > 0) await this.delete(operations, looks);
    const finished: ServiceKey[] = [];
    const going = new Map<string, AppliedVirtualServer>();
    for (const look of looks) {
      const { id, key } = look.of;
      const applied = table.applied.get(id);
      if (applied !== undefined && this.isLast(look)) going.set(id, applied);
      if (this.settle(look, nowMs)) finished.push(key);
    }
    const written = await writer.write(finished);
    // One that could not go has its servers still, as none of them was deleted singly.
    for (const [id, applied] of going) if (table.applied.has(id)) table.applied.set(id, applied);
    return operations.length + written;
  }

  private async readEnds(of: VirtualServerDrains, nowMs: number): Promise<Map<string, DrainEnd>> {
    try {
      return this.endsOf(of, await this.parts.port.destinations(of.service), nowMs);
    } catch (error) {
      this.noteRefused(of.id, error);
      return new Map();
    }
  }

  /** Which drains of a virtual server are over. */
  private endsOf(
    { id, servers }: VirtualServerDrains,
    found: readonly CountedDestination[],
    nowMs: number,
  ): Map<string, DrainEnd> {
    const byId = new Map(found.map((each) => [realServerId(each), each]));
    const ends = new Map<string, DrainEnd>();
    for (const [serverId, drain] of servers) {
      const server = byId.get(serverId);
      if (server === undefined) ends.set(serverId, 'gone');
      else {
        drain.activeConnections = server.activeConnections;
        drain.inactiveConnections = server.inactiveConnections;
        if (connectionsOf(drain) === 0) ends.set(serverId, 'drained');
        else if (nowMs >= drain.deadlineMs) {
          ends.set(serverId, 'deadline');
          this.parts.onCut({
            object: formatDrain(id, drain),
            connections: connectionsOf(drain),
            drainedForMs: nowMs - drain.sinceMs,
          });
        }
      }
    }
    return ends;
  }

  private isLast({ of, ends }: Look): boolean {
    return this.parts.table.lingering.has(of.id) && ends.size === of.servers.size;
  }

  private async delete(operations: readonly IpvsOperation[], looks: readonly Look[]): Promise<void> {
    const { port } = this.parts;
    const byId = new Map(looks.map((look) => [look.of.id, look]));
    for (const { of } of looks) this.noteDeleted(of.id);
    try {
      for (const { operation, error } of await port.applyIpvs(operations)) {
        if (error.errno === ENOENT || error.errno === ESRCH || operation.op !== 'DEL_DEST') continue;
        const id = formatServiceKey(operation.service);
        byId.get(id)?.ends.delete(realServerId(operation.destination));
        this.noteRefused(id, error);
      }
    } catch (error) {
      // The outcome is unknown: the next look shows it.
      for (const look of looks) {
        if (look.ends.size > 0) this.noteRefused(look.of.id, error);
        look.ends.clear();
      }
    }
  }

  private noteRefused(id: string, error: unknown): void {
    if (!(error instanceof PointsmanError)) throw error;
    this.refused.add(id);
    this.parts.table.failures.noteNode(drainObject(id), error);
  }

  private noteDeleted(id: string): void {
    if (this.refused.delete(id)) this.parts.table.failures.settleNode(drainObject(id));
  }

  /** Keeps the table true after a look; returns true when the Service must be written: its virtual server is to go, or to be as it was. */
  private settle(look: Look, nowMs: number): boolean {
    const { table } = this.parts;
    const { of, ends } = look;
    const { id } = of;
    const isLast = this.isLast(look);
    table.drains.settle(id, ends, nowMs);
    const applied = table.applied.get(id);
    if (applied === undefined || ends.size === 0) return false;
    const destinations = applied.destinations.filter((each) => !ends.has(realServerId(each)));
    table.applied.set(id, { service: applied.service, destinations });
    return isLast || (ends.size === of.servers.size && applied.service.scheduler === 'sh');
  }
}

function connectionsOf({ activeConnections, inactiveConnections }: Drain): number {
  return activeConnections + inactiveConnections;
}

/** The name of a failure to delete servers of a virtual server that have drained. */
function drainObject(id: string): string {
  return `drained servers of ${id}`;
}
