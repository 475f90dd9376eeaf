// A port for `pointsman plan`: reads come from a real kernel (or from an empty one), writes are only written down.
// The backend cannot tell it from the real port, so what it records is what the agent would do.

import type { Family, IpAddress } from '../../model/ip.ts';
import { formatScheduling } from '../../model/schedulers.ts';
import { formatOperationObject, type IpvsOperation } from '../../kernel/ipvs.ts';
import { formatMember } from '../../kernel/ipset-codec.ts';
import type { AddOutcome, BindOutcome, IpvsKernelPort, SetChange, KernelRules } from './port.ts';
import { decodeSchedulerFlags } from './scheduler-flags.ts';
import { kernelSetName } from './sets.ts';

/** One write that would be made. `kind` groups them for people. */
export interface PlannedWrite {
  readonly kind:
    | 'sysctl'
    | 'link'
    | 'address'
    | 'set'
    | 'member'
    | 'virtualServer'
    | 'realServer'
    | 'rules'
    | 'timeouts';
  readonly action: 'add' | 'change' | 'delete';
  /** "TCP 10.96.0.1:443", "KUBE-CLUSTER-IP 10.96.0.1,tcp:443", "net/ipv4/ip_forward = 1". */
  readonly object: string;
  /** What a person wants to know beside it ("rr", "weight 1"), or the restored text of rules; '' for nothing. */
  readonly detail: string;
}

/** The switches of ours that are on where nobody set them. Source: Documentation/networking/ipvs-sysctl.rst. */
const DEFAULT_ON: ReadonlySet<string> = new Set([
  'net/ipv4/vs/conn_reuse_mode',
  'net/ipv4/vs/run_estimation',
]);

/** The reads of a kernel on which nothing was ever set up. */
export const EMPTY_KERNEL: Pick<
  IpvsKernelPort,
  | 'services'
  | 'servicePieces'
  | 'service'
  | 'destinations'
  | 'timeouts'
  | 'setMembers'
  | 'setHeaders'
  | 'boundAddresses'
  | 'rules'
  | 'rulesFingerprint'
  | 'sysctl'
  | 'hasRandomFully'
> = {
  services: async () => [],
  async *servicePieces() {},
  service: () => undefined,
  destinations: async () => [],
  timeouts: () => ({ tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 }),
  setMembers: async () => null,
  setHeaders: async () => new Map(),
  boundAddresses: async () => null,
  rules: async (): Promise<KernelRules> => new Map(),
  rulesFingerprint: () => null,
  sysctl: (path) => (DEFAULT_ON.has(path) ? '1' : '0'),
  hasRandomFully: () => true,
};

/** Wraps the reads of `kernel`; `writes` grows in the order in which the agent would write. */
export class RecordingPort implements IpvsKernelPort {
  readonly writes: PlannedWrite[] = [];
  readonly services: IpvsKernelPort['services'];
  readonly servicePieces: IpvsKernelPort['servicePieces'];
  readonly service: IpvsKernelPort['service'];
  readonly destinations: IpvsKernelPort['destinations'];
  readonly timeouts: IpvsKernelPort['timeouts'];
  readonly setMembers: IpvsKernelPort['setMembers'];
  readonly setHeaders: IpvsKernelPort['setHeaders'];
  readonly boundAddresses: IpvsKernelPort['boundAddresses'];
  readonly rules: IpvsKernelPort['rules'];
  readonly rulesFingerprint: IpvsKernelPort['rulesFingerprint'];
  readonly sysctl: IpvsKernelPort['sysctl'];
  readonly hasRandomFully: IpvsKernelPort['hasRandomFully'];

