// All metrics of a running agent, put together: ours, kube-proxy's, the API client's, the process's, and the traffic of Services where it is
// asked for. Holds the recorders, for whoever wires them to what they record.

import type { Family } from '../model/ip.ts';
import { VERSION } from '../files/version.ts';
import type { MetricFamily } from './metric-families.ts';
import { agentMetrics, type MetricSources } from './metrics.ts';
import { kubernetesMetrics } from './kubernetes-metrics.ts';
import { processMetrics, readProcessFacts } from './process-metrics.ts';
import { ProxyMetrics } from './proxy-metrics.ts';
import { RestClientMetrics } from './rest-client-metrics.ts';
import type { ServiceTraffic } from './service-traffic.ts';

/** What MetricsCollector is made of. */
export interface MetricsCollectorOptions {
  /** Those that this node serves. */
  readonly families: readonly Family[];
  /** Milliseconds of a clock that does not jump. */
  readonly now: () => number;
  /** Milliseconds since the epoch. */
  readonly wallMs: () => number;
  /** What there is at the moment of a collection; reads nothing. */
  readonly sources: () => MetricSources;
  /** config.featureGates at the moment of a collection. */
  readonly featureGates: () => Readonly<Record<string, boolean>>;
  readonly traffic: Pick<ServiceTraffic, 'collect'>;
}

/** See above. */
export class MetricsCollector {
  /** An observer of the agent; to be told of flow passes and health answers as well. */
  readonly proxy: ProxyMetrics;
  /** An observer of the API client. */
  readonly restClient = new RestClientMetrics();
  private readonly options: MetricsCollectorOptions;

  constructor(options: MetricsCollectorOptions) {
    this.options = options;
    this.proxy = new ProxyMetrics(options);
  }

  /** All metrics, in the order in which they are written. All but the traffic of Services is of one moment. */
  async collect(): Promise<MetricFamily[]> {
    const { featureGates, sources, traffic } = this.options;
    const ofServices = await traffic.collect();
    const current = sources();
    return [
      ...this.proxy.collect(current),
      ...kubernetesMetrics({
        version: VERSION,
        nodeVersion: process.version,
        arch: process.arch,
        featureGates: featureGates(),
      }),
      ...agentMetrics(current),
      ...ofServices,
      ...processMetrics(readProcessFacts()),
      ...this.restClient.collect(),
    ];
  }
}
