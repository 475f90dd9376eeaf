// What a running agent answers on its socket: paths and query parameters on this side, the daemon's values on the other.

import type { MetricFamily } from '../daemon/metrics.ts';
import type { AgentStatus } from '../daemon/status.ts';
import { PointsmanError } from '../model/errors.ts';
import { parseServiceKey, type ServiceKey } from '../model/names.ts';
import type { JsonRoute, TextRoute } from './agent-socket.ts';
import { formatMetrics, PROMETHEUS_CONTENT_TYPE } from './prometheus-text.ts';

/** The part of the daemon that is asked. */
export interface AskedDaemon {
  status(only?: (key: ServiceKey) => boolean): Promise<AgentStatus>;
  metrics(): readonly MetricFamily[];
}

/** The routes of serveAgentSocket: GET /status, GET /status?service=namespace/name, GET /metrics. */
export function agentRoutes(daemon: AskedDaemon): { '/status': JsonRoute; '/metrics': TextRoute } {
  return {
    '/status': async (query) => daemon.status(serviceFilter(query)),
    '/metrics': {
      contentType: PROMETHEUS_CONTENT_TYPE,
      text: async () => formatMetrics(daemon.metrics()),
    },
  };
}

function serviceFilter(query: URLSearchParams): ((key: ServiceKey) => boolean) | undefined {
  const wanted = query.get('service');
  if (wanted === null) return undefined;
  if (parseServiceKey(wanted) === null)
    throw new PointsmanError('USAGE', `"${wanted}" is no Service; write namespace/name`);
  return (key) => key === wanted;
}
