// What changes between two plans, for people and for programs that show it (`pointsman plan`). Complete in what is done: the old plan and
// the differences give the new plan, up to the order in which things are added and up to what only explains it (age and rank, the policy
// of a selection, what was left out or lost, problems). Backends do not use it: they compare what they render.

import { formatEndpoint } from '../model/endpoints.ts';
import { isSameData } from '../model/equal.ts';
import { compareIp, compareText } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import { virtualServerId } from './ownership.ts';
import type {
  ForwardingPlan,
  HealthCheck,
  LocalEndpoint,
  NodeOptions,
  RealServer,
  Selection,
  ServicePlan,
  VirtualServer,
} from './plan.ts';

/** One setting that has another value. Values are plain data. */
export interface SettingChange {
  readonly field: string;
  readonly before: unknown;
  readonly after: unknown;
}

/** For which clients a real server is added or removed: 'all' where a virtual server makes no difference between them. */
export type ClientClass = 'all' | 'internal' | 'external';

/** A real server that comes, goes or changes its weight or place. */
export type RealServerChange =
  | { readonly change: 'added'; readonly clients: ClientClass; readonly realServer: RealServer }
  | { readonly change: 'removed'; readonly clients: ClientClass; readonly realServer: RealServer }
  | {
      readonly change: 'changed';
      readonly clients: ClientClass;
      readonly before: RealServer;
      readonly after: RealServer;
    };

/** A virtual server that comes, goes or changes. `id` is that of `virtualServerId`. */
export type VirtualServerChange =
  | { readonly change: 'added'; readonly id: string; readonly virtualServer: VirtualServer }
  | { readonly change: 'removed'; readonly id: string; readonly virtualServer: VirtualServer }
  | {
      readonly change: 'changed';
      readonly id: string;
      /** Of SETTINGS, internal and external (the latter two: verdicts). */
      readonly settings: readonly SettingChange[];
      readonly realServers: readonly RealServerChange[];
    };

/** A hairpin entry that comes or goes. */
export interface LocalEndpointChange {
  readonly change: 'added' | 'removed';
  readonly localEndpoint: LocalEndpoint;
}

/** Everything that changes for one Service. */
export interface ServiceDiff {
  readonly key: ServiceKey;
  readonly change: 'added' | 'removed' | 'changed';
  /** Sorted by id. */
  readonly virtualServers: readonly VirtualServerChange[];
  readonly localEndpoints: readonly LocalEndpointChange[];
  /** null when it stays as it is. */
  readonly healthCheck: { readonly before: HealthCheck | null; readonly after: HealthCheck | null } | null;
}

/** Everything that changes on a node. */
export interface PlanDiff {
  /** Settings of the node, by the names of NodeOptions. */
  readonly node: readonly SettingChange[];
  /** Sorted by key. */
  readonly services: readonly ServiceDiff[];
}

/** What changes between two plans of a node; everything is added when there was none. */
export function diffPlans(before: ForwardingPlan | undefined, after: ForwardingPlan): PlanDiff {
  const keys = new Set([...(before?.services.keys() ?? []), ...after.services.keys()]);
  const services: ServiceDiff[] = [];
  for (const key of [...keys].sort(compareText)) {
    const diff = diffService(before?.services.get(key), after.services.get(key));
    if (diff !== null) services.push(diff);
  }
  return { node: before === undefined ? [] : diffNode(before.node, after.node), services };
}

/** What changes between two plans of one Service; undefined stands for no plan. null when nothing does. */
export function diffService(
  before: ServicePlan | undefined,
  after: ServicePlan | undefined,
): ServiceDiff | null {
  const key = after?.key ?? before?.key;
  if (key === undefined || before === after) return null;
  const virtualServers = diffVirtualServers(before?.virtualServers ?? [], after?.virtualServers ?? []);
  const localEndpoints = diffLocalEndpoints(before?.localEndpoints ?? [], after?.localEndpoints ?? []);
  const checks = { before: before?.healthCheck ?? null, after: after?.healthCheck ?? null };
  const healthCheck = isSameData(checks.before, checks.after) ? null : checks;
  const change = before === undefined ? 'added' : after === undefined ? 'removed' : 'changed';
  const isSame =
    change === 'changed' &&
    virtualServers.length === 0 &&
    localEndpoints.length === 0 &&
    healthCheck === null;
  return isSame ? null : { key, change, virtualServers, localEndpoints, healthCheck };
}

function diffNode(before: NodeOptions, after: NodeOptions): SettingChange[] {
  const fields = Object.keys({ ...before, ...after }).sort(compareText) as (keyof NodeOptions)[];
  return fields.flatMap((field) => settingChange(field, before[field], after[field]));
}

