// Golden cases: the objects with which kube-proxy was recorded, and the plan they must give, as text to read.
// <case>/*.yaml are the objects, steps/<step>/*.yaml what comes later (*.delete.yaml: what goes); plan.txt beside them is what is expected.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { ClusterEvent, ClusterObject } from '../../src/model/objects.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { compile } from '../../src/plan/compile.ts';
import { virtualServerId } from '../../src/plan/diff.ts';
import type { ForwardingPlan, Selection } from '../../src/plan/plan.ts';
import { RECORDED_NODE } from './recorded-node.ts';

function eventsOf(folder: string): ClusterEvent[] {
  const files = readdirSync(folder)
    .filter((file) => file.endsWith('.yaml'))
    .sort();
  return files.flatMap((file) =>
    parseAllDocuments(readFileSync(join(folder, file), 'utf8')).map((document): ClusterEvent => {
      const object = document.toJS() as ClusterObject;
      const { namespace, name } = object.metadata!;
      return file.endsWith('.delete.yaml')
        ? { type: 'delete', kind: object.kind, namespace: namespace ?? '', name: name! }
        : { type: 'apply', object };
    }),
  );
}

function formatSelection(selection: Selection): string[] {
  if (selection.verdict !== 'forward') return [`    ${selection.verdict}`];
  return selection.realServers.map(
    ({ address, port, weight, isLocal }) =>
      `    ${address} ${port} weight ${weight}${isLocal ? ' local' : ''}`,
  );
}

/** The plan as text. Real servers stand in the order in which node1 adds them. */
function formatPlan({ services }: ForwardingPlan): string {
  const lines: string[] = [];
  for (const { key, virtualServers, localEndpoints } of services.values()) {
    lines.push(key);
    for (const one of virtualServers) {
      const sources = one.sourceRanges === null ? '' : ` sources ${one.sourceRanges.join(' ')}`;
      const affinity = one.affinitySeconds === 0 ? '' : ` affinity ${one.affinitySeconds}`;
      lines.push(
        `  ${virtualServerId(one)} ${one.portName} ${one.scheduler}${affinity} masquerade ${one.masquerade}${sources}`,
      );
      lines.push(...formatSelection(one.internal));
      if (one.external !== one.internal) lines.push('   outside', ...formatSelection(one.external));
    }
    for (const { protocol, address, port } of localEndpoints)
      lines.push(`  hairpin ${protocol} ${address} ${port}`);
  }
  return `${lines.join('\n')}\n`;
}

const ROOT = import.meta.dirname;
const CASES = readdirSync(ROOT, { withFileTypes: true })
  .filter((entry) => entry.isDirectory())
  .map(({ name }) => name)
  .sort();

test.each(CASES)('%s gives the expected plan, at first and after each step', (name) => {
  const folder = join(ROOT, name);
  const snapshot = new Snapshot();
  const check = (stage: string): void => {
    expect(snapshot.problems()).toEqual([]);
    expect(formatPlan(compile(snapshot, RECORDED_NODE)), stage).toBe(
      readFileSync(join(stage, 'plan.txt'), 'utf8'),
    );
  };
  for (const event of eventsOf(folder)) snapshot.apply(event);
  check(folder);
  const steps = join(folder, 'steps');
  for (const step of existsSync(steps) ? readdirSync(steps).sort() : []) {
    for (const event of eventsOf(join(steps, step))) snapshot.apply(event);
    check(join(steps, step));
  }
});
