// Random histories of a node's life for the real kernel: what happens in the cluster, changes of the node, failures on the way, restarts
// of the agent. Made from a fixed seed, so that the guest that lives them and the test that judges them mean the same ones, and so that
// one that fails can be lived again. Pure.

import fc from 'fast-check';
import type { ClusterEvent } from '../../src/model/objects.ts';
import type { NodeOptions } from '../../src/plan/plan.ts';
import { clusterEvents, nodeOptions } from '../arbitraries.ts';
import { FAILURES, type Fault } from './faulty-port.ts';

/** Any other seed gives other histories, and all of them must end well. */
const SEED = 20_261_121;

export interface HistoryStep {
  readonly events: readonly ClusterEvent[];
  /** From here on; null: as before. */
  readonly node: NodeOptions | null;
  readonly faults: readonly Fault[];
  /** Whether the agent ends after one sync, whatever became of it, and another one starts with everything known by then. */
  readonly isCutShort: boolean;
}

export interface History {
  readonly node: NodeOptions;
  readonly steps: readonly HistoryStep[];
  /** On the way to an empty cluster at the end. */
  readonly lastFaults: readonly Fault[];
}

const FAMILIES: NodeOptions['families'] = ['IPv4', 'IPv6'];
const node = nodeOptions.map((options): NodeOptions => ({ ...options, families: FAMILIES }));

const fault: fc.Arbitrary<Fault> = fc.record({
  verb: fc.constantFrom(
    ...['', 'NEW_SERVICE', 'NEW_DEST', 'SET_', 'DEL_SERVICE', 'DEL_DEST', 'SYSCTL', 'LINK', 'CREATE'],
    ...['ADD ', 'ADD ', 'ADD POINTSMAN', 'ADD KUBE-LOAD-BALANCER-FW', 'ADD KUBE-CLUSTER-IP', 'DEL ', 'DEL '],
    ...['BIND', 'BIND', 'UNBIND', 'UNBIND', 'RESTORE', 'RESTORE'],
    ...['READ rules', 'READ fingerprint', 'READ service ', 'READ set', 'READ destinations', 'READ '],
  ),
  how: fc.constantFrom(...FAILURES),
  skip: fc.constantFrom(0, 0, 0, 1, 2, 5),
  times: fc.integer({ min: 1, max: 2 }),
});
const faults = fc.array(fault, { minLength: 1, maxLength: 3 });

const step: fc.Arbitrary<HistoryStep> = fc.record({
  events: fc.oneof(
    { weight: 5, arbitrary: clusterEvents.map((events) => events.slice(0, 8)) },
    { weight: 1, arbitrary: fc.constant<ClusterEvent[]>([]) },
  ),
  node: fc.option(node, { freq: 3 }),
  faults,
  isCutShort: fc.oneof(
    { weight: 4, arbitrary: fc.constant(false) },
    { weight: 1, arbitrary: fc.constant(true) },
  ),
});

const history: fc.Arbitrary<History> = fc.record({
  node,
  steps: fc.array(step, { minLength: 2, maxLength: 5 }),
  lastFaults: faults,
});

/** The first `count` histories of the seed: always the same ones, however many are asked for. */
export function histories(count: number, seed = SEED): History[] {
  return fc.sample(history, { seed, numRuns: count });
}

/** Everything that happens in the cluster, in order. */
export function eventsOf({ steps }: History): ClusterEvent[] {
  return steps.flatMap(({ events }) => events);
}

/** The node as it is at the end. */
export function lastNodeOf({ node: first, steps }: History): NodeOptions {
  return steps.reduce((current, { node: next }) => next ?? current, first);
}

/** What takes away all that these events brought. */
export function deletionsOf(events: readonly ClusterEvent[]): ClusterEvent[] {
  return events.flatMap((event) => {
    if (event.type !== 'apply') return [];
    const { kind, metadata } = event.object;
    const namespace = kind === 'Node' ? '' : (metadata?.namespace ?? 'default');
    return [{ type: 'delete', kind, namespace, name: metadata?.name ?? '' }];
  });
}
