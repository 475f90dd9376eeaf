// The plan as JSON to read and to compare: deterministic, one line where it fits, members that say nothing left out. An endpoint is
// "address:port", then "local" where it runs on node1 and its weight where that is not 1, in the order in which node1 adds it.

import { formatEndpoint } from '../../src/model/endpoints.ts';
import type { Problem } from '../../src/model/problem.ts';
import { virtualServerId } from '../../src/plan/ownership.ts';
import type {
  AllowedSources,
  ForwardingPlan,
  HealthCheck,
  RealServer,
  Selection,
  ServicePlan,
  VirtualServer,
} from '../../src/plan/plan.ts';

type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json };
type Members = Readonly<Record<string, Json | undefined>>;

/** The line width of oxfmt, which must find nothing to do in the files. */
const WIDTH = 110;

/** The Services of a plan, and what is wrong with the objects it was compiled from. */
export function formatPlanJson({ services }: ForwardingPlan, problems: readonly Problem[]): string {
  const entries = [...services.values()].map((plan) => [plan.key, serviceJson(plan)] as const);
  const all = [...problems, ...[...services.values()].flatMap((plan) => plan.problems)];
  return `${print({ services: Object.fromEntries(entries), ...given({ problems: all.map(problemText) }) }, 0, 0, true)}\n`;
}

function serviceJson(plan: ServicePlan): Json {
  return given({
    createdAt: plan.createdAtMs === 0 ? undefined : new Date(plan.createdAtMs).toISOString(),
    isCritical: plan.isCritical || undefined,
    virtualServers: plan.virtualServers.map(virtualServerJson),
    lost: plan.lost.map(({ id, addresses, owner }) => given({ id, addresses, owner })),
    localEndpoints: plan.localEndpoints.map(
      ({ protocol, address, port }) => `${protocol} ${formatEndpoint(address, port)}`,
    ),
    healthCheck: plan.healthCheck === null ? undefined : healthCheckJson(plan.healthCheck),
    leftOut: plan.leftOut.map(
      ({ portName, protocol, address, port, policy, reason }) =>
        `${formatEndpoint(address, port)} ${[portName, protocol].join(' ').trim()}, ${policy}: ${reason}`,
    ),
  });
}

function virtualServerJson(one: VirtualServer): Json {
  return given({
    frontend: virtualServerId(one),
    portName: one.portName === '' ? undefined : one.portName,
    exceptAddresses: one.exceptAddresses,
    scheduler: one.scheduler === 'rr' ? undefined : one.scheduler,
    schedulerFlags: one.schedulerFlags,
    affinitySeconds: one.affinitySeconds === 0 ? undefined : one.affinitySeconds,
    masquerade: one.masquerade,
    allowedSources: one.allowedSources === null ? undefined : sourcesJson(one.allowedSources),
    internal: selectionJson(one.internal),
    external: one.external === one.internal ? undefined : selectionJson(one.external),
  });
}

function sourcesJson({ cidrs, ownAddresses }: AllowedSources): Json {
  return { cidrs, ...given({ ownAddresses }) };
}

function selectionJson(selection: Selection): Json {
  const { policy } = selection;
  return selection.verdict === 'forward'
    ? { policy, forward: selection.realServers.map(realServerText) }
    : { policy, verdict: selection.verdict };
}

function realServerText({ address, port, weight, isLocal }: RealServer): string {
  return `${formatEndpoint(address, port)}${isLocal ? ' local' : ''}${weight === 1 ? '' : ` weight ${weight}`}`;
}

function healthCheckJson({ nodePort, localEndpoints }: HealthCheck): Json {
  return { nodePort, IPv4: localEndpoints.IPv4, IPv6: localEndpoints.IPv6 };
}

/** Without the wording, which may change. */
function problemText({ object, field, reason }: Problem): string {
  return `${object}: ${field === '' ? '' : `${field}: `}${reason}`;
}

/** Without what is undefined or an empty list. */
function given(members: Members): { readonly [name: string]: Json } {
  const kept = Object.entries(members).filter(
    ([, value]) => value !== undefined && !(Array.isArray(value) && value.length === 0),
  );
  return Object.fromEntries(kept) as { readonly [name: string]: Json };
}

/** `lead`: what stands before the value on its line; `isBroken`: on several lines though it would fit in one. */
function print(value: Json, indent: number, lead: number, isBroken = false): string {
  const line = oneLine(value);
  if (line !== null && !isBroken && lead + line.length + 1 <= WIDTH) return line;
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const pad = ' '.repeat(indent + 2);
  const isArray = Array.isArray(value);
  const items = Object.entries(value as object).map(([name, item]: [string, Json]) => {
    const before = isArray ? pad : `${pad}${JSON.stringify(name)}: `;
    return `${before}${print(item, indent + 2, before.length, !isArray && indent <= 2 && isObject(item))}`;
  });
  const [open, close] = isArray ? ['[', ']'] : ['{', '}'];
  return items.length === 0
    ? `${open}${close}`
    : `${open}\n${items.join(',\n')}\n${' '.repeat(indent)}${close}`;
}

/** null for what oxfmt writes on several lines in any case: lists of several objects. */
function oneLine(value: Json): string | null {
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const isArray = Array.isArray(value);
  const items: string[] = [];
  for (const [name, item] of Object.entries(value as object) as [string, Json][]) {
    const text = oneLine(item);
    if (text === null) return null;
    items.push(isArray ? text : `${JSON.stringify(name)}: ${text}`);
  }
  if (isArray) return items.length > 1 && value.every(isObject) ? null : `[${items.join(', ')}]`;
  return items.length === 0 ? '{}' : `{ ${items.join(', ')} }`;
}

function isObject(value: Json): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
