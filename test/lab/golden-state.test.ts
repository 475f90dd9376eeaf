// The recorded cases and every third of the others on a real kernel; golden-state.long.test.ts has all.

import { describeGoldenStates, GOLDEN_STATES, isRecorded } from './golden-state-cases.ts';

describeGoldenStates(GOLDEN_STATES.filter(({ name }, index) => isRecorded(name) || index % 3 === 0));
