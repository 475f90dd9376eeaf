// The parts of the text of `pointsman status` that are there only when there is something to say: what is refused, left over, repaired,
// verified, and which kernel switches are not as wanted. Each part is a few lines; -o json has everything. Pure.

import type { FailedOperation } from '../backends/ipvs/failures.ts';
import { REPAIR_KINDS, type RepairKind } from '../backends/ipvs/repairs.ts';
import type { AgentStatus } from '../daemon/status.ts';
import { count, formatTable } from './output.ts';

/** Lines of a part before "and 7 more". */
const MAX_LINES = 20;
const MAX_REPAIRS = 5;

const KIND_NAMES: Readonly<Record<RepairKind, readonly [one: string, many: string]>> = {
  virtualServer: ['virtual server', 'virtual servers'],
  realServers: ['list of real servers', 'lists of real servers'],
  member: ['set member', 'set members'],
  set: ['set', 'sets'],
  address: ['address', 'addresses'],
  link: ['link', 'links'],
  rules: ['set of rules', 'sets of rules'],
  switch: ['kernel switch', 'kernel switches'],
};

/** The parts that say something, each as its lines: a heading, then lines indented by two blanks. */
export function statusSections(status: AgentStatus): string[][] {
  return [
    facts(status.facts),
    failedOperations(status.failedOperations),
    leftovers(status.leftovers),
    draining(status.draining),
    takeOver(status.takeOver),
    switches(status.kernel),
    repairs(status.repairs),
    verification(status.verification),
  ].filter((lines) => lines.length > 0);
}

/** Why not everything is programmed, in one line without heading: "1 failed Service, 2 pending". */
export function unsyncedReasons({
  lastSync,
  pendingServices,
  leftovers: left,
  failedOperations: failed,
}: AgentStatus): string {
  const ofNode = failed.filter(({ service, isRemoval }) => service === null && !isRemoval).length;
  const reasons = [
    count(lastSync?.failedServices.length ?? 0, 'failed Service'),
    `${pendingServices.toLocaleString('en-US')} pending`,
    ...(left.length === 0 ? [] : [`${left.length.toLocaleString('en-US')} left over`]),
    ...(ofNode === 0 ? [] : [count(ofNode, 'failure of the node', 'failures of the node')]),
  ];
  return reasons.join(', ');
}

function facts(status: AgentStatus['facts']): string[] {
  if (status === null) return [];
  const { from, isComplete, trouble, kinds, recording } = status;
  const counts = Object.entries(kinds ?? {}).map(
    ([kind, { objects }]) => `${objects.toLocaleString('en-US')} ${kind}s`,
  );
  return [
    ...(kinds === null ? [] : [`Follows ${from}: ${counts.join(', ')}`]),
    ...(trouble === '' || !isComplete
      ? []
      : [`  It cannot be followed at present, and what is known stays in force: ${trouble}`]),
    ...(recording === null
      ? []
      : [
          recording.state === 'recording'
            ? `Records to ${recording.path}: ${count(recording.events, 'event')}, ${recording.bytes.toLocaleString('en-US')} bytes`
            : recording.reason,
        ]),
  ];
}

function failedOperations(operations: readonly FailedOperation[]): string[] {
  if (operations.length === 0) return [];
  const rows = operations
    .slice(0, MAX_LINES)
    .map(({ object, operation, errno, errnoName, service, isRemoval }) => [
      object,
      operation === '' ? '-' : operation,
      errno === 0 ? errnoName : `${errnoName} (${errno})`,
      service ?? (isRemoval ? '(none any more)' : '(the node)'),
    ]);
  return [
    'Failed operations (tried again by themselves):',
    ...indent(formatTable(['OBJECT', 'OPERATION', 'ERRNO', 'SERVICE'], rows)),
    ...more(operations.length - rows.length),
  ];
}

