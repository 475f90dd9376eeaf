// A stateful stand-in for the kernel's table behind IpvsTable, for unit tests of the command. It refuses what the kernel refuses, in
// the kernel's order of checks, lists new entries where the kernel does, counts, and can be told to misbehave. The real kernel is
// tested in the lab. Source: net/netfilter/ipvs/ip_vs_ctl.c, by behaviour; errnos checked against test/lab/ipvs-client.test.ts.

import type { IpvsTable } from '../src/ipvsadm/io.ts';
import { formatOperationObject, type IpvsFailure, type IpvsOperation } from '../src/kernel/ipvs.ts';
import {
  formatEndpoint,
  formatServiceKey,
  fullNetmask,
  type DestinationKey,
  type IpvsDestination,
  type IpvsDestinationState,
  type IpvsService,
  type IpvsServiceState,
  type IpvsStats,
  type ServiceKey,
  type ServiceSettings,
} from '../src/kernel/ipvs-codec.ts';
import type { IpvsDaemonState, IpvsInfo, IpvsTimeouts } from '../src/kernel/ipvs-daemon-codec.ts';
import { explainErrno } from '../src/kernel/ipvs-errors.ts';
import { kernelError } from '../src/kernel/netlink.ts';
import { familyOf, isMulticastOrBroadcast, parseIp, type IpAddress } from '../src/model/ip.ts';

const ERRNO = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  ENOMEM: 12,
  EEXIST: 17,
  EINVAL: 22,
  ERANGE: 34,
  ENOBUFS: 105,
} as const;

/** An errno that the fake knows. */
export type FakeErrno = keyof typeof ERRNO;

/** What the kernel counts of connections at one real server. */
export interface ConnectionCounts {
  readonly activeConnections: number;
  readonly inactiveConnections: number;
  readonly persistentConnections: number;
}

type Counters = Pick<IpvsStats, 'connections' | 'inPackets' | 'outPackets' | 'inBytes' | 'outBytes'>;

/** What is about one service. */
type ServiceOperation = Extract<
  IpvsOperation,
  { op: 'NEW_SERVICE' | 'SET_SERVICE' | 'DEL_SERVICE' | 'NEW_DEST' | 'SET_DEST' | 'DEL_DEST' }
>;

interface HeldDestination {
  settings: IpvsDestination;
  connections: ConnectionCounts;
  counters: Counters;
}

interface HeldService {
  settings: IpvsService;
  counters: Counters;
  /** As the kernel lists them: the newest first. */
  destinations: Map<string, HeldDestination>;
}

const NO_COUNTERS: Counters = { connections: 0n, inPackets: 0n, outPackets: 0n, inBytes: 0n, outBytes: 0n };
const NO_CONNECTIONS: ConnectionCounts = {
  activeConnections: 0,
  inactiveConnections: 0,
  persistentConnections: 0,
};
/** What the estimator says when it is off. */
const NO_RATES = {
  connectionsPerSecond: 0n,
  inPacketsPerSecond: 0n,
  outPacketsPerSecond: 0n,
  inBytesPerSecond: 0n,
  outBytesPerSecond: 0n,
};
const MAX_WEIGHT = 0x7fffffff;
const MAX_TIMEOUT_SECONDS = 21_474_836;
const DEFAULT_MULTICAST = { group: '224.0.0.81', port: 8848, ttl: 1 };

