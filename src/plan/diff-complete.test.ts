// Differences between plans are complete: carrying them out on the old plan gives the new one.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { clusterEvents, nodeOptions } from '../../test/arbitraries.ts';
import { emptyPlan } from '../../test/nodes.ts';
import { compareText } from '../model/ip.ts';
import { Snapshot } from '../model/snapshot.ts';
import { diffPlans, type RealServerChange, type ServiceDiff } from './diff.ts';
import { virtualServerId } from './ownership.ts';
import { compile } from './planner.ts';
import type { ForwardingPlan, RealServer, Selection, ServicePlan } from './plan.ts';

/** A selection without its policy, which explains and does nothing. */
function forward(realServers: readonly RealServer[]): Selection {
  return { policy: 'Cluster', verdict: 'forward', realServers };
}

/** What a plan does, without the order in which it is added and without what only explains it. */
function canonical(plans: ForwardingPlan['services']): unknown {
  const id = (one: { address: string; port: number; protocol?: string }): string =>
    `${one.protocol} ${one.address} ${one.port}`;
  const selection = (one: Selection): Selection =>
    one.verdict === 'forward'
      ? forward(one.realServers.toSorted((a, b) => compareText(id(a), id(b))))
      : { policy: 'Cluster', verdict: one.verdict };
  return [...plans.values()]
    .map(({ key, virtualServers, localEndpoints, healthCheck }) => ({
      key,
      healthCheck,
      virtualServers: virtualServers
        .map((one) => ({ ...one, internal: selection(one.internal), external: selection(one.external) }))
        .sort((a, b) => compareText(virtualServerId(a), virtualServerId(b))),
      localEndpoints: localEndpoints.toSorted((a, b) => compareText(id(a), id(b))),
    }))
    .sort((a, b) => compareText(a.key, b.key));
}

/** Carries the differences out on a plan: the other half of the property below. */
function applyDiff(before: ServicePlan | undefined, diff: ServiceDiff): ServicePlan | undefined {
  if (diff.change === 'removed') return undefined;
  const virtualServers = new Map((before?.virtualServers ?? []).map((one) => [virtualServerId(one), one]));
  for (const change of diff.virtualServers) {
    if (change.change === 'added') virtualServers.set(change.id, change.virtualServer);
    else if (change.change === 'removed') virtualServers.delete(change.id);
    else {
      const old = virtualServers.get(change.id)!;
      const settings = Object.fromEntries(change.settings.map(({ field, after }) => [field, after]));
      const selection = (clients: 'internal' | 'external'): Selection => {
        const verdict = (settings[clients] ?? old[clients].verdict) as Selection['verdict'];
        return verdict === 'forward'
          ? forward(applyRealServers(old[clients], clients, change.realServers))
          : { policy: 'Cluster', verdict };
      };
      virtualServers.set(change.id, {
        ...old,
        ...settings,
        internal: selection('internal'),
        external: selection('external'),
      });
    }
  }
  const local = new Map((before?.localEndpoints ?? []).map((one) => [JSON.stringify(one), one]));
  for (const { change, localEndpoint } of diff.localEndpoints) {
    if (change === 'added') local.set(JSON.stringify(localEndpoint), localEndpoint);
    else local.delete(JSON.stringify(localEndpoint));
  }
  const healthCheck = diff.healthCheck === null ? (before?.healthCheck ?? null) : diff.healthCheck.after;
  return {
    ...emptyPlan(diff.key),
    virtualServers: [...virtualServers.values()],
    localEndpoints: [...local.values()],
    healthCheck,
  };
}

function applyRealServers(
  old: Selection,
  clients: 'internal' | 'external',
  changes: readonly RealServerChange[],
): RealServer[] {
  const id = (one: RealServer): string => `${one.address} ${one.port}`;
  const servers = new Map(old.verdict === 'forward' ? old.realServers.map((one) => [id(one), one]) : []);
  for (const change of changes) {
    if (change.clients !== 'all' && change.clients !== clients) continue;
    if (change.change === 'removed') servers.delete(id(change.realServer));
    else if (change.change === 'added') servers.set(id(change.realServer), change.realServer);
    else servers.set(id(change.after), change.after);
  }
  return [...servers.values()];
}

test('the old plan and the differences give the new plan', () => {
  fc.assert(
    fc.property(
      clusterEvents,
      clusterEvents,
      nodeOptions,
      nodeOptions,
      (first, second, options, laterOptions) => {
        const snapshot = new Snapshot();
        for (const event of first) snapshot.apply(event);
        const before = compile(snapshot, options);
        for (const event of second) snapshot.apply(event);
        const after = compile(snapshot, laterOptions);
        const diff = diffPlans(before, after);
        const result = new Map(before.services);
        for (const one of diff.services) {
          const next = applyDiff(result.get(one.key), one);
          if (next === undefined) result.delete(one.key);
          else result.set(one.key, next);
        }
        expect(canonical(result)).toEqual(canonical(after.services));
        expect(diffPlans(after, after)).toEqual({ node: [], services: [] });
      },
    ),
    { numRuns: 500 },
  );
});
