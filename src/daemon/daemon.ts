// Wires one of each into a running agent: manifests, configuration, this node's addresses, the IPVS backend and the sync loop.

import { existsSync } from 'node:fs';
import { hostname } from 'node:os';
import { IpvsBackend } from '../backends/ipvs/backend.ts';
import { KernelPort } from '../backends/ipvs/kernel-port.ts';
import type { KernelBehaviour } from '../backends/ipvs/kernel-behaviour.ts';
import { probeKernelBehaviour } from '../backends/ipvs/kernel-behaviour-probe.ts';
import { probeScheduler } from '../backends/ipvs/schedulers-probe.ts';
import type { Repair } from '../backends/ipvs/repairs.ts';
import { formatManifestProblem, ManifestSource, type ManifestProblem } from '../cluster/manifests.ts';
import { defaultConfig, loadConfig, watchConfig } from '../config/load.ts';
import type { Config } from '../config/config.ts';
import { nextTurn } from '../kernel/netlink.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import type { Family, IpAddress } from '../model/ip.ts';
import { isDnsSubdomain, type ServiceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { Problem } from '../model/problem.ts';
import type { NodeOptions } from '../plan/plan.ts';
import { Agent } from './agent.ts';
import type { ServiceLinkEvent } from './address-mirror.ts';
import { LocalAddresses } from './local-addresses.ts';
import type { Log } from './log.ts';
import { makePacer } from './pacer.ts';
import { ipvsSettings, nodeNameOf, nodeOptionsFrom } from './settings.ts';
import { collectStatus, type AgentStatus } from './status.ts';
import { SyncLoop, type Timers } from './sync-loop.ts';
import { VerifyLoop } from './verify-loop.ts';

export interface DaemonOptions {
  /** Folder of manifests. */
  readonly manifests: string;
  readonly configPath?: string | undefined;
  readonly hostnameOverride?: string | undefined;
  readonly log: Log;
}

const RETRY_INITIAL_MS = 1000;
const RETRY_MAX_MS = 30_000;

/** IPv6 only where this kernel has it switched on. */
export function detectFamilies(): Family[] {
  return existsSync('/proc/sys/net/ipv6') ? ['IPv4', 'IPv6'] : ['IPv4'];
}

/** Configuration and node name, with the file's warnings in the log. */
export async function readConfig(options: DaemonOptions): Promise<{ config: Config; nodeName: string }> {
  let config = defaultConfig();
  if (options.configPath !== undefined) {
    const loaded = await loadConfig(options.configPath);
    for (const warning of loaded.warnings) options.log.warn(warning);
    config = loaded.config;
  }
  const nodeName = nodeNameOf(options.hostnameOverride, config, hostname());
  if (!isDnsSubdomain(nodeName)) {
    throw new PointsmanError(
      'USAGE',
      `"${nodeName}" is no node name (lower case letters, digits, "-" and "."); give one with --hostname-override`,
    );
  }
  return { config, nodeName };
}

const NODE_TIMERS: Timers = {
  now: () => performance.now(),
  set: (callback, delayMs) => setTimeout(callback, delayMs),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/** A running agent. */
export class Daemon {
  private readonly log: Log;
  private readonly port: KernelPort;
  private readonly backend: IpvsBackend;
  private readonly agent: Agent;
  private readonly loop: SyncLoop;
  private readonly source: ManifestSource;
  private readonly addresses = new LocalAddresses();
  private readonly verifyLoop: VerifyLoop;
  private readonly nodeName: string;
  private readonly families: readonly Family[];
  private readonly behaviour: KernelBehaviour;
  private config: Config;
  private localAddresses: readonly IpAddress[] = [];
  private manifestProblems: readonly ManifestProblem[] = [];
  private readonly loggedManifests = new Set<string>();
  private readonly pace = makePacer(() => performance.now(), nextTurn);
  private configWatcher: { close(): void } | null = null;
  private configTurn = 0;

  private constructor(
    options: DaemonOptions,
    config: Config,
    nodeName: string,
    families: readonly Family[],
    port: KernelPort,
    behaviour: KernelBehaviour,
  ) {
    this.behaviour = behaviour;
    this.log = options.log;
    this.config = config;
    this.nodeName = nodeName;
    this.families = families;
    this.port = port;
    this.backend = new IpvsBackend(port, families, this.settings(), {
      onRepair: (repair) => this.onRepair(repair),
    });
    this.source = new ManifestSource(options.manifests, {
      onEvents: (events, problems, warnings) => this.onManifests(events, problems, warnings),
    });
    this.agent = new Agent({
      backend: this.backend,
      log: this.log,
      node: this.nodeOptions(),
      pace: this.pace,
      onDirty: () => this.loop.request(),
    });
    this.loop = new SyncLoop(
      (reason) => this.agent.sync(reason),
      (error) => this.log.error('Sync ended with an unexpected error', { err: errorLine(error) }),
      {
        minIntervalMs: config.minSyncPeriodMs,
        retryInitialMs: RETRY_INITIAL_MS,
        retryMaxMs: RETRY_MAX_MS,
        timers: NODE_TIMERS,
      },
    );
    this.verifyLoop = new VerifyLoop({
      verifier: this.backend.verifier,
      beside: (work) => this.verifyBeside(work),
      onError: (message) => this.log.error('Verification failed; it goes on', { err: message }),
      timers: NODE_TIMERS,
    });
  }

  /**
   * Opens the kernel, reads the manifests and this node's addresses; writes nothing yet. Throws what is missing (MISSING_...),
   * INVALID_CONFIG, UNSUPPORTED_MODE, INVALID_MANIFEST.
   */
  static async open(options: DaemonOptions): Promise<Daemon> {
    const { config, nodeName } = await readConfig(options);
    requireRoot();
    const families = detectFamilies();
    const port = await KernelPort.open(families);
    await requireScheduler(config.ipvs.scheduler);
    const behaviour = probeKernelBehaviour();
    const daemon = new Daemon(options, config, nodeName, families, port, behaviour);
    options.log.info('Probed what this kernel does', {
      connectionReuse: behaviour.connectionReuse.result,
      removedServer: behaviour.removedServer.result,
      estimation: behaviour.estimation.result,
      elapsedMs: behaviour.tookMs,
    });
    for (const family of families) {
      const { flavour, reason } = port.iptablesOf(family);
      options.log.info('Using iptables', { family, flavour, reason });
    }
    await daemon.readFacts();
    return daemon;
  }

  private settings(): ReturnType<typeof ipvsSettings> {
    return ipvsSettings(this.config, { now: () => performance.now(), pace: this.pace }, this.behaviour);
  }

  private nodeOptions(): NodeOptions {
    // While the parts are made there is no agent yet, hence no Node object.
    const node = (this.agent as Agent | undefined)?.snapshot.node(this.nodeName);
    return nodeOptionsFrom(this.config, {
      nodeName: this.nodeName,
      families: this.families,
      node,
      localAddresses: this.localAddresses,
    });
  }

  private async readFacts(): Promise<void> {
    const report = await this.source.readAll();
    await this.addresses.follow({
      onChange: () => this.onAddresses(),
      onServiceLink: (event) => this.onServiceLink(event),
      onError: (error) =>
        this.log.error('Cannot read the addresses of this node; NodePorts stay on those known', {
          err: errorLine(error),
        }),
    });
    this.localAddresses = this.addresses.current();
    this.onManifests(report.events, report.problems, report.warnings);
    this.agent.setNode(this.nodeOptions());
  }

  private onManifests(
    events: readonly ClusterEvent[],
    problems: readonly ManifestProblem[],
    warnings: readonly ManifestProblem[],
  ): void {
    this.manifestProblems = problems;
    const lines = new Set([...problems, ...warnings].map(formatManifestProblem));
    for (const line of lines) if (!this.loggedManifests.has(line)) this.log.warn(line);
    this.loggedManifests.clear();
    for (const line of lines) this.loggedManifests.add(line);
    this.agent.onEvents(events);
    if (events.some((event) => (event.type === 'apply' ? event.object.kind : event.kind) === 'Node'))
      this.agent.setNode(this.nodeOptions());
  }

  /** One sync. Resolves with the reasons why something is not programmed; empty when all is. */
  async runOnce(): Promise<string[]> {
    this.agent.setComplete();
    await this.loop.idle();
    const { lastReport, lastError } = this.agent.status;
    if (lastError !== '') return [lastError];
    const failed = new Set(lastReport?.failed.map((key) => `Service ${key}`));
    const ofNode = this.backend
      .failedOperations()
      .filter(({ service }) => service === null)
      .map(({ object, message }) => `${object}: ${message}`);
    const ofServices = this.problems()
      .filter(
        ({ object, reason }) =>
          failed.has(object) && (reason === 'KernelRefused' || reason === 'ForeignVirtualServer'),
      )
      .map(({ object, message }) => `${object}: ${message}`);
    return [...ofNode, ...ofServices];
  }

  /** Syncs and goes on following manifests, configuration and addresses until `stop`. */
  run(configPath: string | undefined): void {
    this.source.watch();
    if (configPath !== undefined)
      this.configWatcher = watchConfig(configPath, (result) => this.onConfig(result));
    this.agent.setComplete();
    this.verifyLoop.start();
  }

  /** Not before the first sync: until then nothing is known to be ours. */
  private async verifyBeside(work: () => Promise<void>): Promise<void> {
    await this.loop.beside(async () => {
      if (this.agent.status.lastReport === null) return { needsRetry: false };
      await work();
      return { needsRetry: this.agent.noteReport(this.backend.currentReport()) };
    });
  }

  private onRepair({ kind, object, what }: Repair): void {
    this.log.warn('Somebody changed what is ours; it was put right (told once for each object)', {
      kind,
      object,
      what,
    });
  }

  private onServiceLink(event: ServiceLinkEvent): void {
    const { verifier } = this.backend;
    if (event.kind === 'address-gone') {
      if (verifier.suspectAddress(event.address)) this.verifyLoop.repairNow();
      return;
    }
    verifier.suspectAllAddresses();
    this.verifyLoop.repairNow();
  }

  private onAddresses(): void {
    this.localAddresses = this.addresses.current();
    this.agent.setNode(this.nodeOptions());
  }

  private onConfig(
    result: { config: Config; warnings: readonly string[] } | { error: PointsmanError },
  ): void {
    if ('error' in result) {
      this.log.error('The changed configuration is not valid; the running one stays', {
        err: result.error.message,
      });
      return;
    }
    void this.takeConfig(result.config, result.warnings);
  }

  private async takeConfig(config: Config, warnings: readonly string[]): Promise<void> {
    const { scheduler } = config.ipvs;
    const turn = ++this.configTurn;
    try {
      if (scheduler !== this.config.ipvs.scheduler) await requireScheduler(scheduler);
    } catch (error) {
      this.log.error('The changed configuration cannot be used; the running one stays', {
        err: errorLine(error),
      });
      return;
    }
    // Another one may have come while the kernel was asked.
    if (turn !== this.configTurn) return;
    for (const warning of warnings) this.log.warn(warning);
    this.config = config;
    this.backend.configure(this.settings());
    this.loop.setMinInterval(this.config.minSyncPeriodMs);
    this.agent.setNode(this.nodeOptions());
    this.agent.setSettingsChanged();
    this.log.info('Configuration changed', { scheduler: this.config.ipvs.scheduler });
  }

  /** Resolves when everything known is programmed or has failed. */
  idle(): Promise<void> {
    return this.loop.idle();
  }

  private problems(): Problem[] {
    const manifests = this.manifestProblems.map(
      ({ file, line, column, object, field, message, remedy }): Problem => ({
        object: object === '' ? file : `${object} (${file}:${line}:${column})`,
        field,
        reason: 'InvalidField',
        message,
        remedy,
      }),
    );
    return [...manifests, ...this.agent.problems()];
  }

  async status(only?: (key: ServiceKey) => boolean): Promise<AgentStatus> {
    const status = await collectStatus(this.agent, this.backend, this.port, only);
    return { ...status, verification: this.verifyLoop.status, problems: this.problems() };
  }

  /** Ends following and lets a running sync end. Forwarding stays as it is. */
  async stop(): Promise<void> {
    this.configWatcher?.close();
    this.addresses.close();
    await this.source.close();
    await this.verifyLoop.stop();
    await this.loop.stop();
    this.port.close();
  }
}

/** Throws MISSING_MODULE when this kernel cannot schedule so. */
async function requireScheduler(name: string): Promise<void> {
  const answer = await probeScheduler(name);
  if (answer.isAvailable) return;
  throw new PointsmanError(
    'MISSING_MODULE',
    `ipvs.scheduler: this kernel has no scheduler ${name}: ${answer.reason}; ${answer.remedy}`,
    { scheduler: name },
  );
}

function requireRoot(): void {
  if (process.getuid?.() !== 0) {
    throw new PointsmanError(
      'MISSING_PRIVILEGE',
      'the agent changes kernel state and needs root; run it as root, or use "pointsman plan --from-empty"',
    );
  }
}
