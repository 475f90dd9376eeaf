// Health-check ports of Services: load balancers ask them which nodes have endpoints of a Service. One listening socket for each Service,
// family and address, one engine with one budget of connections for all. A change costs what it changes: a socket whose port and address stay
// is left alone, with its connections. A port that cannot be had is reported once and tried again at every sync.

import type {
  HealthCheckAddresses,
  ServiceHealthChanges,
  ServiceHealthCheck,
} from '../daemon/service-health.ts';
import type { Log } from '../daemon/log.ts';
import type { Timers } from '../daemon/sync-loop.ts';
import { PointsmanError, errorLine } from '../model/errors.ts';
import { FAMILIES, type Family, type IpAddress } from '../model/ip.ts';
import { splitServiceKey, type ServiceKey } from '../model/names.ts';
import { jsonAnswer, type Answer } from './answer.ts';
import { HEALTH_LIMITS } from './health-server.ts';
import { HttpEngine, type EngineLimits } from './http-engine.ts';
import { listen, type Listener } from './listening.ts';

/** For all ports together. They are open to the whole network, as the health port is. */
export const SERVICE_HEALTH_LIMITS = HEALTH_LIMITS;

/** Sockets that listen at once: each takes a descriptor. */
const MAX_LISTENERS = 8192;
/** Connections that could not be accepted are logged at most this often. */
const ACCEPT_ERRORS_MS = 60_000;

/** A port of a Service that nobody answers on; for an Event on the Service. */
export interface ListenFailure {
  readonly key: ServiceKey;
  readonly port: number;
  /** One line: what, where, what to do. */
  readonly reason: string;
}

export interface ServiceHealthServerOptions {
  /** ProxyHealth.isHealthy, now. */
  readonly isHealthy: () => boolean;
  /** Hears of each failure once, and again when its reason changes. */
  readonly onListenFailure: (failure: ListenFailure) => void;
  readonly addresses: HealthCheckAddresses;
  readonly limits: EngineLimits;
  readonly log: Log;
  readonly timers: Timers;
}

interface Entry {
  check: ServiceHealthCheck;
  /** By address. */
  readonly listeners: Map<IpAddress, { readonly family: Family; readonly listener: Listener }>;
  /** What is wrong with it, '' for nothing. */
  failure: string;
}

/** See the head of this file. */
export class ServiceHealthServer {
  private readonly options: ServiceHealthServerOptions;
  private readonly engine: HttpEngine;
  private readonly entries = new Map<ServiceKey, Entry>();
  private readonly failed = new Set<ServiceKey>();
  private addresses: HealthCheckAddresses;
  private listeners = 0;
  private isClosed = false;
  private lastAcceptErrorMs = Number.NEGATIVE_INFINITY;
  /** One change at a time. */
  private working: Promise<void> = Promise.resolve();

  constructor(options: ServiceHealthServerOptions) {
    this.options = options;
    this.addresses = options.addresses;
    this.engine = new HttpEngine(options.limits, options.timers);
  }

  /** Sockets that listen. */
  get size(): number {
    return this.listeners;
  }

  /** Services whose port could not be had, at least on one address. */
  get failures(): number {
    return this.failed.size;
  }

  /**
   * Brings the listening sockets to what changed, and tries again what failed before: call it at the end of each sync, also when nothing
   * changed. Never rejects.
   */
  apply(changes: ServiceHealthChanges): Promise<void> {
    return this.inTurn(() => this.applyNow(changes));
  }

  /** Moves all ports to other addresses; those that stay are left alone. Never rejects. */
  setAddresses(addresses: HealthCheckAddresses): Promise<void> {
    return this.inTurn(async () => {
      if (sameAddresses(this.addresses, addresses)) return;
      this.addresses = addresses;
      await this.settle([...this.entries.keys()]);
    });
  }

  /** Closes everything. */
  close(): Promise<void> {
    this.isClosed = true;
    return this.inTurn(async () => {
      for (const entry of this.entries.values()) await this.closeUnwanted(entry, new Map());
      this.entries.clear();
      this.failed.clear();
      this.engine.closeAll();
    });
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.working.then(work);
    this.working = done.catch(() => {});
    return done;
  }

