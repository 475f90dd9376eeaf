// What is recorded and replayed plans the same as what was told: random histories, and a recording that is kept, so that the format cannot
// change unnoticed.

import { readFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { compile } from '../../src/plan/planner.ts';
import { clusterEvents, nodeOptions } from '../arbitraries.ts';
import { RECORDED_CASE, RECORDING, recordCase } from '../fixtures/recordings/record.ts';
import { readCase } from '../golden/cases.ts';
import { formatPlanJson } from '../golden/plan-json.ts';
import { linesOf, newPath, record, replayAll } from './recordings.ts';

function snapshotOf(events: readonly ClusterEvent[]): Snapshot {
  const snapshot = new Snapshot();
  for (const event of events) snapshot.apply(event);
  return snapshot;
}

test('any history, in any batches: the same snapshot and the same plan, at the mark and at the end', async () => {
  const batches = fc.array(clusterEvents, { maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(batches, fc.nat({ max: 6 }), nodeOptions, async (batches, first, node) => {
      const { snapshot, batches: after, end } = await replayAll(await record(batches, first));
      expect(end.how).toBe('end');
      const told = [batches.slice(0, first).flat(), batches.flat()];
      const replayed = [snapshot, [...snapshot, ...after.flat()]];
      expect(after.length).toBe(batches.slice(first).filter(({ length }) => length > 0).length);
      for (const [index, events] of told.entries()) {
        const [original, copy] = [snapshotOf(events), snapshotOf(replayed[index] ?? [])];
        expect(copy).toEqual(original);
        expect(copy.problems()).toEqual(original.problems());
        expect(compile(copy, node)).toEqual(compile(original, node));
      }
    }),
  );
});

describe('the recording that is kept', () => {
  test('replays into the plans of its golden case, each after its batch', async () => {
    const { stages, nodeOptions: optionsFor } = readCase(RECORDED_CASE);
    const { snapshot, batches, end } = await replayAll(RECORDING);
    expect([batches.length + 1, end.how]).toEqual([stages.length, 'end']);
    const known = new Snapshot();
    for (const [index, events] of [snapshot, ...batches].entries()) {
      for (const event of events) known.apply(event);
      const plan = formatPlanJson(compile(known, optionsFor(known)), known.problems());
      expect(plan).toBe(readFileSync(stages[index]?.planFile ?? '', 'utf8'));
    }
  });

  test('is what a Recorder writes: a change of the format needs a new FORMAT_VERSION and test/fixtures/recordings/record.ts', async () => {
    const path = newPath();
    await recordCase(path);
    expect(await linesOf(path)).toEqual(await linesOf(RECORDING));
    expect((await stat(RECORDING)).size).toBeLessThan(4096);
  });
});
