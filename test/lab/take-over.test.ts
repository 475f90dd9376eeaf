// kube-proxy's recorded states of modes ipvs and iptables taken over under connections, given back, and cleaned up, on a real IPVS kernel.
// One case of each mode; take-over.long.test.ts has all. Mode nftables, which this kernel lacks, is in src/daemon/take-over.kernel.test.ts.

import { describe } from 'vitest';
import { ipvsKernel } from '../../lab/boot.ts';
import { describeTakeOvers } from './take-over-cases.ts';

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `take-over on a real kernel${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    describeTakeOvers(['ipvs 01-clusterip', 'iptables 01-clusterip']);
  },
);