  private async applyNow(changes: ServiceHealthChanges): Promise<void> {
    const concerned = new Set([...changes.keys(), ...this.failed]);
    for (const [key, check] of changes) {
      const entry = this.entries.get(key);
      if (check === null) {
        if (entry !== undefined) await this.remove(key, entry);
      } else if (entry === undefined) {
        this.entries.set(key, { check, listeners: new Map(), failure: '' });
      } else {
        if (entry.check.port !== check.port) await this.closeUnwanted(entry, new Map());
        entry.check = check;
      }
    }
    await this.settle([...concerned]);
  }

  /** All that must go is closed before anything is opened: a port may pass from one Service to another. */
  private async settle(keys: readonly ServiceKey[]): Promise<void> {
    if (this.isClosed) return;
    for (const key of keys) {
      const entry = this.entries.get(key);
      if (entry !== undefined) await this.closeUnwanted(entry, this.wanted(entry.check));
    }
    for (const key of keys) {
      const entry = this.entries.get(key);
      if (entry !== undefined) await this.openMissing(key, entry);
    }
  }

  private wanted({ localEndpoints, owner }: ServiceHealthCheck): Map<IpAddress, Family> {
    const wanted = new Map<IpAddress, Family>();
    if (owner !== null) return wanted;
    for (const family of FAMILIES) {
      if (localEndpoints[family] === undefined) continue;
      for (const address of this.addresses[family]) wanted.set(address, family);
    }
    return wanted;
  }

  private async remove(key: ServiceKey, entry: Entry): Promise<void> {
    this.entries.delete(key);
    this.failed.delete(key);
    await this.closeUnwanted(entry, new Map());
  }

  private async closeUnwanted(entry: Entry, wanted: ReadonlyMap<IpAddress, Family>): Promise<void> {
    for (const [address, { listener }] of entry.listeners) {
      if (wanted.has(address)) continue;
      entry.listeners.delete(address);
      this.listeners--;
      await listener.close();
    }
  }

  private async openMissing(key: ServiceKey, entry: Entry): Promise<void> {
    const { check } = entry;
    let failure =
      check.owner === null
        ? ''
        : `the port belongs to Service ${check.owner}, which is older; give one of them another healthCheckNodePort`;
    for (const [address, family] of this.wanted(check)) {
      if (entry.listeners.has(address)) continue;
      try {
        const listener = await this.open(key, { address, port: check.port }, family);
        entry.listeners.set(address, { family, listener });
        this.listeners++;
      } catch (error) {
        failure = errorLine(error);
      }
    }
    this.note(key, entry, failure);
  }

  private open(
    key: ServiceKey,
    at: { readonly address: IpAddress; readonly port: number },
    family: Family,
  ): Promise<Listener> {
    if (this.listeners >= MAX_LISTENERS)
      throw new PointsmanError(
        'LIMIT_EXCEEDED',
        `more than ${MAX_LISTENERS} health-check sockets; restrict nodePortAddresses`,
      );
    return listen(at, 'own', {
      onConnection: (socket) => this.engine.serve(socket, () => this.answer(key, family)),
      onError: (error) => this.onAcceptError(error),
    });
  }

  private note(key: ServiceKey, entry: Entry, failure: string): void {
    const before = entry.failure;
    entry.failure = failure;
    if (failure === '') {
      this.failed.delete(key);
      return;
    }
    this.failed.add(key);
    if (failure === before) return;
    const { port } = entry.check;
    this.options.log.error('Failed to start healthcheck', { service: key, port, err: failure });
    this.options.onListenFailure({ key, port, reason: failure });
  }

  private answer(key: ServiceKey, family: Family): Answer {
    const localEndpoints = this.entries.get(key)?.check.localEndpoints[family] ?? 0;
    const serviceProxyHealthy = this.options.isHealthy();
    const { namespace, name } = splitServiceKey(key);
    const body = { service: { namespace, name }, localEndpoints, serviceProxyHealthy };
    return jsonAnswer(
      localEndpoints > 0 && serviceProxyHealthy ? 200 : 503,
      JSON.stringify(body, null, '\t'),
      [['X-Load-Balancing-Endpoint-Weight', String(localEndpoints)]],
    );
  }

  private onAcceptError(error: Error): void {
    const now = this.options.timers.now();
    if (now - this.lastAcceptErrorMs < ACCEPT_ERRORS_MS) return;
    this.lastAcceptErrorMs = now;
    this.options.log.warn('A health-check port could not accept a connection', { err: errorLine(error) });
  }
}

function sameAddresses(a: HealthCheckAddresses, b: HealthCheckAddresses): boolean {
  return FAMILIES.every((family) => a[family].join() === b[family].join());
}
