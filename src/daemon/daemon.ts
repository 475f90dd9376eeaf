// Wires one of each into a running agent: facts, configuration, this node's addresses, the IPVS backend and the sync loop, and what tells of
// them: health, metrics, Events. Its faces (sockets, ports) are in http/.

import { isDeepStrictEqual } from 'node:util';
import { CountedPort } from '../backends/ipvs/counted-port.ts';
import { IpvsBackend } from '../backends/ipvs/backend.ts';
import type { KernelPort } from '../backends/ipvs/kernel-port.ts';
import type { KernelBehaviour } from '../backends/ipvs/kernel-behaviour.ts';
import { probeScheduler } from '../backends/ipvs/schedulers-probe.ts';
import type { ManifestProblem } from '../cluster/manifests.ts';
import type { Config } from '../config/config.ts';
import type { LoadedConfig } from '../config/load.ts';
import { VERSION } from '../files/version.ts';
import { nextTurn } from '../kernel/netlink.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import type { ServiceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { Problem } from '../model/problem.ts';
import { Agent } from './agent.ts';
import { findProxyTables, KernelCleanupPort } from './cleanup-port.ts';
import { ConfigFollower } from './config-follower.ts';
import { applyConntrack } from './conntrack-settings.ts';
import { chooseSource, type ChosenSource } from './facts-origin.ts';
import { Facts } from './facts.ts';
import { drainMatcher, matchingDrains, type DrainingServerStatus } from './drain-status.ts';
import { Draining, logCut } from './draining.ts';
import { Flows } from './flows.ts';
import { openKernel, type OpenedKernel } from './kernel-start.ts';
import { LocalAddresses } from './local-addresses.ts';
import { MissingSchedulers } from './missing-schedulers.ts';
import { LINES } from './log-lines.ts';
import { named, type AgentLog } from './log.ts';
import { ManifestProblems } from './manifest-problems.ts';
import type { MetricFamily } from './metric-families.ts';
import { NODE_TIMERS } from './node-timers.ts';
import { applyOomScore } from './oom-score.ts';
import { makePacer } from './pacer.ts';
import { reportPrivileges, requireRoot } from './privileges.ts';
import { Reporting } from './reporting.ts';
import { describeRival, findRival } from './rival.ts';
import { healthCheckAddresses } from './service-health.ts';
import { ServiceTraffic } from './service-traffic.ts';
import { ipvsSettings, logSettings } from './settings.ts';
import { requireScheduler, type DaemonOptions } from './start-up.ts';
import { collectFacts, collectStatus, failureText, type AgentStatus } from './status.ts';
import { SyncLoop, type SyncReason } from './sync-loop.ts';
import { TakeOver } from './take-over.ts';
import { ThisNode } from './this-node.ts';
import { logRepair, Verification } from './verification.ts';

const RETRY_INITIAL_MS = 1000;
const RETRY_MAX_MS = 30_000;
/** `run --once` gives up on an API server that is away for this long. */
const ONCE_WAIT_MS = 60_000;

/** What was read before anything is opened; see readConfig. */
export interface DaemonStart extends DaemonOptions {
  readonly log: AgentLog;
  readonly loaded: LoadedConfig;
  readonly nodeName: string;
}

/** A running agent. */
export class Daemon {
  /** What it tells of itself; ports attach themselves there. */
  readonly reporting: Reporting;
  private readonly log: AgentLog;
  private readonly port: KernelPort;
  private readonly counted: CountedPort;
  private readonly backend: IpvsBackend;
  private readonly agent: Agent;
  private readonly loop: SyncLoop;
  private readonly facts: Facts;
  private readonly addresses = new LocalAddresses();
  private readonly verification: Verification;
  private readonly flows: Flows;
  private readonly draining: Draining;
  private readonly takeOver: TakeOver;
  private readonly configFollower: ConfigFollower;
  private readonly thisNode: ThisNode;
  private readonly manifestProblems: ManifestProblems;
  private readonly behaviour: KernelBehaviour;
  private loaded: LoadedConfig;
  /** Resolves when the first complete snapshot is known; never when the daemon is stopped before. */
  private complete: Promise<void> = Promise.resolve();
  private isComplete = false;
  private isStopping = false;
  private readonly missingSchedulers = new MissingSchedulers(probeScheduler);
  private readonly pace = makePacer(() => performance.now(), nextTurn);
  private readonly failed = Promise.withResolvers<PointsmanError>();

