// `pointsman drain`: shows which servers keep old connections, and ends their drains when asked.

import type { DrainingServerStatus } from '../daemon/drain-status.ts';
import { askAgent } from '../http/agent-socket.ts';
import { PointsmanError } from '../model/errors.ts';
import { EXIT } from './exit-codes.ts';
import { count, formatTable, print } from './output.ts';

export interface DrainOptions {
  readonly socket: string;
  readonly output: 'text' | 'json';
  /** End the drains instead of showing them. */
  readonly end?: boolean;
}

/** What `pointsman drain -o json` prints: keys are added to, never renamed. */
export interface DrainOutput {
  readonly isEnded: boolean;
  readonly servers: readonly DrainingServerStatus[];
}

export async function drainCommand(target: string | undefined, options: DrainOptions): Promise<number> {
  const isEnded = options.end === true;
  if (isEnded && target === undefined)
    throw new PointsmanError('USAGE', 'say what is to end: a Service, an address, or all');
  const meant = target ?? 'all';
  const answer = isEnded
    ? await askAgent(options.socket, '/drains/end', { target: meant })
    : await askAgent(options.socket, `/drains?${new URLSearchParams({ target: meant }).toString()}`);
  const servers = answer as readonly DrainingServerStatus[];
  print<DrainOutput>(options.output, { isEnded, servers }, formatDrains);
  return EXIT.GOOD;
}

/** A table of the drains, or what was ended. */
export function formatDrains({ isEnded, servers }: DrainOutput): string {
  if (servers.length === 0) return isEnded ? 'Nothing to end.\n' : 'Nothing drains.\n';
  const table = formatTable(
    ['VIRTUAL SERVER', 'REAL SERVER', 'ACTIVE', 'INACTIVE', 'SINCE', 'TIME LEFT', 'SERVICE'],
    servers.map((each) => [
      each.virtualServer,
      each.address,
      String(each.activeConnections),
      String(each.inactiveConnections),
      `${each.drainingForSeconds} s`,
      `${each.secondsLeft} s`,
      each.service === '' ? '(none any more)' : each.service,
    ]),
  );
  return isEnded ? `${table}${count(servers.length, 'drain')} ended.\n` : table;
}
