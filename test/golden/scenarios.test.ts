// The list of scenarios and what holds them agree: nothing is named that does not exist, nothing exists that is not named.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CASE_NAMES, readCase } from './cases.ts';
import { SCENARIOS } from './scenarios.ts';

describe('the list of scenarios', () => {
  test('says for each what holds it, or why nothing does', () => {
    const bare = SCENARIOS.filter(
      ({ cases = [], changes = [], states = [], notHere = '' }) =>
        cases.length + changes.length + states.length === 0 && notHere === '',
    );
    expect(bare).toEqual([]);
  });

  test('names every case, and only cases that exist', () => {
    const named = new Set(SCENARIOS.flatMap(({ cases = [] }) => cases));
    expect([...named].sort()).toEqual(CASE_NAMES);
  });

  test('knows every file of a case', () => {
    const strays = CASE_NAMES.flatMap((name) => {
      const { stages, hasPlans } = readCase(name);
      const steps = stages.flatMap(({ planFile, traceFile, stateFile }) =>
        hasPlans ? [planFile, traceFile, stateFile] : [stateFile],
      );
      const known = new Set(steps.map((file) => basename(file)));
      return readdirSync(join(import.meta.dirname, name), { withFileTypes: true })
        .filter((entry) => entry.isFile() && !/^(input|step-\d+(\.delete)?)\.yaml$/.test(entry.name))
        .filter((entry) => !known.has(entry.name))
        .map((entry) => join(name, entry.name));
    });
    expect(strays).toEqual([]);
  });

  test('finds a state for every stage of a case that is about kernel state only', () => {
    const files = CASE_NAMES.map(readCase).flatMap(({ stages, hasPlans }) =>
      hasPlans ? [] : stages.map(({ stateFile }) => stateFile),
    );
    expect(files.length).toBeGreaterThan(0);
    expect(files.filter((file) => !existsSync(file))).toEqual([]);
  });

  test('names only tests that exist', () => {
    const textOf = (pattern: RegExp): string =>
      readdirSync(import.meta.dirname)
        .filter((file) => pattern.test(file))
        .map((file) => readFileSync(join(import.meta.dirname, file), 'utf8'))
        .join('');
    const [changes, states] = [textOf(/^changes\.test\.ts$/), textOf(/^kernel-state.*\.test\.ts$/)];
    const lost = SCENARIOS.flatMap((scenario) => [
      ...(scenario.changes ?? []).filter((title) => !changes.includes(`'${title}`)),
      ...(scenario.states ?? []).filter((title) => !states.includes(`'${title}`)),
    ]);
    expect(lost).toEqual([]);
  });

  test('has every star from 1 to 38: Services, slices, topology, mode ipvs and packet flows', () => {
    const stars = [...new Set(SCENARIOS.flatMap(({ star }) => star ?? []))].sort((a, b) => a - b);
    expect(stars).toEqual(Array.from({ length: 38 }, (_, i) => i + 1));
  });

  test('says nothing twice', () => {
    const texts = SCENARIOS.map(({ section, scenario }) => `${section} ${scenario}`);
    expect(texts).toEqual([...new Set(texts)]);
  });
});
