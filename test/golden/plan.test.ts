// Golden cases: the plan that the objects of a case give at first and after each step, and where packets end on it.
// plan.json may be written anew (vitest -u) and is to be read before it is committed; trace.txt is written by hand from the rules of
// Kubernetes' traffic policies and of kube-proxy's chains, never from what the program prints: it is what the oracle itself is held to.

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { ServiceKey } from '../../src/model/names.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { sameNodeOptions } from '../../src/plan/node-options.ts';
import { compile, Planner } from '../../src/plan/planner.ts';
import type { ForwardingPlan } from '../../src/plan/plan.ts';
import { tracePacket } from '../../src/plan/trace.ts';
import { CASE_NAMES, readCase, type GoldenCase, type Stage } from './cases.ts';
import { formatPlanJson } from './plan-json.ts';
import { formatTrace, parseTraceLines } from './trace-lines.ts';

interface Reached {
  readonly stage: Stage;
  /** Compiled from scratch. */
  readonly plan: ForwardingPlan;
  /** Brought there by compiling what the events touched. */
  readonly incremental: ForwardingPlan;
  readonly json: string;
}

/** The plans of all stages, one after the other. */
function follow({ stages, nodeOptions }: GoldenCase): Reached[] {
  const snapshot = new Snapshot();
  const planner = new Planner(snapshot, nodeOptions(snapshot));
  return stages.map((stage) => {
    const touched = new Set<ServiceKey>();
    for (const event of stage.events) for (const key of snapshot.apply(event).services) touched.add(key);
    const node = nodeOptions(snapshot);
    const isSameNode = sameNodeOptions(node, planner.node);
    planner.setNode(node);
    for (const key of isSameNode ? touched : new Set([...touched, ...snapshot.services()]))
      planner.recompile(key);
    planner.takeChanges();
    const plan = compile(snapshot, node);
    return { stage, plan, incremental: planner.plan(), json: formatPlanJson(plan, snapshot.problems()) };
  });
}

describe.each(CASE_NAMES.filter((name) => readCase(name).hasPlans))('%s', (name) => {
  const golden = readCase(name);
  let known: Reached[] | null = null;
  // Not before the first test runs: what compiles while tests are collected belongs to no test (mutation testing asks which one fails).
  const reach = (): Reached[] => (known ??= follow(golden));

  test.each(golden.stages.map((stage, index) => [stage.name, index] as const))(
    '%s gives the plan',
    async (_, index) => {
      const one = reach()[index]!;
      await expect(one.json).toMatchFileSnapshot(one.stage.planFile);
      expect([...one.incremental.services]).toEqual([...one.plan.services]);
    },
  );

  test('each packet ends where the rules say', () => {
    const reached = reach();
    const traced = reached.filter(({ stage }) => stage.name === 'input' || existsSync(stage.traceFile));
    const differences = traced.flatMap(({ stage, plan }) =>
      parseTraceLines(readFileSync(stage.traceFile, 'utf8')).flatMap(({ line, packet, expected }) => {
        const actual = formatTrace(tracePacket(plan, packet));
        return actual === expected ? [] : [`${stage.name} line ${line}: ${expected} <> ${actual}`];
      }),
    );
    expect(differences).toEqual([]);
  });
});
