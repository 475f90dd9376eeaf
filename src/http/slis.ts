// /metrics/slis: the health of the component as Kubernetes' service-level indicators have it. There is one check, "ping", which is good
// whenever it is asked, because a process that answers is alive. Source: Kubernetes component-base, metrics/prometheus/slis.

import { formatMetrics } from './prometheus-text.ts';
import type { MetricFamily } from '../daemon/metric-families.ts';

const CHECK = { name: 'ping', type: 'healthz' };

/** How often the check was made, since the start or the last reset. */
export class SliCounts {
  private count = 0;

  note(): void {
    this.count++;
  }

  reset(): void {
    this.count = 0;
  }

  get checks(): number {
    return this.count;
  }
}

/** As Prometheus text. */
export function formatSlis({ checks }: SliCounts): string {
  const isKnown = checks > 0;
  const families: MetricFamily[] = [
    {
      name: 'kubernetes_healthcheck',
      type: 'gauge',
      help: '[STABLE] This metric records the result of a single healthcheck.',
      samples: isKnown ? [{ labels: CHECK, value: 1 }] : [],
    },
    {
      name: 'kubernetes_healthchecks_total',
      type: 'counter',
      help: '[STABLE] This metric records the results of all healthcheck.',
      samples: isKnown ? [{ labels: { ...CHECK, status: 'success' }, value: checks }] : [],
    },
  ];
  return formatMetrics(families);
}
