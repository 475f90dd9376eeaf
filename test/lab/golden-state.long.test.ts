// Every golden case of the kernel state on a real kernel; golden-state.test.ts has a third of them.

import { describeGoldenStates, GOLDEN_STATES } from './golden-state-cases.ts';

describeGoldenStates(GOLDEN_STATES);