  private constructor(options: DaemonStart, kernel: OpenedKernel, source: ChosenSource) {
    const { loaded, log, nodeName } = options;
    const { port, families, behaviour, suspects } = kernel;
    const beside = (task: Parameters<SyncLoop['beside']>[0]): Promise<void> => this.loop.beside(task);
    const { config } = loaded;
    this.behaviour = behaviour;
    this.log = log;
    this.loaded = loaded;
    this.port = port;
    this.counted = new CountedPort(port);
    this.thisNode = new ThisNode({
      ...{ nodeName, families, config: () => this.config, log },
      missingSchedulers: () => this.missingSchedulers.current(),
    });
    this.manifestProblems = new ManifestProblems(named(log, 'manifests'));
    this.reporting = new Reporting({
      ...{ config: () => this.config, families, source, nodeName, log },
      status: () => this.agent.status,
      problems: () => this.backend.problems(),
      checkError: () => this.verification.status.lastError,
      traffic: this.serviceTraffic(),
      metricSources: () => ({
        facts: collectFacts(this.agent, this.backend),
        verification: this.verification.status,
        kernel: this.counted,
        flows: this.flows.keeper,
        source: this.facts.status,
      }),
      healthCheckAddresses: () => healthCheckAddresses(this.config, this.agent.nodeOptions),
    });
    const { collector, report } = this.reporting;
    this.flows = new Flows({
      ...{ beside, log: named(log, 'flows'), timers: NODE_TIMERS },
      onPass: (pass) => collector.proxy.onFlowPass(pass),
    });
    this.backend = new IpvsBackend(this.counted, families, this.settings(), {
      onRepair: (repair) => logRepair(named(log, 'verification'), repair),
      onFlowChange: (change) => this.flows.keeper.note(change),
      onCut: (cut) => logCut(named(log, 'draining'), cut),
      onTakeOver: (virtualServers) =>
        log.info('Took over virtual servers of the proxy before us in place', { virtualServers }),
    });
    this.facts = new Facts({
      ...{ source, config, nodeName, record: options.record, log: named(log, 'facts'), timers: NODE_TIMERS },
      onFacts: (...facts) => this.onFacts(...facts),
      apiObserver: collector.restClient,
    });
    this.agent = new Agent({
      ...{ backend: this.backend, log: named(log, 'agent'), node: this.thisNode.options(), pace: this.pace },
      onDirty: () => this.loop.request(),
      observers: this.reporting.observers,
    });
    this.loop = new SyncLoop(
      (reason) => this.sync(reason),
      (error) => log.error('Sync ended with an unexpected error', { err: errorLine(error) }),
      {
        ...{ minIntervalMs: config.minSyncPeriodMs, maxIntervalMs: config.syncPeriodMs },
        ...{ retryInitialMs: RETRY_INITIAL_MS, retryMaxMs: RETRY_MAX_MS, timers: NODE_TIMERS },
      },
    );
    this.verification = new Verification({
      ...{ backend: this.backend, agent: this.agent, syncLoop: this.loop, timers: NODE_TIMERS },
      log: named(log, 'verification'),
      afterWork: () => {
        this.afterWork();
        report.afterCheck();
      },
    });
    this.draining = new Draining({
      ...{ backend: this.backend, agent: this.agent, beside, timers: NODE_TIMERS },
    });
    this.takeOver = new TakeOver({
      ...{ families, kernel: port, suspects, tables: () => findProxyTables(families) },
      openLeftovers: () => KernelCleanupPort.open(families),
      verifier: this.backend.verifier,
      obstacle: () => failureText(collectFacts(this.agent, this.backend)),
      rival: async () => {
        const rival = await findRival({ metricsAddress: this.config.metricsBindAddress });
        return rival === null ? null : describeRival(rival);
      },
      beside: (work) => this.verification.beside(work),
      onRemoved: () => this.backend.retellFlows(),
      ...{ log: named(log, 'take-over'), timers: NODE_TIMERS },
    });
    this.configFollower = new ConfigFollower({
      ...{ log: named(log, 'config-follower'), flags: options.flags },
      check: ({ ipvs }) => requireScheduler(ipvs.scheduler),
      onConfig: (changed) => this.takeConfig(changed),
      onRefused: (error) => this.reporting.onConfigRefused(error),
    });
  }

