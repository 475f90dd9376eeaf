// What every problem must be, whatever it is about: an object, a field, a message and a remedy, each one printable line.

import { expect } from 'vitest';
import { formatProblem, type Problem } from '../src/model/problem.ts';

const PRINTABLE = /^[\x20-\x7e]{1,400}$/;

/** The problems as lines for a person; fails on one that is no single printable line, or lacks a field or a remedy. */
export function problemLines(problems: readonly Problem[]): string[] {
  return problems.map((problem) => {
    // Problems beyond the limit on one object are only counted: no single field is to blame.
    if (problem.reason !== 'LimitExceeded') expect(problem.field).toMatch(PRINTABLE);
    for (const text of [problem.object, problem.message, problem.remedy]) expect(text).toMatch(PRINTABLE);
    return formatProblem(problem);
  });
}
