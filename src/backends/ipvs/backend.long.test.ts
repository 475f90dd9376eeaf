import { it } from 'vitest';
import { assertAnyWayEndsTheSame } from '../../../test/any-way.ts';

it(
  'ends in the same kernel state by any of many thousand ways as from scratch',
  () => assertAnyWayEndsTheSame(20_000),
  600_000,
);