  /**
   * Opens the kernel, reads manifests or begins to read an API server, and reads this node's addresses; forwarding is not touched yet. `claim`
   * runs before the kernel is touched; what it throws ends the opening. Throws what is missing (MISSING_...), USAGE, INVALID_MANIFEST,
   * and what the kernel refuses.
   */
  static async open(options: DaemonStart, claim: () => Promise<void> = async () => {}): Promise<Daemon> {
    const { loaded, log } = options;
    const { config } = loaded;
    const source = chooseSource(options.facts, config, {
      ...{ asker: 'agent', hasConfigFile: options.configPath !== undefined, env: process.env },
      onVoid: (line) => log.warn(line),
      onKept: (problem) =>
        problem === null
          ? log.info('The credentials for the API server can be read again')
          : log.warn('Credentials cannot be renewed; the last good ones are used', { err: problem.message }),
    });
    requireRoot();
    log.info(LINES.versionInfo, { version: VERSION });
    if (source.kind === 'api' && config.clientConnection.kubeconfig === '' && !options.facts.master)
      log.info(LINES.inCluster);
    reportPrivileges(log);
    applyOomScore(config.oomScoreAdj, log);
    await claim();
    const daemon = new Daemon(options, await openKernel(config, log), source);
    log.info(LINES.usingIpvs);
    if (loaded.origins.get('ipvs.scheduler')?.kind === 'default') log.info(LINES.schedulerDefault);
    await daemon.readFacts();
    return daemon;
  }

  private async sync(reason: SyncReason): Promise<{ needsRetry: boolean }> {
    await this.takeOver.beforeSync();
    const result = await this.agent.sync(reason);
    this.afterWork();
    this.reporting.afterSync();
    const isNews = await this.missingSchedulers.learn(this.backend.failedOperations(), (key) =>
      (this.agent.planOf(key)?.virtualServers ?? []).map(({ scheduler }) => scheduler),
    );
    if (isNews) this.agent.setNode(this.thisNode.options());
    return result;
  }

  /** What a sync or a repair leaves to be done after it. */
  private afterWork(): void {
    this.flows.afterSync();
    this.draining.afterSync();
    this.takeOver.afterSync();
  }

  private settings(): ReturnType<typeof ipvsSettings> {
    return ipvsSettings(this.config, { now: () => performance.now(), pace: this.pace }, this.behaviour);
  }

  /** Traffic of Services, where it is asked for. */
  private serviceTraffic(): ServiceTraffic {
    return new ServiceTraffic({
      settings: () => this.config.serviceTraffic,
      serviceKeys: () => this.agent.serviceKeys(),
      virtualServersOf: (key) => this.backend.virtualServersOf(key),
      readPieces: () => this.port.countedServicePieces(),
      hasCounters: () => this.port.sysctl('net/ipv4/vs/run_estimation') !== '0',
      isSyncing: () => this.agent.status.isPending,
      ...{ pace: this.pace, now: () => performance.now() },
      onError: (err) => this.log.warn('Cannot read the traffic of Services', { err }),
    });
  }