function leftovers(objects: readonly string[]): string[] {
  if (objects.length === 0) return [];
  return [
    'Left over (wanted by no Service and not removable yet; tried again):',
    ...objects.slice(0, MAX_LINES).map((each) => `  ${each}`),
    ...more(objects.length - MAX_LINES),
  ];
}

function draining({ servers }: AgentStatus['draining']): string[] {
  if (servers.length === 0) return [];
  const rows = servers
    .slice(0, MAX_LINES)
    .map(({ virtualServer, address, activeConnections, inactiveConnections, secondsLeft, service }) => [
      virtualServer,
      address,
      String(activeConnections),
      String(inactiveConnections),
      `${secondsLeft} s`,
      service === '' ? '(none any more)' : service,
    ]);
  return [
    'Draining (no new connections; what is left at the end of the time is cut):',
    ...indent(
      formatTable(['VIRTUAL SERVER', 'REAL SERVER', 'ACTIVE', 'INACTIVE', 'TIME LEFT', 'SERVICE'], rows),
    ),
    ...more(servers.length - rows.length),
  ];
}

function takeOver(status: AgentStatus['takeOver']): string[] {
  if (status === null || status.state === 'none' || status.state === 'done') return [];
  const { state, what, reason } = status;
  const why = reason === '' ? '' : `: ${reason}`;
  return [
    state === 'failed'
      ? `What a kube-proxy of another mode left could not be removed, and is tried again${why}`
      : `What a kube-proxy of another mode left goes when all of ours was compared and is right${why}`,
    ...what.map((each) => `  ${each}`),
  ];
}

function switches({ switches: states, error }: AgentStatus['kernel']): string[] {
  if (error !== '') return [`Kernel switches cannot be read: ${error}`];
  const wrong = states.filter(({ value, wanted }) => wanted !== null && value !== null && value !== wanted);
  if (wrong.length === 0) return [];
  return [
    'Kernel switches that are not as wanted:',
    ...wrong.map(({ path, value, wanted, why }) => `  ${path} is ${value}, wanted ${wanted}: ${why}`),
  ];
}

function repairs({ total, byKind, last }: AgentStatus['repairs']): string[] {
  if (total === 0) return [];
  const kinds = REPAIR_KINDS.filter((kind) => byKind[kind] > 0).map((kind) =>
    count(byKind[kind], ...KIND_NAMES[kind]),
  );
  const shown = last.slice(-MAX_REPAIRS);
  return [
    `Put right after somebody else changed it: ${kinds.join(', ')}${shown.length < total ? '; the last ones:' : ':'}`,
    ...shown.map(({ object, what }) => `  ${object} ${what}`),
  ];
}

function verification(status: AgentStatus['verification']): string[] {
  if (status === null) return [];
  const { cycles, slice, slices, lastCycle, lastError } = status;
  const failure = lastError === '' ? [] : [`Verification fails at present: ${lastError}`];
  if (cycles === 0 && slice === 0) return failure;
  const done = `${count(cycles, 'complete comparison')} with the kernel`;
  const last =
    lastCycle === null
      ? ''
      : `; the last took ${formatDuration(lastCycle.durationMs)}, ${formatDuration(lastCycle.workMs)} of it work`;
  const next =
    slice === 0
      ? ''
      : `; ${slice} of about ${Math.max(slice, slices)} slices of the ${cycles === 0 ? 'first' : 'next'}`;
  return [`Verification: ${done}${last}${next}`, ...failure];
}

/** "12.3 ms", "480.0 s" */
function formatDuration(durationMs: number): string {
  return durationMs < 1000 ? `${durationMs.toFixed(1)} ms` : `${(durationMs / 1000).toFixed(1)} s`;
}

function indent(table: string): string[] {
  return table.split('\n').flatMap((line) => (line === '' ? [] : [`  ${line}`]));
}

function more(number: number): string[] {
  return number > 0 ? [`  and ${number.toLocaleString('en-US')} more (-o json has all)`] : [];
}