  constructor(kernel: typeof EMPTY_KERNEL) {
    this.services = () => kernel.services();
    this.servicePieces = () => kernel.servicePieces();
    this.service = (key) => kernel.service(key);
    this.destinations = (key) => kernel.destinations(key);
    this.timeouts = () => kernel.timeouts();
    this.setMembers = (set, family) => kernel.setMembers(set, family);
    this.setHeaders = () => kernel.setHeaders();
    this.boundAddresses = () => kernel.boundAddresses();
    this.rules = (family) => kernel.rules(family);
    this.rulesFingerprint = (family) => kernel.rulesFingerprint(family);
    this.sysctl = (path) => kernel.sysctl(path);
    this.hasRandomFully = (family) => kernel.hasRandomFully(family);
  }

  async applyIpvs(operations: Iterable<IpvsOperation>): Promise<[]> {
    for (const operation of operations) this.writes.push(plannedIpvs(operation));
    return [];
  }

  async createSet(set: SetChange['set'], family: Family): Promise<void> {
    this.writes.push({ kind: 'set', action: 'add', object: kernelSetName(set, family), detail: '' });
  }

  async growSet(set: SetChange['set'], family: Family, maxMembers: number): Promise<void> {
    this.writes.push({
      kind: 'set',
      action: 'change',
      object: kernelSetName(set, family),
      detail: `room for ${maxMembers}`,
    });
  }

  async addMembers(changes: readonly SetChange[]): Promise<AddOutcome> {
    return { failures: this.members(changes, 'add'), present: [] };
  }

  async deleteMembers(changes: readonly SetChange[]): Promise<[]> {
    return this.members(changes, 'delete');
  }

  private members(changes: readonly SetChange[], action: 'add' | 'delete'): [] {
    for (const { set, family, members } of changes) {
      for (const member of members) {
        this.writes.push({
          kind: 'member',
          action,
          object: `${kernelSetName(set, family)} ${formatMember(member)}`,
          detail: '',
        });
      }
    }
    return [];
  }

  async createLink(): Promise<void> {
    this.writes.push({ kind: 'link', action: 'add', object: 'kube-ipvs0', detail: 'dummy' });
  }

  async bind(addresses: readonly IpAddress[]): Promise<BindOutcome> {
    for (const address of addresses)
      this.writes.push({ kind: 'address', action: 'add', object: address, detail: 'kube-ipvs0' });
    return { failures: [], present: [] };
  }

  async unbind(addresses: readonly IpAddress[]): Promise<[]> {
    for (const address of addresses)
      this.writes.push({ kind: 'address', action: 'delete', object: address, detail: 'kube-ipvs0' });
    return [];
  }

  async restoreRules(family: Family, text: string): Promise<void> {
    this.writes.push({ kind: 'rules', action: 'change', object: family, detail: text });
  }

  writeSysctl(path: string, value: string): void {
    this.writes.push({ kind: 'sysctl', action: 'change', object: `${path} = ${value}`, detail: '' });
  }
}

function plannedIpvs(operation: IpvsOperation): PlannedWrite {
  const object = formatOperationObject(operation);
  switch (operation.op) {
    case 'NEW_SERVICE':
    case 'SET_SERVICE': {
      const { scheduler, flags, timeoutSeconds } = operation.service;
      const detail = formatScheduling(scheduler, decodeSchedulerFlags(flags), timeoutSeconds);
      return {
        kind: 'virtualServer',
        action: operation.op === 'NEW_SERVICE' ? 'add' : 'change',
        object,
        detail,
      };
    }
    case 'DEL_SERVICE':
      return { kind: 'virtualServer', action: 'delete', object, detail: '' };
    case 'NEW_DEST':
    case 'SET_DEST':
      return {
        kind: 'realServer',
        action: operation.op === 'NEW_DEST' ? 'add' : 'change',
        object,
        detail: `weight ${operation.destination.weight}`,
      };
    case 'DEL_DEST':
      return { kind: 'realServer', action: 'delete', object, detail: '' };
    case 'SET_CONFIG':
      return { kind: 'timeouts', action: 'change', object: JSON.stringify(operation.timeouts), detail: '' };
    case 'ZERO':
    case 'FLUSH':
    case 'NEW_DAEMON':
    case 'DEL_DAEMON':
      throw new Error(`the backend never asks for ${operation.op}`);
  }
}
