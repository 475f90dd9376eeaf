import { it } from 'vitest';
import {
  assertAnyWayEndsTheSame,
  assertDriftIsRepaired,
  assertRefusedRepairsAreRetried,
} from '../../../test/any-way.ts';

it(
  'ends in the same kernel state by any of many thousand ways as from scratch, and leaks nothing on it',
  () => assertAnyWayEndsTheSame(6000),
  900_000,
);

it(
  'puts right whatever somebody else changes, in many thousand cases',
  () => assertDriftIsRepaired(6000),
  900_000,
);

it(
  'tries repairs again that were refused, in many thousand cases',
  () => assertRefusedRepairsAreRetried(6000),
  900_000,
);
