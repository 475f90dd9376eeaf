// The TCP ports of a running agent, as kube-proxy has them: health, metrics, and one for each Service with a health-check port. They only
// read. Forwarding never waits for them, and never ends because of them unless bindAddressHardFail says so.

import type { Config } from '../config/config.ts';
import { effectiveFlags } from '../config/flagz.ts';
import type { Daemon } from '../daemon/daemon.ts';
import { KUBERNETES_VERSION } from '../daemon/kubernetes-metrics.ts';
import { named, type AgentLog } from '../daemon/log.ts';
import type { DaemonFace, ListenFailure } from '../daemon/reporting.ts';
import type { ServiceHealthChanges, HealthCheckAddresses } from '../daemon/service-health.ts';
import type { Timers } from '../daemon/sync-loop.ts';
import { VERSION } from '../files/version.ts';
import { formatEndpoint } from '../model/endpoints.ts';
import { errorLine } from '../model/errors.ts';
import { HEALTH_LIMITS, healthAnswerer } from './health-server.ts';
import { METRICS_LIMITS, metricsAnswerer, type ShownFacts } from './metrics-server.ts';
import { formatMetrics } from './prometheus-text.ts';
import { SERVICE_HEALTH_LIMITS, ServiceHealthServer } from './service-health-server.ts';
import { formatSlis, SliCounts } from './slis.ts';
import { TcpServer } from './tcp-server.ts';

export interface ProxyPortsOptions {
  readonly daemon: Daemon;
  readonly log: AgentLog;
  readonly timers: Timers;
}

/** The open ports. */
export class ProxyPorts implements DaemonFace {
  private readonly options: ProxyPortsOptions;
  private readonly health: TcpServer;
  private readonly metrics: TcpServer;
  private readonly services: ServiceHealthServer;
  private readonly slis = new SliCounts();
  private readonly startedAtMs = Date.now();

  private constructor(options: ProxyPortsOptions) {
    const { daemon, log, timers } = options;
    const { config } = daemon.loadedConfig;
    const { reporting } = daemon;
    const onBindFailure = config.bindAddressHardFail ? 'fail' : 'retry';
    this.options = options;
    this.health = new TcpServer({
      ...{ title: 'Healthz server', address: config.healthzBindAddress, onBindFailure },
      answerer: healthAnswerer({
        health: reporting.health,
        now: () => ({ monotonicMs: timers.now(), wallMs: Date.now() }),
        onAnswer: (path, code) => reporting.collector.proxy.onHealthAnswer(`/${path}`, code),
      }),
      ...{ limits: HEALTH_LIMITS, log: named(log, 'health-server'), timers },
    });
    this.metrics = new TcpServer({
      ...{ title: 'Metrics server', address: config.metricsBindAddress, onBindFailure },
      answerer: metricsAnswerer(this.shown()),
      ...{ limits: METRICS_LIMITS, log: named(log, 'metrics-server'), timers },
    });
    this.services = new ServiceHealthServer({
      isHealthy: () => reporting.health.isHealthy(timers.now()),
      onListenFailure: (failure) => reporting.tellListenFailure({ of: 'service', ...failure }),
      addresses: { IPv4: [], IPv6: [] },
      ...{ limits: SERVICE_HEALTH_LIMITS, log: named(log, 'service-health-server'), timers },
    });
  }

  /**
   * Resolves when health and metrics listen or have failed for the first time. Rejects with LISTEN_FAILED, after an Event, when one cannot be
   * had and bindAddressHardFail is on; then nothing listens.
   */
  static async open(options: ProxyPortsOptions): Promise<ProxyPorts> {
    const ports = new ProxyPorts(options);
    const { daemon } = options;
    const { healthzBindAddress } = daemon.loadedConfig.config;
    const start = async (server: TcpServer, failed: (reason: string) => ListenFailure): Promise<void> => {
      try {
        await server.start();
      } catch (error) {
        daemon.reporting.tellListenFailure(failed(errorLine(error)));
        await ports.close();
        throw error;
      }
    };
    const address =
      healthzBindAddress === null ? '' : formatEndpoint(healthzBindAddress.address, healthzBindAddress.port);
    await start(ports.health, (reason) => ({ of: 'health', address, reason }));
    await start(ports.metrics, (reason) => ({ of: 'metrics', reason }));
    daemon.reporting.attach(ports);
    return ports;
  }

  onConfig({ healthzBindAddress, metricsBindAddress }: Config): void {
    void this.health.rebind(healthzBindAddress);
    void this.metrics.rebind(metricsBindAddress);
  }

  onChanges(changes: ServiceHealthChanges): void {
    void this.services.apply(changes);
  }

  onAddresses(addresses: HealthCheckAddresses): void {
    void this.services.setAddresses(addresses);
  }

  counts(): { readonly open: number; readonly failed: number } {
    return { open: this.services.size, failed: this.services.failures };
  }

  /** Cuts all connections; health answers to the last. */
  async close(): Promise<void> {
    await this.services.close();
    await this.metrics.close();
    await this.health.close();
  }

  private shown(): ShownFacts {
    const { daemon, log } = this.options;
    const isOn = (gate: string): boolean => daemon.loadedConfig.config.featureGates[gate] !== false;
    return {
      mode: () => daemon.loadedConfig.config.mode,
      metrics: async () => formatMetrics(await daemon.metrics()),
      slis: () => {
        this.slis.note();
        return formatSlis(this.slis);
      },
      resetSlis: () => this.slis.reset(),
      config: () => daemon.loadedConfig.effective,
      flags: () => (isOn('ComponentFlagz') ? Object.fromEntries(effectiveFlags(daemon.loadedConfig)) : null),
      status: () =>
        isOn('ComponentStatusz')
          ? {
              ...{ startedAtMs: this.startedAtMs, nowMs: Date.now() },
              ...{ runtimeVersion: `Node.js ${process.version}`, binaryVersion: `pointsman ${VERSION}` },
              emulationVersion: `${KUBERNETES_VERSION.major}.${KUBERNETES_VERSION.minor}`,
            }
          : null,
      isProfiling: () => daemon.loadedConfig.config.enableProfiling,
      setVerbosity: (level) => log.setVerbosity(level),
    };
  }
}