  private async readFacts(): Promise<void> {
    await this.facts.open();
    if (this.facts.isFromServer)
      for (const line of [LINES.startingServices, LINES.startingEndpointSlices, LINES.startingNode])
        this.log.info(line);
    await this.addresses.follow({
      onChange: () => this.onAddresses(),
      onServiceLink: (event) => this.verification.onServiceLink(event),
      onError: (error) =>
        this.log.error('Cannot read the addresses of this node; NodePorts stay on those known', {
          err: errorLine(error),
        }),
    });
    this.thisNode.takeAddresses(this.addresses.current());
    this.agent.setNode(this.thisNode.options());
    const read = this.facts.readAll();
    if (!this.facts.isFromServer) await read;
    else
      this.complete = read.catch((error: unknown) => {
        if (!this.isStopping)
          this.log.error('Reading the API server ended unexpectedly', { err: errorLine(error) });
        return new Promise(() => {});
      });
  }

  private onFacts(
    events: readonly ClusterEvent[],
    problems: readonly ManifestProblem[],
    warnings: readonly ManifestProblem[],
    more = false,
  ): void {
    this.manifestProblems.take(problems, warnings);
    this.agent.onEvents(events, more);
    if (events.some((event) => (event.type === 'apply' ? event.object.kind : event.kind) === 'Node'))
      this.takeNode();
  }

  private takeNode(): void {
    const node = this.agent.snapshot.node(this.thisNode.nodeName);
    this.thisNode.takeNode(node);
    this.reporting.onNode(node, this.facts.isFromServer);
    this.onNode();
  }

  /** Whatever plans depend on may have changed on this node. */
  private onNode(): void {
    this.agent.setNode(this.thisNode.options());
    this.reporting.onAddresses();
    if (!this.isComplete) return;
    this.thisNode.updateGate();
    if (this.thisNode.awaited !== '') this.reporting.report.awaiting(this.thisNode.awaited);
  }

  /** One sync. Resolves with the reasons why something is not programmed; empty when all is. */
  async runOnce(): Promise<string[]> {
    if (!(await this.isCompleteIn(ONCE_WAIT_MS)))
      return [`not everything was read within ${ONCE_WAIT_MS / 1000} s: ${this.facts.status.trouble}`];
    await this.start();
    if (this.thisNode.awaited !== '') return [`waiting for ${this.thisNode.awaited}`];
    await this.loop.idle();
    const { lastReport, lastError } = this.agent.status;
    if (lastError !== '') return [lastError];
    const { size } = this.backend.drains;
    if (size > 0) this.log.warn('Servers drain; they stay until an agent runs again', { servers: size });
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
    const reasons = [...ofNode, ...ofServices];
    const notTakenOver = reasons.length === 0 ? await this.takeOver.settled() : '';
    return notTakenOver === ''
      ? reasons
      : [`rules of a kube-proxy of another mode are left: ${notTakenOver}`];
  }

  /** Syncs as soon as the first complete snapshot is known, and goes on following facts, configuration and addresses until `stop`. */
  run(configPath: string | undefined): void {
    if (configPath !== undefined) this.configFollower.follow(configPath, this.loaded);
    this.reporting.events.starting();
    this.begin().catch((error: unknown) => {
      this.failed.resolve(
        error instanceof PointsmanError ? error : new PointsmanError('INVALID_CONFIG', errorLine(error)),
      );
    });
  }

  /** Resolves when the agent cannot go on although nothing is wrong with the kernel: settings that do not fit this node. */
  get whenFailed(): Promise<PointsmanError> {
    return this.failed.promise;
  }

  private async begin(): Promise<void> {
    await this.complete;
    if (this.isStopping) return;
    this.facts.watch();
    await this.start();
    await this.thisNode.isKnown;
    if (!this.isStopping) this.verification.start();
  }

  /** Begins to sync, as soon as this node is known well enough; resolves at once when it is not. Throws for settings that do not fit it. */
  private async start(): Promise<void> {
    this.isComplete = true;
    this.reporting.report.started();
    this.takeNode();
    const opened = this.thisNode.isKnown.then(() => this.beginSyncs());
    if (this.thisNode.awaited === '') await opened;
    else opened.catch((error: PointsmanError) => this.failed.resolve(error));
  }