function diffVirtualServers(
  before: readonly VirtualServer[],
  after: readonly VirtualServer[],
): VirtualServerChange[] {
  const changes: VirtualServerChange[] = [];
  for (const { id, old, next } of pair(before, after, virtualServerId)) {
    if (old === undefined) changes.push({ change: 'added', id, virtualServer: next! });
    else if (next === undefined) changes.push({ change: 'removed', id, virtualServer: old });
    else {
      const settings = diffSettings(old, next);
      const realServers = diffSelections(old, next);
      if (settings.length + realServers.length > 0)
        changes.push({ change: 'changed', id, settings, realServers });
    }
  }
  return changes;
}

const SETTINGS = [
  'portName',
  'exceptAddresses',
  'scheduler',
  'schedulerFlags',
  'affinitySeconds',
  'masquerade',
  'allowedSources',
] as const;

function diffSettings(before: VirtualServer, after: VirtualServer): SettingChange[] {
  return [
    ...SETTINGS.flatMap((field) => settingChange(field, before[field], after[field])),
    ...settingChange('internal', before.internal.verdict, after.internal.verdict),
    ...settingChange('external', before.external.verdict, after.external.verdict),
  ];
}

function settingChange(field: string, before: unknown, after: unknown): SettingChange[] {
  return isSameData(before, after) ? [] : [{ field, before, after }];
}

function diffSelections(before: VirtualServer, after: VirtualServer): RealServerChange[] {
  if (hasOneAnswer(before) && hasOneAnswer(after))
    return diffRealServers('all', before.internal, after.internal);
  return [
    ...diffRealServers('internal', before.internal, after.internal),
    ...diffRealServers('external', before.external, after.external),
  ];
}

/** The policies may differ: on a node that runs all endpoints, Cluster and Local use the same ones. */
function hasOneAnswer({ internal, external }: VirtualServer): boolean {
  return internal === external || isSameData(realServersOf(internal), realServersOf(external));
}

function diffRealServers(clients: ClientClass, before: Selection, after: Selection): RealServerChange[] {
  const changes: RealServerChange[] = [];
  const id = ({ address, port }: RealServer): string => formatEndpoint(address, port);
  for (const { old, next } of pair(realServersOf(before), realServersOf(after), id)) {
    if (old === undefined) changes.push({ change: 'added', clients, realServer: next! });
    else if (next === undefined) changes.push({ change: 'removed', clients, realServer: old });
    else if (!isSameData(old, next)) changes.push({ change: 'changed', clients, before: old, after: next });
  }
  return changes.sort((a, b) => compareEndpoints(realServerOf(a), realServerOf(b)));
}

function realServersOf(selection: Selection): readonly RealServer[] {
  return selection.verdict === 'forward' ? selection.realServers : [];
}

function realServerOf(change: RealServerChange): RealServer {
  return change.change === 'changed' ? change.after : change.realServer;
}

function diffLocalEndpoints(
  before: readonly LocalEndpoint[],
  after: readonly LocalEndpoint[],
): LocalEndpointChange[] {
  const changes: LocalEndpointChange[] = [];
  const id = ({ protocol, address, port }: LocalEndpoint): string =>
    `${protocol} ${formatEndpoint(address, port)}`;
  for (const { old, next } of pair(before, after, id)) {
    if (old === undefined) changes.push({ change: 'added', localEndpoint: next! });
    else if (next === undefined) changes.push({ change: 'removed', localEndpoint: old });
  }
  return changes.sort(
    (a, b) =>
      compareEndpoints(a.localEndpoint, b.localEndpoint) ||
      compareText(a.localEndpoint.protocol, b.localEndpoint.protocol),
  );
}

function compareEndpoints(a: RealServer | LocalEndpoint, b: RealServer | LocalEndpoint): number {
  return compareIp(a.address, b.address) || a.port - b.port;
}

/** Puts together what has the same id, sorted by it. At least one of `old` and `next` is there. */
function pair<T>(
  before: readonly T[],
  after: readonly T[],
  idOf: (one: T) => string,
): { readonly id: string; readonly old: T | undefined; readonly next: T | undefined }[] {
  const old = new Map(before.map((one) => [idOf(one), one]));
  const next = new Map(after.map((one) => [idOf(one), one]));
  const ids = [...new Set([...old.keys(), ...next.keys()])].sort(compareText);
  return ids.map((id) => ({ id, old: old.get(id), next: next.get(id) }));
}