export class FakeIpvsTable implements IpvsTable {
  /** What the modules of this kernel are. */
  readonly schedulers = new Set('none rr wrr lc wlc sed nq fo ovf dh sh mh lblc lblcr'.split(' '));
  readonly persistenceEngines = new Set(['sip']);
  /** Every read in order: "services", "service TCP 10.96.0.1:80", "destinations TCP 10.96.0.1:80", "info" ... */
  reads: string[] = [];
  /** Every write in order: "SET_DEST TCP 10.96.0.1:80 -> 10.0.0.1:8080", "FLUSH" ... Refused ones too. */
  writes: string[] = [];
  /** Writes that match are refused with the errno, each as often as `times` says. */
  readonly faults: {
    readonly matches: (write: string) => boolean;
    readonly errno: FakeErrno;
    times: number;
  }[] = [];
  /** Runs before each read, which it gets as in `reads`; what it throws, the read throws. */
  beforeRead: (read: string) => void = () => {};
  /** Left out of dumps, as what changes during one is: "TCP 10.96.0.1:80", "TCP 10.96.0.1:80 -> 10.0.0.1:8080". */
  readonly hidden = new Set<string>();
  isClosed = false;
  private readonly held = new Map<string, HeldService>();
  private readonly running: IpvsDaemonState[] = [];
  private seconds: IpvsTimeouts = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };

  async services(withStats = false): Promise<IpvsServiceState[]> {
    this.read('services');
    return [...this.held]
      .filter(([id]) => !this.hidden.has(id))
      .map(([, held]) => serviceState(held, withStats));
  }

  service(key: ServiceKey, withStats = false): IpvsServiceState | undefined {
    const id = formatServiceKey(key);
    this.read(`service ${id}`);
    const held = this.held.get(id);
    return held === undefined ? undefined : serviceState(held, withStats);
  }

  async destinations(key: ServiceKey, withStats = false): Promise<IpvsDestinationState[]> {
    const id = formatServiceKey(key);
    this.read(`destinations ${id}`);
    return [...(this.held.get(id)?.destinations ?? [])]
      .filter(([endpoint]) => !this.hidden.has(`${id} -> ${endpoint}`))
      .map(([, { settings, connections, counters }]) => ({
        ...settings,
        ...connections,
        stats: withStats ? { ...counters, ...NO_RATES } : null,
      }))
      .reverse();
  }

  async daemons(): Promise<IpvsDaemonState[]> {
    this.read('daemons');
    return this.running.toSorted((a, b) => (a.role < b.role ? 1 : -1));
  }

  timeouts(): IpvsTimeouts {
    this.read('timeouts');
    return this.seconds;
  }

  info(): IpvsInfo {
    this.read('info');
    return { version: 0x010201, connectionTableSize: 4096 };
  }

  close(): void {
    this.isClosed = true;
  }

  async apply(operations: Iterable<IpvsOperation>): Promise<IpvsFailure[]> {
    const failures: IpvsFailure[] = [];
    for (const operation of operations) {
      const object = formatOperationObject(operation);
      const write = object === '' ? operation.op : `${operation.op} ${object}`;
      this.writes.push(write);
      const errnoName = this.fault(write) ?? this.applyOne(operation);
      if (errnoName === undefined) continue;
      const failure = { index: 0, errno: ERRNO[errnoName], text: '' };
      const hint = explainErrno(operation.op, failure.errno);
      failures.push({ operation, error: kernelError(operation.op, object, failure, hint) });
    }
    return failures;
  }

  /** Makes or replaces a service; settings default to rr without flags. */
  put(
    key: ServiceKey,
    destinations: readonly IpvsDestination[] = [],
    settings: Partial<ServiceSettings> = {},
  ): void {
    const id = formatServiceKey(key);
    const service: IpvsService = {
      ...key,
      scheduler: 'rr',
      flags: 0,
      timeoutSeconds: 0,
      netmask: fullNetmask(key.family),
      ...settings,
    };
    this.held.set(id, { settings: service, counters: NO_COUNTERS, destinations: new Map() });
    for (const each of destinations) this.putDestination(key, each);
  }

  /** Adds a real server, or changes its settings and keeps its counts. */
  putDestination(key: ServiceKey, destination: IpvsDestination): void {
    const { destinations } = this.holding(key);
    const id = formatEndpoint(destination.address, destination.port);
    const found = destinations.get(id);
    if (found !== undefined) found.settings = destination;
    else
      destinations.set(id, {
        settings: destination,
        connections: NO_CONNECTIONS,
        counters: NO_COUNTERS,
      });
  }

  /** Deletes a service, or one real server of it. */
  drop(key: ServiceKey, server?: DestinationKey): void {
    if (server === undefined) this.held.delete(formatServiceKey(key));
    else this.holding(key).destinations.delete(formatEndpoint(server.address, server.port));
  }

  /** Adds to the counters of a service (`server` null) or of one real server alone. */
  count(key: ServiceKey, server: DestinationKey | null, added: Partial<Counters>): void {
    const held = server === null ? this.holding(key) : this.holdingDestination(key, server);
    const counters = { ...held.counters };
    for (const [name, value] of Object.entries(added)) counters[name as keyof Counters] += value;
    held.counters = counters;
  }

  /** Sets what the kernel counts of connections at a real server. */
  setConnections(key: ServiceKey, server: DestinationKey, counts: Partial<ConnectionCounts>): void {
    const held = this.holdingDestination(key, server);
    held.connections = { ...held.connections, ...counts };
  }

  /** The settings of a real server; throws when there is none. */
  destination(key: ServiceKey, server: DestinationKey): IpvsDestination {
    return this.holdingDestination(key, server).settings;
  }

  has(key: ServiceKey, server?: DestinationKey): boolean {
    const held = this.held.get(formatServiceKey(key));
    if (server === undefined) return held !== undefined;
    return held?.destinations.has(formatEndpoint(server.address, server.port)) ?? false;
  }

  private holding(key: ServiceKey): HeldService {
    const held = this.held.get(formatServiceKey(key));
    if (held === undefined) throw new Error(`the fake table has no ${formatServiceKey(key)}`);
    return held;
  }

  private holdingDestination(key: ServiceKey, { address, port }: DestinationKey): HeldDestination {
    const held = this.holding(key).destinations.get(formatEndpoint(address, port));
    if (held === undefined)
      throw new Error(`no ${formatEndpoint(address, port)} in ${formatServiceKey(key)}`);
    return held;
  }

  private read(what: string): void {
    if (this.isClosed) throw new Error('the fake table is closed');
    this.reads.push(what);
    this.beforeRead(what);
  }

  private fault(write: string): FakeErrno | undefined {
    const found = this.faults.find((each) => each.times > 0 && each.matches(write));
    if (found === undefined) return undefined;
    found.times--;
    return found.errno;
  }

  private applyOne(operation: IpvsOperation): FakeErrno | undefined {
    switch (operation.op) {
      case 'FLUSH':
        this.held.clear();
        return undefined;
      case 'SET_CONFIG': {
        const values = Object.entries(operation.timeouts).filter(([, value]) => value !== 0);
        if (values.some(([, value]) => (value ?? 0) > MAX_TIMEOUT_SECONDS)) return 'EINVAL';
        this.seconds = { ...this.seconds, ...Object.fromEntries(values) };
        return undefined;
      }
      case 'NEW_DAEMON': {
        const { daemon } = operation;
        if (this.running.some(({ role }) => role === daemon.role)) return 'EEXIST';
        this.running.push({
          ...daemon,
          maxLengthBytes: daemon.maxLengthBytes ?? 1460,
          multicastGroup: daemon.multicastGroup ?? (DEFAULT_MULTICAST.group as IpAddress),
          multicastPort: daemon.multicastPort ?? DEFAULT_MULTICAST.port,
          multicastTtl: daemon.multicastTtl ?? DEFAULT_MULTICAST.ttl,
        });
        return undefined;
      }
      case 'DEL_DAEMON': {
        const index = this.running.findIndex(({ role }) => role === operation.role);
        if (index < 0) return 'ESRCH';
        this.running.splice(index, 1);
        return undefined;
      }
      case 'ZERO':
        return this.zero(operation.service);
      default:
        return this.applyToService(operation);
    }
  }

  private zero(key: ServiceKey | null): FakeErrno | undefined {
    const found = key === null ? [...this.held.values()] : [this.held.get(formatServiceKey(key))];
    for (const held of found) {
      if (held === undefined) return 'ESRCH';
      held.counters = NO_COUNTERS;
      for (const each of held.destinations.values()) each.counters = NO_COUNTERS;
    }
    return undefined;
  }

  private applyToService(operation: ServiceOperation): FakeErrno | undefined {
    const id = formatServiceKey(operation.service);
    const held = this.held.get(id);
    if (operation.op === 'NEW_SERVICE' || operation.op === 'SET_SERVICE')
      return this.applySettings(operation.op, operation.service, held);
    if (held === undefined) return 'ESRCH';
    if (!('destination' in operation)) {
      this.held.delete(id);
      return undefined;
    }
    const { destination } = operation;
    const endpoint = formatEndpoint(destination.address, destination.port);
    const isThere = held.destinations.has(endpoint);
    if (operation.op === 'DEL_DEST') {
      if (!isThere) return 'ENOENT';
      held.destinations.delete(endpoint);
      return undefined;
    }
    const errno = refusedDestination(operation.service, operation.destination);
    if (errno !== undefined) return errno;
    if (operation.op === 'NEW_DEST' ? isThere : !isThere) return isThere ? 'EEXIST' : 'ENOENT';
    if (operation.op === 'NEW_DEST' && !isUnicast(destination.address)) return 'EINVAL';
    this.putDestination(operation.service, operation.destination);
    return undefined;
  }

  private applySettings(
    op: 'NEW_SERVICE' | 'SET_SERVICE',
    service: IpvsService,
    held: HeldService | undefined,
  ): FakeErrno | undefined {
    if (op === 'NEW_SERVICE' && held !== undefined) return 'EEXIST';
    if (op === 'SET_SERVICE' && held === undefined) return 'ESRCH';
    const errno = this.refusedService(service);
    if (errno !== undefined) return errno;
    if (held === undefined) this.put(service, [], service);
    else held.settings = service;
    return undefined;
  }

  private refusedService({
    family,
    scheduler,
    netmask,
    persistenceEngine,
  }: IpvsService): FakeErrno | undefined {
    if (!this.schedulers.has(scheduler)) return 'ENOENT';
    if (persistenceEngine !== undefined && !this.persistenceEngines.has(persistenceEngine)) return 'ENOENT';
    return family === 'IPv6' && (netmask < 1 || netmask > 128) ? 'EINVAL' : undefined;
  }
}

