// Problems as one line for a person.

import { expect, test } from 'vitest';
import { formatProblem, type Problem } from './problem.ts';

const PROBLEM: Problem = {
  object: 'Service default/web',
  field: 'spec.ports[0].port',
  reason: 'InvalidField',
  message: '0 is not valid: the port is skipped',
  remedy: 'use 1 to 65535',
};

test.each([
  [
    'all of its parts',
    {},
    'Service default/web: spec.ports[0].port: 0 is not valid: the port is skipped; use 1 to 65535',
  ],
  [
    'no single field to blame',
    { field: '' },
    'Service default/web: 0 is not valid: the port is skipped; use 1 to 65535',
  ],
  [
    'no remedy',
    { remedy: '' },
    'Service default/web: spec.ports[0].port: 0 is not valid: the port is skipped',
  ],
])('a problem with %s', (_case, change, line) => {
  expect(formatProblem({ ...PROBLEM, ...change })).toBe(line);
});
