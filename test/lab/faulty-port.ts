// A kernel port that fails on purpose, around one that works: it refuses single operations without doing them, does them and loses the
// answer, or gives up in the middle. Writes down what it was asked to write. Knows nothing of what the callers make of it.

import type {
  AddOutcome,
  AddressFailure,
  BindOutcome,
  CountedDestination,
  IpvsKernelPort,
  KernelRules,
  MemberFailure,
  SetChange,
  SetHeader,
} from '../../src/backends/ipvs/port.ts';
import { kernelSetName, type SetName } from '../../src/backends/ipvs/sets.ts';
import { formatMember, type SetMember } from '../../src/kernel/ipset-codec.ts';
import { formatOperationObject, type IpvsFailure, type IpvsOperation } from '../../src/kernel/ipvs.ts';
import { formatServiceKey, type IpvsService, type ServiceKey } from '../../src/kernel/ipvs-codec.ts';
import type { IpvsTimeouts } from '../../src/kernel/ipvs-daemon-codec.ts';
import { KernelError, PointsmanError } from '../../src/model/errors.ts';
import type { Family, IpAddress } from '../../src/model/ip.ts';

/**
 * refuse   it is not done, the others of the same call are; the kernel says ENOMEM (iptables: its program fails)
 * lose     it is done, and so are the others of the same call, but no answer comes: KERNEL_OVERRUN
 * give up  it and what follows in the same call are not done, what comes before is: KERNEL_TIMEOUT
 */
export const FAILURES = ['refuse', 'lose', 'give up'] as const;

/** One kind of failure that is to come. */
export interface Fault {
  /**
   * Strikes what begins with this: "NEW_SERVICE TCP 10.96.0.1:443", "ADD KUBE-CLUSTER-IP 10.96.0.1,tcp:443", "BIND 10.96.0.1",
   * "CREATE KUBE-CLUSTER-IP", "LINK kube-ipvs0", "RESTORE IPv4", "SYSCTL net/ipv4/ip_forward=1", "READ rules IPv4"; '' strikes anything.
   */
  readonly verb: string;
  readonly how: (typeof FAILURES)[number];
  /** So many pass before. */
  readonly skip: number;
  /** How often it strikes. */
  readonly times: number;
}

const ENOMEM = 12;

export class FaultyPort implements IpvsKernelPort {
  /** Every write that was asked for, in order, spelled as in `Fault`. */
  writes: string[] = [];
  /** How often a fault struck. */
  strikes = 0;
  private readonly port: IpvsKernelPort;
  private faults: { -readonly [key in keyof Fault]: Fault[key] }[] = [];

  constructor(port: IpvsKernelPort) {
    this.port = port;
  }

  /** These from now on, and none of those before. */
  setFaults(faults: readonly Fault[]): void {
    this.faults = faults.map((fault) => ({ ...fault }));
  }

  private strike(what: string): Fault['how'] | null {
    const fault = this.faults.find(({ verb, times }) => times > 0 && what.startsWith(verb));
    if (fault === undefined) return null;
    if (fault.skip-- > 0) return null;
    fault.times--;
    this.strikes++;
    return fault.how;
  }

  async services(): Promise<readonly IpvsService[]> {
    this.read('services');
    return this.port.services();
  }

  async *servicePieces(): AsyncGenerator<readonly IpvsService[]> {
    this.read('service pieces');
    yield* this.port.servicePieces();
  }

  service(key: ServiceKey): IpvsService | undefined {
    this.read(`service ${formatServiceKey(key)}`);
    return this.port.service(key);
  }

  async destinations(key: ServiceKey): Promise<readonly CountedDestination[]> {
    this.read(`destinations ${formatServiceKey(key)}`);
    return this.port.destinations(key);
  }

  timeouts(): IpvsTimeouts {
    this.read('timeouts');
    return this.port.timeouts();
  }

  async setMembers(set: SetName, family: Family): Promise<readonly SetMember[] | null> {
    this.read(`set ${kernelSetName(set, family)}`);
    return this.port.setMembers(set, family);
  }

  async setHeaders(): Promise<ReadonlyMap<string, SetHeader>> {
    this.read('set headers');
    return this.port.setHeaders();
  }

  async boundAddresses(): Promise<readonly IpAddress[] | null> {
    this.read('addresses');
    return this.port.boundAddresses();
  }

  async rules(family: Family): Promise<KernelRules> {
    this.read(`rules ${family}`);
    return this.port.rules(family);
  }

  rulesFingerprint(family: Family): string | null {
    this.read(`fingerprint ${family}`);
    return this.port.rulesFingerprint(family);
  }

  sysctl(path: string): string | null {
    this.read(`sysctl ${path}`);
    return this.port.sysctl(path);
  }

  hasRandomFully(family: Family): boolean {
    return this.port.hasRandomFully(family);
  }

  applyIpvs(operations: Iterable<IpvsOperation>): Promise<readonly IpvsFailure[]> {
    return this.writeAll({
      items: [...operations],
      spell: (operation) => `${operation.op} ${formatOperationObject(operation)}`,
      pass: (passed) => this.port.applyIpvs(passed),
      refuse: (operation, error): IpvsFailure => ({ operation, error }),
      itemOf: ({ operation }) => operation,
    });
  }

  async addMembers(changes: readonly SetChange[]): Promise<AddOutcome> {
    const present: SetChange[] = [];
    const failures = await this.changeMembers('ADD', changes, async (passed) => {
      const outcome = await this.port.addMembers(passed);
      present.push(...outcome.present);
      return outcome.failures;
    });
    return { failures, present };
  }

