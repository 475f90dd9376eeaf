// The plan that is kept up to date, on random clusters: whatever comes, in whatever order and portions, it is the one compiled from scratch.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { clusterEvents, nodeOptions } from '../../test/arbitraries.ts';
import { PlannerDriver } from '../../test/planner-driver.ts';
import { isSameData } from '../model/equal.ts';
import type { ServiceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { compileService } from './compile.ts';
import { claimsOf } from './ownership.ts';
import type { ForwardingPlan, NodeOptions } from './plan.ts';

/** Equal, and in the same order. The quick test first: what vitest does with two plans takes a hundred times as long. */
function expectSamePlan(actual: ForwardingPlan, expected: ForwardingPlan): void {
  const [left, right] = [[...actual.services], [...expected.services]];
  if (!isSameData(left, right)) expect(left).toEqual(right);
  expect(actual.node).toBe(expected.node);
}

/** The Services that have another plan, come or go. */
function differing(before: ForwardingPlan['services'], after: ForwardingPlan['services']): ServiceKey[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys].filter((key) => !isSameData(before.get(key), after.get(key))).sort();
}

/** What happens to a planner: an event, other facts of the node, or that somebody takes the changes. */
type Step =
  | { readonly do: 'event'; readonly event: ClusterEvent }
  | { readonly do: 'node'; readonly node: NodeOptions }
  | { readonly do: 'take' };

const steps: fc.Arbitrary<Step[]> = clusterEvents.chain((events) =>
  fc
    .array(
      fc.oneof(
        { weight: 5, arbitrary: fc.constant(null) },
        { weight: 3, arbitrary: fc.constant<Step>({ do: 'take' }) },
        { weight: 1, arbitrary: nodeOptions.map((node): Step => ({ do: 'node', node })) },
      ),
      { minLength: events.length, maxLength: events.length },
    )
    .map((between) =>
      events.flatMap((event, index): Step[] => {
        const step = between[index] ?? null;
        return [{ do: 'event', event }, ...(step === null ? [] : [step])];
      }),
    ),
);

test('any events in any portions, and other facts of the node between them, end in the plan compiled from scratch', () => {
  fc.assert(
    fc.property(nodeOptions, steps, (node, history) => {
      const driver = new PlannerDriver(node);
      for (const step of history) {
        if (step.do === 'event') driver.apply(step.event);
        else if (step.do === 'node') driver.setNode(step.node);
        else driver.takeChanges();
      }
      driver.takeChanges();
      expectSamePlan(driver.planner.plan(), driver.fresh());
      expect(driver.planner.size).toBe(driver.accumulated.size);
      expect(new Set(driver.planner.keys())).toEqual(new Set(driver.accumulated.keys()));
    }),
    { numRuns: 1000 },
  );
});

test('changes name exactly the Services whose plan differs, and add up to the plan', () => {
  fc.assert(
    fc.property(nodeOptions, steps, (node, history) => {
      const driver = new PlannerDriver(node);
      let before: ForwardingPlan['services'] = new Map();
      for (const step of history) {
        if (step.do === 'event') driver.apply(step.event);
        else if (step.do === 'node') driver.setNode(step.node);
        if (step.do !== 'take') continue;
        const plans = new Map(driver.planner.plan().services);
        const changes = driver.takeChanges();
        const after = driver.fresh().services;
        expect([...changes.keys()].sort()).toEqual(differing(before, after));
        for (const [key, plan] of changes) expect(plan).toBe(driver.planner.get(key) ?? null);
        for (const [key, plan] of plans) if (!changes.has(key)) expect(driver.planner.get(key)).toBe(plan);
        before = after;
      }
      driver.takeChanges();
      expect(driver.takeChanges()).toEqual(new Map());
      expectSamePlan({ node: driver.planner.node, services: sorted(driver) }, driver.planner.plan());
      expect(driver.planner.problems().length).toBe(
        [...driver.accumulated.values()].flatMap(({ problems }) => problems).length,
      );
    }),
    { numRuns: 500 },
  );
});

/** What was accumulated, in the order of the plan. */
function sorted({ accumulated, planner }: PlannerDriver): ForwardingPlan['services'] {
  const order = [...planner.plan().services.keys()];
  return new Map([...accumulated].sort(([a], [b]) => order.indexOf(a) - order.indexOf(b)));
}

test('an event compiles only the Services that it names, and changes only those and who shares a claim with them', () => {
  fc.assert(
    fc.property(nodeOptions, clusterEvents, (node, events) => {
      const driver = new PlannerDriver(node);
      for (const event of events) {
        const claimsBefore = claimsOfAll(driver);
        driver.snapshot.reads = 0;
        const concerned = driver.apply(event);
        const changes = driver.takeChanges();
        expect(driver.snapshot.reads).toBe(concerned.length);
        const claimsAfter = claimsOfAll(driver);
        const touched = new Set(
          concerned.flatMap((key) => [...(claimsBefore.get(key) ?? []), ...(claimsAfter.get(key) ?? [])]),
        );
        for (const key of changes.keys()) {
          const isNeighbour = claimsAfter.get(key)?.some((claim) => touched.has(claim)) ?? false;
          expect(concerned.includes(key) || isNeighbour, key).toBe(true);
        }
      }
    }),
    { numRuns: 300 },
  );
});

/** What each Service would claim if it were alone. */
function claimsOfAll({ snapshot, planner }: PlannerDriver): Map<ServiceKey, string[]> {
  const claims = new Map<ServiceKey, string[]>();
  for (const key of snapshot.services()) {
    const { service, slices } = snapshot.get(key)!;
    claims.set(key, claimsOf(compileService(service, slices, planner.node), planner.node));
  }
  return claims;
}

test('the order of objects does not matter', () => {
  fc.assert(
    fc.property(
      clusterEvents.chain((events) => {
        // The last event of each object: their order between objects is what is turned.
        const last = [...new Map(events.map((event) => [identityOf(event), event])).values()];
        return fc.tuple(fc.constant(last), fc.shuffledSubarray(last, { minLength: last.length }));
      }),
      nodeOptions,
      ([events, shuffled], node) => {
        const [one, other] = [new PlannerDriver(node), new PlannerDriver(node)];
        for (const event of events) one.apply(event);
        for (const event of shuffled) {
          other.apply(event);
          other.takeChanges();
        }
        one.takeChanges();
        expectSamePlan(other.planner.plan(), one.planner.plan());
      },
    ),
    { numRuns: 300 },
  );
});

function identityOf(event: ClusterEvent): string {
  const { kind, namespace, name } =
    event.type === 'delete'
      ? event
      : {
          kind: event.object.kind,
          namespace: event.object.metadata?.namespace,
          name: event.object.metadata?.name,
        };
  return `${kind} ${kind === 'Node' ? '' : (namespace ?? 'default')}/${name}`;
}