function refusedDestination(service: ServiceKey, destination: IpvsDestination): FakeErrno | undefined {
  const isMixed = familyOf(destination.address) !== service.family;
  if (isMixed && destination.forwarding !== 'tunnel') return 'EINVAL';
  const { weight, upperThreshold, lowerThreshold } = destination;
  return weight > MAX_WEIGHT || lowerThreshold > upperThreshold ? 'ERANGE' : undefined;
}

function isUnicast(address: IpAddress): boolean {
  return !isMulticastOrBroadcast(address) && address !== '0.0.0.0' && address !== '::';
}

function serviceState({ settings, counters }: HeldService, withStats: boolean): IpvsServiceState {
  return { ...settings, stats: withStats ? { ...counters, ...NO_RATES } : null };
}

/** The key of a service, from "10.96.0.10" or "fd96::a". */
export function serviceKey(address: string, port: number, protocol = 6): ServiceKey {
  const ip = parseIp(address);
  if (ip === null) throw new Error(`${address} is no address`);
  return { family: familyOf(ip), protocol, address: ip, port };
}

/** A masquerading real server of weight 1, with what `settings` says else. */
export function realServer(
  address: string,
  port: number,
  settings: Partial<IpvsDestination> = {},
): IpvsDestination {
  const ip = parseIp(address);
  if (ip === null) throw new Error(`${address} is no address`);
  return {
    address: ip,
    port,
    forwarding: 'masquerade',
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    ...settings,
  };
}
