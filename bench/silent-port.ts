// A kernel port that reads an empty kernel and writes nothing, so that what an agent costs by itself can be measured anywhere.

import type { IpvsKernelPort } from '../src/backends/ipvs/port.ts';
import { EMPTY_KERNEL } from '../src/backends/ipvs/recording-port.ts';
import type { IpvsOperation } from '../src/kernel/ipvs.ts';

/** Everything succeeds and is forgotten. Operations are taken one by one, as a kernel takes them. */
export const SILENT_PORT: IpvsKernelPort = {
  ...EMPTY_KERNEL,
  async applyIpvs(operations: Iterable<IpvsOperation>) {
    for (const _ of operations);
    return [];
  },
  createSet: async () => {},
  growSet: async () => {},
  addMembers: async () => ({ failures: [], present: [] }),
  deleteMembers: async () => [],
  createLink: async () => {},
  bind: async () => ({ failures: [], present: [] }),
  unbind: async () => [],
  restoreRules: async () => {},
  writeSysctl: () => {},
};
