// `pointsman status`: asks the running agent and prints what a person or a program wants to know.

import type { AgentStatus, ServiceStatus } from '../daemon/status.ts';
import { askAgent } from '../http/agent-socket.ts';
import { PointsmanError } from '../model/errors.ts';
import { parseServiceKey } from '../model/names.ts';
import { formatProblem } from '../model/problem.ts';
import { formatScheduling } from '../model/schedulers.ts';
import { EXIT } from './exit-codes.ts';
import { count, formatTable, print } from './output.ts';
import { statusSections, unsyncedReasons } from './status-sections.ts';

export interface StatusOptions {
  readonly socket: string;
  readonly output: 'text' | 'json';
}

/** Exit 0, or 1 when something is not programmed. */
export async function statusCommand(service: string | undefined, options: StatusOptions): Promise<number> {
  if (service !== undefined && parseServiceKey(service) === null)
    throw new PointsmanError('USAGE', `"${service}" is no Service; write namespace/name`);
  const query = service === undefined ? '' : `?${new URLSearchParams({ service }).toString()}`;
  const status = (await askAgent(options.socket, `/status${query}`)) as AgentStatus;
  print(options.output, status, formatStatus);
  return status.isSynced ? EXIT.GOOD : EXIT.FAILED;
}

/** The status as text: a line on the agent, the table of servers, what else there is to say, problems last. */
export function formatStatus(status: AgentStatus): string {
  const lines = [
    headline(status),
    '',
    formatTable(
      ['SERVICE', 'VIRTUAL SERVER', 'SCHEDULER', 'REAL SERVER', 'WEIGHT', 'ACTIVE', 'INACTIVE', 'STATE'],
      status.services.flatMap(serviceRows),
    ).trimEnd(),
  ];
  if (status.foreignVirtualServers.length > 0) {
    lines.push(
      '',
      'Virtual servers that others made (left alone):',
      ...status.foreignVirtualServers.map((each) => `  ${each}`),
    );
  }
  if (status.health.length > 0)
    lines.push(
      '',
      'Health is red (503 at /healthz and /livez):',
      ...status.health.map((each) => `  ${each}`),
    );
  for (const section of statusSections(status)) lines.push('', ...section);
  lines.push('', status.problems.length === 0 ? 'No problems.' : 'Problems:');
  for (const problem of status.problems) lines.push(`  ${formatProblem(problem)}`);
  return `${lines.join('\n')}\n`;
}

function headline(status: AgentStatus): string {
  const state = stateText(status);
  const last =
    status.lastSync === null
      ? ''
      : `; last sync ${count(status.lastSync.operations, 'operation')} in ${status.lastSync.durationMs.toFixed(1)} ms`;
  return `Node ${status.node}, mode ${status.mode}, scheduler ${status.scheduler}, ${count(status.services.length, 'Service')}: ${state}${last}`;
}

function stateText(status: AgentStatus): string {
  const { facts, lastError, lastSync } = status;
  if (facts?.isComplete === false) {
    const { from, trouble } = facts;
    return `not synced (waiting for ${trouble === '' || trouble.startsWith(from) ? trouble || from : `${from}: ${trouble}`})`;
  }
  if (status.awaited !== '') return `not synced (waiting for ${status.awaited})`;
  if (status.isSynced) return 'synced';
  if (lastError !== '') return `not synced: ${lastError}`;
  return `not synced (${lastSync === null ? 'first sync not done' : unsyncedReasons(status)})`;
}

function serviceRows({ service, virtualServers }: ServiceStatus): string[][] {
  if (virtualServers.length === 0) return [[service, '-', '', '', '', '', '', '']];
  return virtualServers.flatMap((virtualServer, i) => {
    const { protocol, address, scheduler, schedulerFlags, affinitySeconds, realServers } = virtualServer;
    const head = [
      i === 0 ? service : '',
      `${protocol} ${address}`,
      formatScheduling(scheduler, schedulerFlags, affinitySeconds),
    ];
    if (realServers.length === 0) return [[...head, '(none: connections are refused)', '', '', '', '']];
    return realServers.map((server, j) => [
      ...(j === 0 ? head : ['', '', '']),
      server.address,
      String(server.weight),
      String(server.activeConnections),
      String(server.inactiveConnections),
      server.state,
    ]);
  });
}
