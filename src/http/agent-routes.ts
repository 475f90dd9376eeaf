// What a running agent answers on its socket: paths and query parameters on this side, the daemon's values on the other.

import type { MetricFamily } from '../daemon/metric-families.ts';
import type { AgentStatus } from '../daemon/status.ts';
import { PointsmanError } from '../model/errors.ts';
import { parseServiceKey, type ServiceKey } from '../model/names.ts';
import type { DrainingServerStatus } from '../daemon/drain-status.ts';
import type { ActionRoute, JsonRoute, TextRoute } from './agent-socket.ts';
import { formatMetrics, PROMETHEUS_CONTENT_TYPE } from './prometheus-text.ts';

/** The part of the daemon that is asked. */
export interface AskedDaemon {
  drains(target: string): readonly DrainingServerStatus[];
  endDrains(target: string): Promise<readonly DrainingServerStatus[]>;
  status(only?: (key: ServiceKey) => boolean): Promise<AgentStatus>;
  metrics(): readonly MetricFamily[] | Promise<readonly MetricFamily[]>;
}

/**
 * The routes of serveAgentSocket: GET /status, GET /status?service=namespace/name, GET /metrics, GET /drains?target=TARGET, and
 * POST /drains/end with {"target": TARGET}; TARGET as in drainMatcher, "all" when absent from the GET.
 */
export function agentRoutes(daemon: AskedDaemon): {
  '/status': JsonRoute;
  '/metrics': TextRoute;
  '/drains': JsonRoute;
  '/drains/end': ActionRoute;
} {
  return {
    '/drains': async (query) => daemon.drains(query.get('target') ?? 'all'),
    '/drains/end': {
      method: 'POST',
      run: async (body) => daemon.endDrains(targetOf(body)),
    },
    '/status': async (query) => daemon.status(serviceFilter(query)),
    '/metrics': {
      contentType: PROMETHEUS_CONTENT_TYPE,
      text: async () => formatMetrics(await daemon.metrics()),
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

function targetOf(body: unknown): string {
  const target = typeof body === 'object' && body !== null && 'target' in body ? body.target : undefined;
  if (typeof target === 'string') return target;
  throw new PointsmanError(
    'USAGE',
    'the body must have a target: all, NAMESPACE/NAME, ADDRESS or ADDRESS:PORT',
  );
}
