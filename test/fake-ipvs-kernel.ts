// A stateful stand-in for the kernel behind IpvsKernelPort, for unit tests of the backend. It refuses what the kernel refuses
// (EEXIST, ESRCH, ENOENT), counts every read and write, and can be told to misbehave. The real kernel is tested in the lab.

import { KernelError, PointsmanError } from '../src/model/errors.ts';
import type { Family, IpAddress } from '../src/model/ip.ts';
import type {
  AddOutcome,
  AddressFailure,
  CountedDestination,
  BindOutcome,
  IpvsKernelPort,
  MemberFailure,
  SetChange,
  SetHeader,
  KernelRules,
} from '../src/backends/ipvs/port.ts';
import type { IpvsTimeouts } from '../src/kernel/ipvs-daemon-codec.ts';
import type { Table } from '../src/backends/ipvs/render-rules.ts';
import { kernelSetName, maxMembersOf, SETS, type SetName } from '../src/backends/ipvs/sets.ts';
import { formatMember, type SetMember } from '../src/kernel/ipset-codec.ts';
import { formatOperationObject, type IpvsFailure, type IpvsOperation } from '../src/kernel/ipvs.ts';
import {
  formatEndpoint,
  formatServiceKey,
  type IpvsDestination,
  type IpvsService,
  type ServiceKey,
} from '../src/kernel/ipvs-codec.ts';

interface FakeService {
  service: IpvsService;
  readonly destinations: Map<string, IpvsDestination>;
}

const ERRNO = { EEXIST: 17, ESRCH: 3, ENOENT: 2, ENOMEM: 12, ENODEV: 19, IPSET_ERR_HASH_FULL: 4352 } as const;

