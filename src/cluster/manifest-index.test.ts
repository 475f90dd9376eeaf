// Which file speaks for an object: events against a model that lays the files over one another.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { ClusterEvent } from '../model/objects.ts';
import { ManifestIndex } from './manifest-index.ts';
import { parseManifest, type ManifestObject } from './manifest-parse.ts';

/** Services of the given names and ports, as parsed. */
function services(ports: Readonly<Record<string, number>>): readonly ManifestObject[] {
  const items = Object.entries(ports).map(([name, port]) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { clusterIP: '10.96.0.1', ports: [{ port }] },
  }));
  return parseManifest(JSON.stringify({ apiVersion: 'v1', kind: 'List', items }), 'x.json').objects;
}

/** "+web:80" for an object that is there, "-web" for one that is gone. */
function show(event: ClusterEvent): string {
  if (event.type === 'delete') return `-${event.name}`;
  const { spec } = event.object as unknown as { spec: { ports: readonly { port: number }[] } };
  return `+${event.object.metadata?.name}:${spec.ports[0]?.port}`;
}

test('the first file by name wins, the next takes over, and both are reported meanwhile', () => {
  const index = new ManifestIndex();
  const replace = (file: string, ports: Readonly<Record<string, number>>): string[] =>
    index.replace(file, services(ports)).map(show);
  expect(replace('b.yaml', { web: 2 })).toEqual(['+web:2']);
  expect(replace('a.yaml', { web: 1, db: 1 })).toEqual(['+web:1', '+db:1']);
  expect(index.duplicates()).toMatchObject([
    { file: 'b.yaml', object: 'Service default/web', message: expect.stringMatching(/^a\.yaml declares/) },
  ]);
  expect(replace('b.yaml', { web: 3 })).toEqual([]);
  expect(replace('c.yaml', { web: 1 })).toEqual([]);
  expect(replace('a.yaml', { db: 1 })).toEqual(['+web:3']);
  expect(replace('b.yaml', {})).toEqual(['+web:1']);
  expect(index.duplicates()).toEqual([]);
  expect(replace('c.yaml', {})).toEqual(['-web']);
});

test('after any changes the events add up to what the files declare, and nothing is told that did not change', () => {
  const files = fc.dictionary(fc.constantFrom('web', 'db', 'api'), fc.integer({ min: 1, max: 3 }));
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.constantFrom('a.yaml', 'b.yaml', 'c.yaml'), files), { maxLength: 12 }),
      (steps) => {
        const index = new ManifestIndex();
        const present = new Map<string, Readonly<Record<string, number>>>();
        const told = new Map<string, string>();
        for (const [file, ports] of steps) {
          present.set(file, ports);
          for (const event of index.replace(file, services(ports)).map(show)) {
            const name = event.slice(1).replace(/:.*/, '');
            expect(told.get(name)).not.toBe(event);
            if (event.startsWith('-')) expect(told.delete(name)).toBe(true);
            else told.set(name, event);
          }
          const winners: Record<string, number> = {};
          for (const other of ['c.yaml', 'b.yaml', 'a.yaml']) Object.assign(winners, present.get(other));
          expect([...told.values()].sort()).toEqual(
            Object.entries(winners)
              .map(([name, port]) => `+${name}:${port}`)
              .sort(),
          );
        }
      },
    ),
  );
});
