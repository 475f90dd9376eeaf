// All six recorded states of kube-proxy taken over; see take-over.test.ts.

import { describe } from 'vitest';
import { ipvsKernel } from '../../lab/boot.ts';
import { RECORDED } from './recorded-proxy.ts';
import { describeTakeOvers } from './take-over-cases.ts';

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `every take-over on a real kernel${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    describeTakeOvers(['ipvs', 'iptables'].flatMap((mode) => RECORDED.map((name) => `${mode} ${name}`)));
  },
);