  /** This node is known well enough. */
  private beginSyncs(): void {
    if (this.isStopping) return;
    this.thisNode.report();
    this.agent.setComplete();
  }

  private async isCompleteIn(limitMs: number): Promise<boolean> {
    const { promise: isLate, resolve } = Promise.withResolvers<boolean>();
    const timer = NODE_TIMERS.set(() => resolve(false), limitMs);
    const isComplete = await Promise.race([this.complete.then(() => true), isLate]);
    NODE_TIMERS.clear(timer);
    return isComplete;
  }

  private onAddresses(): void {
    this.thisNode.takeAddresses(this.addresses.current());
    this.onNode();
  }

  private get config(): Config {
    return this.loaded.config;
  }

  private takeConfig(loaded: LoadedConfig): void {
    const { config } = loaded;
    const before = this.config;
    this.loaded = loaded;
    this.log.configure(logSettings(config));
    this.missingSchedulers.forget();
    this.backend.configure(this.settings());
    this.loop.setMinInterval(config.minSyncPeriodMs);
    this.loop.setMaxInterval(config.syncPeriodMs);
    if (config.oomScoreAdj !== before.oomScoreAdj) applyOomScore(config.oomScoreAdj, this.log);
    if (!isDeepStrictEqual(config.conntrack, before.conntrack))
      applyConntrack(config.conntrack, this.log).catch((error: unknown) =>
        this.log.error('The conntrack settings could not be changed', { err: errorLine(error) }),
      );
    this.onNode();
    this.agent.setSettingsChanged();
    this.reporting.onConfig(config);
  }

  /** The configuration in force. */
  get loadedConfig(): LoadedConfig {
    return this.loaded;
  }

  /** Resolves when everything known is programmed or has failed. */
  idle(): Promise<void> {
    return this.loop.idle();
  }

  private problems(): Problem[] {
    return [...this.manifestProblems.problems(), ...this.agent.problems()];
  }

  async status(only?: (key: ServiceKey) => boolean): Promise<AgentStatus> {
    const status = await collectStatus(this.agent, this.backend, this.port, only);
    return {
      ...status,
      verification: this.verification.status,
      takeOver: this.takeOver.status,
      facts: this.facts.status,
      awaited: this.thisNode.awaited,
      health: this.reporting.health.reasons(NODE_TIMERS.now()),
      problems: this.problems(),
    };
  }

  /** Servers that keep old connections; `target` as in drainMatcher. Throws USAGE. */
  drains(target: string): DrainingServerStatus[] {
    return matchingDrains(this.backend.drains, drainMatcher(target), this.backend.now());
  }

  /** Ends them now: what connections they have is cut. Resolves with those that were ended. Throws USAGE. */
  async endDrains(target: string): Promise<DrainingServerStatus[]> {
    const ended = this.drains(target);
    this.backend.endDrains(drainMatcher(target));
    await this.draining.lookNow();
    return ended;
  }

  metrics(): Promise<MetricFamily[]> {
    return this.reporting.collector.collect();
  }

  /** Ends following and lets a running sync end; `onWait` hears what it waits for. Forwarding stays as it is. */
  async stop(onWait: (what: string) => void = () => {}): Promise<void> {
    this.isStopping = true;
    this.configFollower.close();
    this.addresses.close();
    onWait('the source of facts');
    await this.facts.close();
    onWait('the verification that runs');
    await this.verification.stop();
    onWait('the search for stale flows that runs');
    await this.flows.stop();
    onWait('the look at what drains');
    await this.draining.stop();
    onWait("the take-over of a kube-proxy's rules");
    await this.takeOver.stop();
    onWait('the sync that runs');
    await this.loop.stop();
    onWait('the Events');
    await this.reporting.close();
    this.port.close();
  }
}