export class FakeIpvsKernel implements IpvsKernelPort {
  readonly table = new Map<string, FakeService>();
  readonly sets = new Map<string, Map<string, SetMember>>();
  readonly headers = new Map<string, Pick<SetHeader, 'type' | 'family' | 'maxMembers'>>();
  /** Services in one piece of a listing. */
  pieceSize = 3;
  private connectionTimeouts: IpvsTimeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };
  /** Counts every change of rules, by whomever. */
  private readonly generations = new Map<Family, number>();
  private readonly chainsOfTables = new Map<string, Map<string, string[]>>();
  readonly switches = new Map<string, string>([['kernel/osrelease', '6.1.0']]);
  addresses: Set<IpAddress> | null = null;
  /** Open connections by real server: "TCP 10.96.0.1:443 -> 10.0.0.1:443". Deleting the server cuts them. */
  readonly connections = new Map<string, number>();
  /** Real servers that were deleted although they had connections. */
  readonly cut: string[] = [];
  /** The scheduler that each had then. */
  readonly cutWithScheduler = new Map<string, string>();
  /** Every write in order: "NEW_SERVICE TCP 10.96.0.1:443", "ADD KUBE-CLUSTER-IP 10.96.0.1,tcp:443", "BIND 10.96.0.1", ... */
  writes: string[] = [];
  /** Every listing read. */
  lists: string[] = [];
  /** Operations that match are refused with the errno, each as often as `times` says. */
  readonly faults: {
    readonly matches: (write: string) => boolean;
    readonly errno: keyof typeof ERRNO;
    times: number;
    /** So many that match pass before. */
    skip?: number;
  }[] = [];
  /** True: rules with the match "ipvs" are refused, with all that are restored together with them. */
  lacksIpvsMatch = false;
  /** Called after each single change of the state by a write of the backend. */
  onWrite: () => void = () => {};
  /** Once set, the next batch is applied but its answer is lost. */
  losesNextAnswer = false;

  private refuse(write: string): keyof typeof ERRNO | undefined {
    const fault = this.faults.find((each) => each.times > 0 && each.matches(write));
    if (fault === undefined) return undefined;
    if (fault.skip !== undefined && fault.skip-- > 0) return undefined;
    fault.times--;
    return fault.errno;
  }

  async services(): Promise<IpvsService[]> {
    this.lists.push('services');
    return [...this.table.values()].map(({ service }) => service);
  }

  /** A piece shows the table of when the one before it was taken, as the kernel's do. */
  async *servicePieces(): AsyncGenerator<IpvsService[]> {
    this.lists.push('service pieces');
    for (let at = 0; at < this.table.size; at += this.pieceSize) {
      const piece = [...this.table.values()].slice(at, at + this.pieceSize).map(({ service }) => service);
      await Promise.resolve();
      yield piece;
    }
  }

  service(key: ServiceKey): IpvsService | undefined {
    return this.table.get(formatServiceKey(key))?.service;
  }

  async destinations(key: ServiceKey): Promise<CountedDestination[]> {
    const id = formatServiceKey(key);
    this.lists.push(`destinations ${id}`);
    return [...(this.table.get(id)?.destinations.values() ?? [])].reverse().map((destination) => ({
      ...destination,
      activeConnections:
        this.connections.get(`${id} -> ${formatEndpoint(destination.address, destination.port)}`) ?? 0,
      inactiveConnections: 0,
    }));
  }

  timeouts(): IpvsTimeouts {
    return this.connectionTimeouts;
  }

  async setMembers(set: SetName, family: Family): Promise<SetMember[] | null> {
    this.lists.push(`set ${kernelSetName(set, family)}`);
    const members = this.sets.get(kernelSetName(set, family));
    return members === undefined ? null : [...members.values()];
  }

  async setHeaders(): Promise<Map<string, SetHeader>> {
    this.lists.push('set headers');
    return new Map(
      [...this.headers].map(([name, header]) => [
        name,
        { ...header, members: this.sets.get(name)?.size ?? 0 },
      ]),
    );
  }

  async boundAddresses(): Promise<IpAddress[] | null> {
    this.lists.push('addresses');
    return this.addresses === null ? null : [...this.addresses];
  }

  async rules(family: Family): Promise<KernelRules> {
    this.lists.push(`rules ${family}`);
    return new Map((['nat', 'filter'] as const).map((table) => [table, new Map(this.chains(family, table))]));
  }

  rulesFingerprint(family: Family): string {
    return String(this.generations.get(family) ?? 0);
  }

  /** Somebody else writes rules: `change` gets the chains of a table. */
  changeRules(family: Family, table: Table, change: (chains: Map<string, string[]>) => void): void {
    change(this.chains(family, table));
    this.generations.set(family, (this.generations.get(family) ?? 0) + 1);
  }

  /** The rules of one chain; empty when there is none. */
  chain(family: Family, table: Table, name: string): readonly string[] {
    return this.chains(family, table).get(name) ?? [];
  }

  private chains(family: Family, table: Table): Map<string, string[]> {
    const id = `${family} ${table}`;
    const chains = this.chainsOfTables.get(id) ?? new Map<string, string[]>();
    this.chainsOfTables.set(id, chains);
    return chains;
  }

  sysctl(path: string): string | null {
    return this.switches.get(path) ?? '0';
  }

  hasRandomFully(): boolean {
    return true;
  }

  async applyIpvs(operations: Iterable<IpvsOperation>): Promise<IpvsFailure[]> {
    const failures: IpvsFailure[] = [];
    for (const operation of operations) {
      const write = `${operation.op} ${formatOperationObject(operation)}`;
      this.writes.push(write);
      const errno = this.refuse(write) ?? this.applyOne(operation);
      this.onWrite();
      if (errno !== undefined) {
        failures.push({
          operation,
          error: new KernelError(operation.op, formatOperationObject(operation), ERRNO[errno], errno),
        });
      }
    }
    if (this.losesNextAnswer) {
      this.losesNextAnswer = false;
      throw new PointsmanError('KERNEL_OVERRUN', 'the kernel lost replies (ENOBUFS)');
    }
    return failures;
  }

  private applyOne(operation: IpvsOperation): keyof typeof ERRNO | undefined {
    if (operation.op === 'SET_CONFIG') {
      this.connectionTimeouts = { ...this.connectionTimeouts, ...operation.timeouts };
      return undefined;
    }
    if (!('service' in operation) || operation.service === null) return undefined;
    const id = formatServiceKey(operation.service);
    const found = this.table.get(id);
    if (operation.op === 'NEW_SERVICE') {
      if (found !== undefined) return 'EEXIST';
      this.table.set(id, { service: operation.service, destinations: new Map() });
      return undefined;
    }
    if (found === undefined) return 'ESRCH';
    switch (operation.op) {
      case 'SET_SERVICE':
        found.service = operation.service;
        return undefined;
      case 'DEL_SERVICE':
        for (const destinationId of found.destinations.keys())
          this.cutConnections(`${id} -> ${destinationId}`, found);
        this.table.delete(id);
        return undefined;
      case 'NEW_DEST':
      case 'SET_DEST':
      case 'DEL_DEST': {
        const { address, port } = operation.destination;
        const destinationId = formatEndpoint(address, port);
        if (found.destinations.has(destinationId) === (operation.op === 'NEW_DEST'))
          return operation.op === 'NEW_DEST' ? 'EEXIST' : 'ENOENT';
        if (operation.op === 'DEL_DEST') {
          this.cutConnections(`${id} -> ${destinationId}`, found);
          found.destinations.delete(destinationId);
        } else found.destinations.set(destinationId, operation.destination);
        return undefined;
      }
      default:
        return undefined;
    }
  }

  private cutConnections(server: string, { service }: FakeService): void {
    if ((this.connections.get(server) ?? 0) > 0) {
      this.cut.push(server);
      this.cutWithScheduler.set(server, service.scheduler);
    }
    this.connections.delete(server);
  }

  async createSet(set: SetName, family: Family): Promise<void> {
    const name = kernelSetName(set, family);
    this.write(`CREATE ${name}`);
    if (this.sets.has(name)) return;
    const isBitmap = SETS[set].type === 'bitmap:port';
    this.sets.set(name, new Map());
    this.headers.set(name, {
      type: SETS[set].type,
      family: isBitmap ? null : family,
      maxMembers: isBitmap ? null : maxMembersOf(set),
    });
  }

  async growSet(set: SetName, family: Family, maxMembers: number): Promise<void> {
    const name = kernelSetName(set, family);
    this.write(`GROW ${name}`);
    const header = this.headers.get(name);
    if (header === undefined) throw new KernelError('ipset swap', name, ERRNO.ENOENT, 'ENOENT');
    this.headers.set(name, { ...header, maxMembers });
  }

  /** Writes down a request that fails as a whole when a fault matches. */
  private write(write: string): void {
    this.writes.push(write);
    const errno = this.refuse(write);
    if (errno !== undefined) throw new KernelError(write.split(' ')[0] ?? '', write, ERRNO[errno], errno);
  }

  async addMembers(changes: readonly SetChange[]): Promise<AddOutcome> {
    const present: SetChange[] = [];
    const failures = this.changeMembers(
      'ADD',
      changes,
      (members, id, member) => members.set(id, member),
      present,
    );
    return { failures, present };
  }

  async deleteMembers(changes: readonly SetChange[]): Promise<MemberFailure[]> {
    return this.changeMembers('DEL', changes, (members, id) => members.delete(id));
  }

  private changeMembers(
    verb: string,
    changes: readonly SetChange[],
    change: (members: Map<string, SetMember>, id: string, member: SetMember) => void,
    present: SetChange[] = [],
  ): MemberFailure[] {
    const failures: MemberFailure[] = [];
    for (const { set, family, members } of changes) {
      const name = kernelSetName(set, family);
      const held = this.sets.get(name);
      if (held === undefined) throw new Error(`set ${name} was not created`);
      for (const member of members) {
        const write = `${verb} ${name} ${formatMember(member)}`;
        this.writes.push(write);
        const room = this.headers.get(name)?.maxMembers ?? Number.POSITIVE_INFINITY;
        const isPresent = held.has(formatMember(member));
        const isFull = verb === 'ADD' && !isPresent && held.size >= room;
        const errno = this.refuse(write) ?? (isFull ? 'IPSET_ERR_HASH_FULL' : undefined);
        if (errno === undefined) {
          if (isPresent) present.push({ set, family, members: [member] });
          change(held, formatMember(member), member);
          this.onWrite();
        } else
          failures.push({
            set,
            family,
            member,
            error: new KernelError(verb, formatMember(member), ERRNO[errno], errno),
          });
      }
    }
    return failures;
  }

  async createLink(): Promise<void> {
    this.write('LINK kube-ipvs0');
    this.addresses ??= new Set();
  }

  async bind(addresses: readonly IpAddress[]): Promise<BindOutcome> {
    const present = addresses.filter((address) => this.addresses?.has(address));
    return {
      failures: this.changeAddresses('BIND', addresses, (address) => this.addresses?.add(address)),
      present,
    };
  }

  async unbind(addresses: readonly IpAddress[]): Promise<AddressFailure[]> {
    return this.changeAddresses('UNBIND', addresses, (address) => this.addresses?.delete(address));
  }

  private changeAddresses(
    verb: string,
    addresses: readonly IpAddress[],
    change: (address: IpAddress) => void,
  ): AddressFailure[] {
    const failures: AddressFailure[] = [];
    for (const address of addresses) {
      const write = `${verb} ${address}`;
      this.writes.push(write);
      const isRefused = verb === 'BIND' && this.addresses === null;
      const errno = this.refuse(write) ?? (isRefused ? 'ENODEV' : undefined);
      if (errno === undefined) {
        change(address);
        this.onWrite();
      } else failures.push({ address, error: new KernelError(verb, address, ERRNO[errno], errno) });
    }
    return failures;
  }

  async restoreRules(family: Family, text: string): Promise<void> {
    this.writes.push(`RESTORE ${family}`);
    if (this.lacksIpvsMatch && text.includes(' -m ipvs '))
      throw new PointsmanError('TOOL_FAILED', 'iptables-restore: No chain/target/match by that name');
    if (this.refuse(`RESTORE ${family}`) !== undefined)
      throw new PointsmanError('TOOL_FAILED', `iptables-restore of family ${family} failed (injected)`);
    this.generations.set(family, (this.generations.get(family) ?? 0) + 1);
    let table: Table = 'nat';
    for (const line of text.split('\n')) {
      const [word = '', chain = '', ...rest] = line.split(' ');
      if (line.startsWith('*')) table = line.slice(1) as Table;
      else if (line.startsWith(':')) this.chains(family, table).set(word.slice(1), []);
      else if (word === '-A') this.chains(family, table).get(chain)?.push(rest.join(' '));
      else if (word === '-I')
        this.chains(family, table).set(chain, [
          rest.join(' '),
          ...(this.chains(family, table).get(chain) ?? []),
        ]);
    }
    this.onWrite();
  }

  writeSysctl(path: string, value: string): void {
    this.writes.push(`SYSCTL ${path}=${value}`);
    this.switches.set(path, value);
  }

  /** The whole state as sorted text, for comparing kernels. Order of destinations does not count. */
  dump(): string {
    const lines: string[] = [];
    for (const [id, { service, destinations }] of this.table) {
      const { scheduler, flags, timeoutSeconds, netmask } = service;
      lines.push(`vs ${id} ${scheduler} ${flags} ${timeoutSeconds} ${netmask}`);
      for (const [destination, { weight }] of destinations)
        lines.push(`rs ${id} -> ${destination} ${weight}`);
    }
    for (const [name, members] of this.sets) for (const id of members.keys()) lines.push(`set ${name} ${id}`);
    for (const address of this.addresses ?? []) lines.push(`address ${address}`);
    for (const [id, chains] of this.chainsOfTables)
      for (const [chain, rules] of chains)
        for (const rule of rules) lines.push(`rule ${id} ${chain} ${rule}`);
    return lines.sort().join('\n');
  }
}
