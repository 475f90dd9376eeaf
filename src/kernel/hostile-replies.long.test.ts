import { describe, it } from 'vitest';
import { SCENARIOS } from '../../test/fixtures/netlink/scenarios.ts';
import { assertSurvivesDamage } from '../../test/kernel/damage.ts';

describe.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
  '%s with damaged replies',
  (_, scenario) => {
    it(
      'ends in a typed error or a sound value, many thousand times',
      () => assertSurvivesDamage(scenario, 5000),
      300_000,
    );
  },
);
