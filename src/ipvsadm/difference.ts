// From the table that is to the table that a file of rules describes: the fewest operations, and the order that keeps traffic flowing:
// first what is new, then what changes, then what goes. Nothing that stays is torn down. Pure.

import { isSameSettings, type IpvsDestination, type IpvsService } from '../kernel/ipvs-codec.ts';
import type { IpvsTimeouts } from '../kernel/ipvs-daemon-codec.ts';
import type { IpvsOperation } from '../kernel/ipvs.ts';
import type { RuleEntry, RuleTable } from './rule-table.ts';

/** One difference, in both forms; `before` undefined = it is new, `after` undefined = it goes. */
export type Difference =
  | {
      readonly what: 'service';
      readonly before: IpvsService | undefined;
      readonly after: IpvsService | undefined;
    }
  | {
      readonly what: 'server';
      readonly service: IpvsService;
      readonly before: IpvsDestination | undefined;
      readonly after: IpvsDestination | undefined;
    }
  | { readonly what: 'timeouts'; readonly before: IpvsTimeouts; readonly after: IpvsTimeouts };

/** Every difference, service by service, in the order of the tables: what goes with its service comes right behind it. */
export function diffTables(
  current: RuleTable,
  wanted: RuleTable,
  currentTimeouts: IpvsTimeouts,
): Difference[] {
  const differences: Difference[] = [];
  const after = { ...currentTimeouts, ...wanted.timeouts };
  const names = ['tcpSeconds', 'tcpFinSeconds', 'udpSeconds'] as const;
  if (names.some((name) => after[name] !== currentTimeouts[name]))
    differences.push({ what: 'timeouts', before: currentTimeouts, after });
  for (const [key, entry] of current.entries) {
    if (!wanted.entries.has(key)) diffEntry(entry, undefined, differences);
  }
  for (const [key, entry] of wanted.entries) diffEntry(current.entries.get(key), entry, differences);
  return differences;
}

function diffEntry(
  before: RuleEntry | undefined,
  after: RuleEntry | undefined,
  differences: Difference[],
): void {
  const service = after?.service ?? before?.service;
  if (service === undefined) return;
  if (before === undefined || after === undefined || !isSameSettings(before.service, after.service))
    differences.push({ what: 'service', before: before?.service, after: after?.service });
  for (const [key, server] of before?.servers ?? []) {
    const wanted = after?.servers.get(key);
    if (wanted === undefined || !isSameServer(server, wanted))
      differences.push({ what: 'server', service, before: server, after: wanted });
  }
  for (const [key, server] of after?.servers ?? []) {
    if (before?.servers.has(key) !== true)
      differences.push({ what: 'server', service, before: undefined, after: server });
  }
}

function isSameServer(a: IpvsDestination, b: IpvsDestination): boolean {
  return (
    a.forwarding === b.forwarding &&
    a.weight === b.weight &&
    a.upperThreshold === b.upperThreshold &&
    a.lowerThreshold === b.lowerThreshold &&
    a.tunnel?.type === b.tunnel?.type &&
    a.tunnel?.port === b.tunnel?.port &&
    a.tunnel?.flags === b.tunnel?.flags
  );
}

/** The operations that carry the differences out: new and changed first, then what goes. */
export function operationsOf(differences: readonly Difference[]): IpvsOperation[] {
  const first: IpvsOperation[] = [];
  const last: IpvsOperation[] = [];
  const goingServices = new Set<IpvsService>();
  for (const each of differences) {
    if (each.what === 'timeouts') {
      first.push({ op: 'SET_CONFIG', timeouts: each.after });
    } else if (each.what === 'service') {
      if (each.after !== undefined)
        first.push({ op: each.before === undefined ? 'NEW_SERVICE' : 'SET_SERVICE', service: each.after });
      else if (each.before !== undefined) {
        // Deleting a service deletes its servers.
        goingServices.add(each.before);
        last.push({ op: 'DEL_SERVICE', service: each.before });
      }
    } else if (each.after !== undefined) {
      first.push({
        op: each.before === undefined ? 'NEW_DEST' : 'SET_DEST',
        service: each.service,
        destination: each.after,
      });
    } else if (each.before !== undefined && !goingServices.has(each.service)) {
      last.push({ op: 'DEL_DEST', service: each.service, destination: each.before });
    }
  }
  return [...first, ...last];
}
