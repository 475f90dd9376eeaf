// What may go wrong with the fake kernel: writes that are refused, answers that are lost, and somebody else who changes what is ours.

import { address } from './addresses.ts';
import type { FakeIpvsKernel } from './fake-ipvs-kernel.ts';

/** Writes that begin with `verb` are refused: `skip` pass, then `times` are not. 'lost answer': the next batch is; '': nothing. */
export interface Fault {
  readonly verb: string;
  readonly skip: number;
  readonly times: number;
}

export function addFault(kernel: FakeIpvsKernel, { verb, skip, times }: Fault): void {
  if (verb === 'lost answer') kernel.losesNextAnswer = true;
  else if (verb !== '')
    kernel.faults.push({ matches: (write) => write.startsWith(verb), errno: 'ENOMEM', times, skip });
}

export function clearFaults(kernel: FakeIpvsKernel): void {
  kernel.faults.length = 0;
  kernel.losesNextAnswer = false;
}

/** What somebody else may do. */
export const INTERFERENCES = [
  'service',
  'settings',
  'server',
  'weight',
  'newServer',
  'member',
  'newMember',
  'allMembers',
  'set',
  'address',
  'allAddresses',
  'link',
  'rule',
] as const;
export type Interference = (typeof INTERFERENCES)[number];

/** Somebody else changes something that is ours: `which` of several. */
export function interfere(kernel: FakeIpvsKernel, what: Interference, which: number): void {
  const pick = <T>(all: Iterable<T>): T | undefined => {
    const list = [...all];
    return list[which % Math.max(1, list.length)];
  };
  const service = pick(kernel.table.values());
  const server = pick(service?.destinations.entries() ?? []);
  const set = pick(kernel.sets.entries());
  switch (what) {
    case 'service':
      kernel.table.delete(pick(kernel.table.keys()) ?? '');
      break;
    case 'settings':
      if (service !== undefined)
        service.service = { ...service.service, scheduler: 'wlc', timeoutSeconds: 77 };
      break;
    case 'server':
      if (server !== undefined) service?.destinations.delete(server[0]);
      break;
    case 'weight':
      if (server !== undefined)
        service?.destinations.set(server[0], { ...server[1], weight: 0, upperThreshold: 5 });
      break;
    case 'newServer':
      service?.destinations.set('10.9.9.9:9', {
        ...{ address: address('10.9.9.9'), port: 9, forwarding: 'masquerade' },
        ...{ weight: 1, upperThreshold: 0, lowerThreshold: 0 },
      });
      break;
    case 'member':
      set?.[1].delete(pick(set[1].keys()) ?? '');
      break;
    case 'newMember':
      kernel.sets
        .get('KUBE-CLUSTER-IP')
        ?.set('10.9.9.9,tcp:9', { address: address('10.9.9.9'), protocol: 6, port: 9 });
      break;
    case 'allMembers':
      set?.[1].clear();
      break;
    case 'set':
      if (set !== undefined) {
        kernel.sets.delete(set[0]);
        kernel.headers.delete(set[0]);
      }
      break;
    case 'address':
      kernel.addresses?.delete(pick(kernel.addresses) ?? address('192.0.2.1'));
      break;
    case 'allAddresses':
      kernel.addresses?.clear();
      break;
    case 'link':
      kernel.addresses = null;
      break;
    case 'rule':
      kernel.changeRules(which % 2 === 0 ? 'IPv4' : 'IPv6', which % 3 === 0 ? 'nat' : 'filter', (chains) => {
        const chain = pick(chains.entries());
        if (chain === undefined) return;
        if (which % 5 === 0) chains.delete(chain[0]);
        else chain[1].splice(which % Math.max(1, chain[1].length), 1);
      });
      break;
  }
}
