// Wires one of each into a running agent: facts, configuration, this node's addresses, the IPVS backend and the sync loop.

import { CountedPort } from '../backends/ipvs/counted-port.ts';
import { IpvsBackend } from '../backends/ipvs/backend.ts';
import { KernelPort } from '../backends/ipvs/kernel-port.ts';
import type { KernelBehaviour } from '../backends/ipvs/kernel-behaviour.ts';
import { probeScheduler } from '../backends/ipvs/schedulers-probe.ts';
import { probeKernelBehaviour } from '../backends/ipvs/kernel-behaviour-probe.ts';
import { formatManifestProblem, type ManifestProblem } from '../cluster/manifests.ts';
import type { Config } from '../config/config.ts';
import { nextTurn } from '../kernel/netlink.ts';
import { errorLine } from '../model/errors.ts';
import type { Family, IpAddress } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { Problem } from '../model/problem.ts';
import type { NodeOptions } from '../plan/plan.ts';
import { Agent } from './agent.ts';
import { mayBeLeft } from './cleanup-plan.ts';
import { findProxyTables, KernelCleanupPort } from './cleanup-port.ts';
import { ConfigFollower } from './config-follower.ts';
import { chooseSource, type ChosenSource } from './facts-origin.ts';
import { Facts } from './facts.ts';
import { drainMatcher, matchingDrains, type DrainingServerStatus } from './drain-status.ts';
import { Draining, logCut } from './draining.ts';
import { Flows } from './flows.ts';
import { LocalAddresses } from './local-addresses.ts';
import { MissingSchedulers } from './missing-schedulers.ts';
import type { Log } from './log.ts';
import { NODE_TIMERS } from './node-timers.ts';
import { makePacer } from './pacer.ts';
import { describeRival, findRival } from './rival.ts';
import { ipvsSettings, nodeOptionsFrom } from './settings.ts';
import { detectFamilies, readConfig, requireRoot, requireScheduler, type DaemonOptions } from './start-up.ts';
import { agentMetrics, type MetricFamily } from './metrics.ts';
import { collectFacts, collectStatus, failureText, type AgentStatus } from './status.ts';
import { SyncLoop, type SyncReason } from './sync-loop.ts';
import { TakeOver } from './take-over.ts';
import { logRepair, Verification } from './verification.ts';

const RETRY_INITIAL_MS = 1000;
const RETRY_MAX_MS = 30_000;
/** `run --once` gives up on an API server that is away for this long. */
const ONCE_WAIT_MS = 60_000;

/** A running agent. */
export class Daemon {
  private readonly log: Log;
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
  private readonly nodeName: string;
  private readonly families: readonly Family[];
  private readonly behaviour: KernelBehaviour;
  private config: Config;
  private localAddresses: readonly IpAddress[] = [];
  /** Resolves when the first complete snapshot is known; never when the daemon is stopped before. */
  private complete: Promise<void> = Promise.resolve();
  private isStopping = false;
  private manifestProblems: readonly ManifestProblem[] = [];
  private readonly loggedManifests = new Set<string>();
  private readonly missingSchedulers = new MissingSchedulers(probeScheduler);
  private readonly pace = makePacer(() => performance.now(), nextTurn);

  private constructor(
    options: DaemonOptions,
    config: Config,
    nodeName: string,
    families: readonly Family[],
    port: KernelPort,
    behaviour: KernelBehaviour,
    suspects: ReadonlyMap<Family, boolean>,
    source: ChosenSource,
  ) {
    this.behaviour = behaviour;
    this.log = options.log;
    this.config = config;
    this.nodeName = nodeName;
    this.families = families;
    this.port = port;
    this.counted = new CountedPort(port);
    this.flows = new Flows({
      beside: (task) => this.loop.beside(task),
      log: this.log,
      timers: NODE_TIMERS,
    });
    this.backend = new IpvsBackend(this.counted, families, this.settings(), {
      onRepair: (repair) => logRepair(this.log, repair),
      onFlowChange: (change) => this.flows.keeper.note(change),
      onCut: (cut) => logCut(this.log, cut),
      onTakeOver: (virtualServers) =>
        this.log.info('Took over virtual servers of the proxy before us in place', { virtualServers }),
    });
    this.facts = new Facts({
      ...{ source, config, nodeName, record: options.record, log: this.log, timers: NODE_TIMERS },
      onFacts: (...facts) => this.onFacts(...facts),
    });
    this.agent = new Agent({
      backend: this.backend,
      log: this.log,
      node: this.nodeOptions(),
      pace: this.pace,
      onDirty: () => this.loop.request(),
    });
    this.loop = new SyncLoop(
      (reason) => this.sync(reason),
      (error) => this.log.error('Sync ended with an unexpected error', { err: errorLine(error) }),
      {
        minIntervalMs: config.minSyncPeriodMs,
        retryInitialMs: RETRY_INITIAL_MS,
        retryMaxMs: RETRY_MAX_MS,
        timers: NODE_TIMERS,
      },
    );
    this.verification = new Verification({
      backend: this.backend,
      agent: this.agent,
      syncLoop: this.loop,
      log: this.log,
      timers: NODE_TIMERS,
      afterWork: () => this.afterWork(),
    });
    this.draining = new Draining({
      backend: this.backend,
      agent: this.agent,
      beside: (task) => this.loop.beside(task),
      timers: NODE_TIMERS,
    });
    this.takeOver = new TakeOver({
      families,
      kernel: port,
      suspects,
      tables: () => findProxyTables(families),
      openLeftovers: () => KernelCleanupPort.open(families),
      verifier: this.backend.verifier,
      obstacle: () => failureText(collectFacts(this.agent, this.backend)),
      rival: async () => {
        const rival = await findRival({ metricsAddress: this.config.metricsBindAddress });
        return rival === null ? null : describeRival(rival);
      },
      beside: (work) => this.verification.beside(work),
      onRemoved: () => this.backend.retellFlows(),
      log: this.log,
      timers: NODE_TIMERS,
    });
    this.configFollower = new ConfigFollower({
      log: this.log,
      check: ({ ipvs }) => requireScheduler(ipvs.scheduler),
      flags: options.flags,
      onConfig: (changed) => this.takeConfig(changed.config),
    });
  }

