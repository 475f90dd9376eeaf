// The list of scenarios and what holds them agree: nothing is named that does not exist, nothing exists that is not named.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CASE_NAMES, readCase } from './cases.ts';
import { SCENARIOS } from './scenarios.ts';

describe('the list of scenarios', () => {
  test('says for each what holds it, or why nothing does', () => {
    const bare = SCENARIOS.filter(
      ({ cases = [], changes = [], notHere = '' }) => cases.length + changes.length === 0 && notHere === '',
    );
    expect(bare).toEqual([]);
  });

  test('names every case, and only cases that exist', () => {
    const named = new Set(SCENARIOS.flatMap(({ cases = [] }) => cases));
    expect([...named].sort()).toEqual(CASE_NAMES);
  });

  test('knows every file of a case', () => {
    const strays = CASE_NAMES.flatMap((name) => {
      const steps = readCase(name).stages.flatMap(({ planFile, traceFile }) => [planFile, traceFile]);
      const known = new Set(steps.map((file) => basename(file)));
      return readdirSync(join(import.meta.dirname, name), { withFileTypes: true })
        .filter((entry) => entry.isFile() && !/^(input|step-\d+(\.delete)?)\.yaml$/.test(entry.name))
        .filter((entry) => !known.has(entry.name))
        .map((entry) => join(name, entry.name));
    });
    expect(strays).toEqual([]);
  });

  test('names only tests that exist', () => {
    const text = readFileSync(join(import.meta.dirname, 'changes.test.ts'), 'utf8');
    const titles = SCENARIOS.flatMap(({ changes = [] }) => changes);
    expect(titles.filter((title) => !text.includes(`'${title}`))).toEqual([]);
  });

  test('has every star of Services, slices and topology, and of packet flows from 29 to 38', () => {
    const stars = [...new Set(SCENARIOS.flatMap(({ star }) => star ?? []))].sort((a, b) => a - b);
    const [first, flows] = [
      Array.from({ length: 9 }, (_, i) => i + 1),
      Array.from({ length: 10 }, (_, i) => i + 29),
    ];
    expect(stars).toEqual([...first, ...flows]);
  });

  test('says nothing twice', () => {
    const texts = SCENARIOS.map(({ section, scenario }) => `${section} ${scenario}`);
    expect(texts).toEqual([...new Set(texts)]);
  });
});