  deleteMembers(changes: readonly SetChange[]): Promise<readonly MemberFailure[]> {
    return this.changeMembers('DEL', changes, (passed) => this.port.deleteMembers(passed));
  }

  private changeMembers(
    verb: string,
    changes: readonly SetChange[],
    pass: (changes: readonly SetChange[]) => Promise<readonly MemberFailure[]>,
  ): Promise<readonly MemberFailure[]> {
    const items = changes.flatMap((change) => change.members.map((member) => ({ change, member })));
    return this.writeAll({
      items,
      spell: ({ change, member }) =>
        `${verb} ${kernelSetName(change.set, change.family)} ${formatMember(member)}`,
      pass: (passed) => {
        const members = new Set(passed.map(({ member }) => member));
        const left = changes.map((change) => ({
          ...change,
          members: change.members.filter((member) => members.has(member)),
        }));
        return pass(left.filter((change) => change.members.length > 0));
      },
      refuse: ({ change: { set, family }, member }, error): MemberFailure => ({ set, family, member, error }),
      itemOf: (failure) => items.find(({ member }) => member === failure.member),
    });
  }

  async bind(addresses: readonly IpAddress[]): Promise<BindOutcome> {
    const present: IpAddress[] = [];
    const failures = await this.changeAddresses('BIND', addresses, async (passed) => {
      const outcome = await this.port.bind(passed);
      present.push(...outcome.present);
      return outcome.failures;
    });
    return { failures, present };
  }

  unbind(addresses: readonly IpAddress[]): Promise<readonly AddressFailure[]> {
    return this.changeAddresses('UNBIND', addresses, (passed) => this.port.unbind(passed));
  }

  private changeAddresses(
    verb: string,
    addresses: readonly IpAddress[],
    pass: (addresses: readonly IpAddress[]) => Promise<readonly AddressFailure[]>,
  ): Promise<readonly AddressFailure[]> {
    return this.writeAll({
      items: addresses,
      spell: (address) => `${verb} ${address}`,
      pass,
      refuse: (address, error): AddressFailure => ({ address, error }),
      itemOf: ({ address }) => address,
    });
  }

  createSet(set: SetName, family: Family): Promise<void> {
    return this.write(`CREATE ${kernelSetName(set, family)}`, () => this.port.createSet(set, family));
  }

  growSet(set: SetName, family: Family, maxMembers: number): Promise<void> {
    return this.write(`GROW ${kernelSetName(set, family)}`, () => this.port.growSet(set, family, maxMembers));
  }

  createLink(): Promise<void> {
    return this.write('LINK kube-ipvs0', () => this.port.createLink());
  }

  restoreRules(family: Family, text: string): Promise<void> {
    return this.write(`RESTORE ${family}`, () => this.port.restoreRules(family, text));
  }

  writeSysctl(path: string, value: string): void {
    const write = `SYSCTL ${path}=${value}`;
    this.writes.push(write);
    const how = this.strike(write);
    if (how === 'refuse' || how === 'give up') throw failureOf(how, write);
    this.port.writeSysctl(path, value);
    if (how === 'lose') throw failureOf(how, write);
  }

  private read(what: string): void {
    const how = this.strike(`READ ${what}`);
    if (how !== null) throw failureOf(how, `READ ${what}`);
  }

  private async write(write: string, pass: () => Promise<void>): Promise<void> {
    this.writes.push(write);
    const how = this.strike(write);
    if (how === 'refuse' || how === 'give up') throw failureOf(how, write);
    await pass();
    if (how === 'lose') throw failureOf(how, write);
  }

  private async writeAll<T, F>(call: {
    readonly items: readonly T[];
    readonly spell: (item: T) => string;
    readonly pass: (items: readonly T[]) => Promise<readonly F[]>;
    readonly refuse: (item: T, error: KernelError) => F;
    readonly itemOf: (failure: F) => T | undefined;
  }): Promise<readonly F[]> {
    const passed: T[] = [];
    const failures: F[] = [];
    let thrown: PointsmanError | null = null;
    for (const item of call.items) {
      const write = call.spell(item);
      this.writes.push(write);
      const how = this.strike(write);
      if (how === 'refuse') {
        failures.push(call.refuse(item, refusalOf(write)));
        continue;
      }
      if (how !== null) thrown = failureOf(how, write);
      if (how === 'give up') break;
      passed.push(item);
    }
    if (passed.length > 0) failures.push(...(await call.pass(passed)));
    if (thrown !== null) throw thrown;
    // As promised: in the order of what they are about.
    const position = new Map(call.items.map((item, index) => [item, index]));
    const positionOf = (failure: F): number => position.get(call.itemOf(failure) as T) ?? call.items.length;
    return failures.sort((one, other) => positionOf(one) - positionOf(other));
  }
}

function refusalOf(what: string): KernelError {
  const [operation = ''] = what.split(' ', 1);
  return new KernelError(operation, what.slice(operation.length + 1), ENOMEM, 'ENOMEM', 'made to fail');
}

function failureOf(how: Fault['how'], what: string): PointsmanError {
  if (how === 'lose') return new PointsmanError('KERNEL_OVERRUN', `${what}: made to lose its answer`);
  if (how === 'give up') return new PointsmanError('KERNEL_TIMEOUT', `${what}: made to give up`);
  return what.startsWith('RESTORE')
    ? new PointsmanError('TOOL_FAILED', `${what}: made to fail`)
    : refusalOf(what);
}