  /**
   * Opens the kernel, reads manifests or begins to read an API server, and reads this node's addresses; writes nothing yet. `claim` runs once the configuration is known to be
   * good and before the kernel is touched; what it throws ends the opening. Throws what is missing (MISSING_...), INVALID_CONFIG,
   * UNSUPPORTED_MODE, INVALID_MANIFEST.
   */
  static async open(
    options: DaemonOptions,
    claim: (config: Config) => Promise<void> = async () => {},
  ): Promise<Daemon> {
    const { config, nodeName } = await readConfig(options);
    const source = chooseSource(options.facts, config, {
      ...{ asker: 'agent', hasConfigFile: options.configPath !== undefined, env: process.env },
      onVoid: (line) => options.log.warn(line),
      onKept: (problem) =>
        problem === null
          ? options.log.info('The credentials for the API server can be read again')
          : options.log.warn('Credentials cannot be renewed; the last good ones are used', {
              err: problem.message,
            }),
    });
    requireRoot();
    await claim(config);
    const families = detectFamilies();
    const suspects = new Map<Family, boolean>();
    const port = await KernelPort.open(families, {
      onSavedRules: (family, text) => suspects.set(family, suspects.get(family) === true || mayBeLeft(text)),
    });
    await requireScheduler(config.ipvs.scheduler);
    const behaviour = probeKernelBehaviour();
    const daemon = new Daemon(options, config, nodeName, families, port, behaviour, suspects, source);
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

  private async sync(reason: SyncReason): Promise<{ needsRetry: boolean }> {
    await this.takeOver.beforeSync();
    const result = await this.agent.sync(reason);
    this.afterWork();
    const isNews = await this.missingSchedulers.learn(this.backend.failedOperations(), (key) =>
      (this.agent.planOf(key)?.virtualServers ?? []).map(({ scheduler }) => scheduler),
    );
    if (isNews) this.agent.setNode(this.nodeOptions());
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

  private nodeOptions(): NodeOptions {
    // While the parts are made there is no agent yet, hence no Node object.
    const node = (this.agent as Agent | undefined)?.snapshot.node(this.nodeName);
    return nodeOptionsFrom(this.config, {
      nodeName: this.nodeName,
      families: this.families,
      node,
      localAddresses: this.localAddresses,
      missingSchedulers: this.missingSchedulers.current(),
    });
  }

  private async readFacts(): Promise<void> {
    await this.facts.open();
    await this.addresses.follow({
      onChange: () => this.onAddresses(),
      onServiceLink: (event) => this.verification.onServiceLink(event),
      onError: (error) =>
        this.log.error('Cannot read the addresses of this node; NodePorts stay on those known', {
          err: errorLine(error),
        }),
    });
    this.localAddresses = this.addresses.current();
    this.agent.setNode(this.nodeOptions());
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
    this.manifestProblems = problems;
    const lines = new Set([...problems, ...warnings].map(formatManifestProblem));
    for (const line of lines) if (!this.loggedManifests.has(line)) this.log.warn(line);
    this.loggedManifests.clear();
    for (const line of lines) this.loggedManifests.add(line);
    this.agent.onEvents(events, more);
    if (events.some((event) => (event.type === 'apply' ? event.object.kind : event.kind) === 'Node'))
      this.agent.setNode(this.nodeOptions());
  }

  /** One sync. Resolves with the reasons why something is not programmed; empty when all is. */
  async runOnce(): Promise<string[]> {
    if (!(await this.isCompleteIn(ONCE_WAIT_MS)))
      return [`not everything was read within ${ONCE_WAIT_MS / 1000} s: ${this.facts.status.trouble}`];
    this.agent.setComplete();
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
    if (configPath !== undefined) this.configFollower.follow(configPath);
    void this.begin();
  }

  private async begin(): Promise<void> {
    await this.complete;
    if (this.isStopping) return;
    this.facts.watch();
    this.agent.setComplete();
    this.verification.start();
  }

  private async isCompleteIn(limitMs: number): Promise<boolean> {
    const { promise: isLate, resolve } = Promise.withResolvers<boolean>();
    const timer = NODE_TIMERS.set(() => resolve(false), limitMs);
    const isComplete = await Promise.race([this.complete.then(() => true), isLate]);
    NODE_TIMERS.clear(timer);
    return isComplete;
  }

  private onAddresses(): void {
    this.localAddresses = this.addresses.current();
    this.agent.setNode(this.nodeOptions());
  }

  private takeConfig(config: Config): void {
    this.config = config;
    this.missingSchedulers.forget();
    this.backend.configure(this.settings());
    this.loop.setMinInterval(config.minSyncPeriodMs);
    this.agent.setNode(this.nodeOptions());
    this.agent.setSettingsChanged();
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
    return {
      ...status,
      verification: this.verification.status,
      takeOver: this.takeOver.status,
      facts: this.facts.status,
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

  metrics(): MetricFamily[] {
    return agentMetrics({
      facts: collectFacts(this.agent, this.backend),
      verification: this.verification.status,
      kernel: this.counted,
      flows: this.flows.keeper,
      source: this.facts.status,
    });
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
    this.port.close();
  }
}
