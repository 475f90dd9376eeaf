// What a running agent answers on its socket: paths and query parameters on this side, the daemon's values on the other.

import type { AgentStatus } from '../daemon/status.ts';
import { PointsmanError } from '../model/errors.ts';
import { parseServiceKey, type ServiceKey } from '../model/names.ts';
import type { JsonRoute } from './agent-socket.ts';

/** The part of the daemon that is asked. */
export interface AskedDaemon {
  status(only?: (key: ServiceKey) => boolean): Promise<AgentStatus>;
}

/** The routes of serveAgentSocket: GET /status, GET /status?service=namespace/name. */
export function agentRoutes(daemon: AskedDaemon): Readonly<Record<string, JsonRoute>> {
  return { '/status': async (query) => daemon.status(serviceFilter(query)) };
}

function serviceFilter(query: URLSearchParams): ((key: ServiceKey) => boolean) | undefined {
  const wanted = query.get('service');
  if (wanted === null) return undefined;
  if (parseServiceKey(wanted) === null)
    throw new PointsmanError('USAGE', `"${wanted}" is no Service; write namespace/name`);
  return (key) => key === wanted;
}
