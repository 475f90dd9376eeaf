// `pointsman cleanup` and `pointsman run --cleanup`: removes what a proxy left in this node's kernel. Only text and exit codes: daemon/cleanup.ts
// does the work.

import type { Owner } from '../backends/ipvs/provenance.ts';
import { OBJECT_KINDS, type Kept, type ObjectKind } from '../backends/removal.ts';
import type { GivenFlags } from '../config/given-flags.ts';
import { AGENT_NAME } from '../daemon/agent-lock.ts';
import { cleanUpNode, type RunningProxy } from '../daemon/cleanup.ts';
import type { CleanupReport } from '../daemon/cleanup-run.ts';
import { describeRival, findRival, type Rival } from '../daemon/rival.ts';
import { isAnswering } from '../http/agent-socket.ts';
import { abstractNameHolder } from '../kernel/unix-socket.ts';
import type { IpAddress } from '../model/ip.ts';
import { EXIT } from './exit-codes.ts';
import { count, print } from './output.ts';
import { openStderrLog } from './stderr-log.ts';

export interface CleanupCommandOptions {
  /** Whose leftovers; default our own. */
  readonly from?: 'kube-proxy';
  readonly config?: string;
  readonly dryRun?: boolean;
  readonly force?: boolean;
  readonly socket: string;
  readonly output: 'text' | 'json';
}

/** What `pointsman cleanup -o json` prints: keys are added to, never renamed. */
export interface CleanupOutput extends CleanupReport {
  /** True: nothing was removed, `removed` is what would be. */
  readonly isDryRun: boolean;
}

/** Tells of a running kube-proxy, or null. */
export type KubeProxyDetector = () => Promise<Rival | null>;

/** Where kube-proxy serves its metrics unless told otherwise. */
const METRICS = { address: '127.0.0.1' as IpAddress, port: 10_249 };
const detectKubeProxy: KubeProxyDetector = () => findRival({ metricsAddress: METRICS });

/** Prints what was removed; exit 0, or 1 when something could not be. `kubeProxy` is asked only before its own leftovers go. */
export async function cleanupCommand(
  options: CleanupCommandOptions,
  kubeProxy: KubeProxyDetector = detectKubeProxy,
): Promise<number> {
  const isDryRun = options.dryRun === true;
  const isFromKubeProxy = options.from === 'kube-proxy';
  const report = await cleanUpNode({
    owners: [isFromKubeProxy ? 'kube-proxy' : 'pointsman'],
    configPath: options.config,
    isDryRun,
    rivalRemedy: 'go on with --force',
    rival: async () => {
      if (options.force === true) return null;
      return (await runningAgent(options.socket)) ?? (isFromKubeProxy ? runningKubeProxy(kubeProxy) : null);
    },
  });
  print<CleanupOutput>(options.output, { isDryRun, ...report }, formatCleanup);
  return report.failed.length > 0 ? EXIT.FAILED : EXIT.GOOD;
}

/** `run --cleanup`, as kube-proxy means it: all that is ours and all that is kube-proxy's goes, in every mode. Failures are logged, too. */
export async function cleanUpAll(
  options: { readonly config?: string; readonly flags?: GivenFlags; readonly socket: string },
  kubeProxy: KubeProxyDetector = detectKubeProxy,
): Promise<number> {
  const owners: readonly Owner[] = ['pointsman', 'kube-proxy'];
  const report = await cleanUpNode({
    owners,
    configPath: options.config,
    flags: options.flags,
    isDryRun: false,
    rivalRemedy: '',
    rival: async () => (await runningAgent(options.socket)) ?? runningKubeProxy(kubeProxy),
  });
  const log = openStderrLog();
  for (const { kind, object, error } of report.failed)
    log.error('Cannot remove', { kind, object, err: error });
  print('text', { isDryRun: false, ...report }, formatCleanup);
  return report.failed.length > 0 ? EXIT.FAILED : EXIT.GOOD;
}

/** By its socket, or by the name that it holds in this network namespace. */
async function runningAgent(socket: string): Promise<RunningProxy | null> {
  const code = 'AGENT_RUNNING';
  if (await isAnswering(socket)) return { code, what: `an agent answers on ${socket}` };
  const holder = abstractNameHolder(AGENT_NAME);
  return holder === null || holder.uid !== 0
    ? null
    : { code, what: `an agent runs here (pid ${holder.pid})` };
}

async function runningKubeProxy(detect: KubeProxyDetector): Promise<RunningProxy | null> {
  const rival = await detect();
  return rival === null ? null : { code: 'RIVAL_PROXY', what: describeRival(rival) };
}

/** One of a kind, and many. */
const NAMES: Record<ObjectKind, readonly [one: string, many: string]> = {
  address: ['address', 'addresses on kube-ipvs0'],
  member: ['member', 'set members'],
  virtualServer: ['virtual server', 'virtual servers'],
  jump: ['jump', 'jumps'],
  chain: ['chain', 'chains'],
  table: ['table', 'nf_tables tables'],
  set: ['set', 'sets'],
  link: ['link', 'links'],
  rules: ['rules', 'rules'],
};

/** A line for each kind with its number, or in a dry run one for each object, in order; then what could not be removed, and what stays. */
export function formatCleanup({ isDryRun, removed, failed, left, kept }: CleanupOutput): string {
  const lines: string[] = [];
  if (isDryRun) lines.push(...removed.map(({ kind, object }) => `- ${NAMES[kind][0]} ${object}`));
  else
    for (const kind of OBJECT_KINDS) {
      const number = (list: readonly { readonly kind: ObjectKind }[]): number =>
        list.filter((each) => each.kind === kind).length;
      const parts = [
        [number(removed), 'removed'],
        [number(failed), 'failed'],
        [number(left), 'left'],
      ] as const;
      const said = parts.filter(([many]) => many > 0).map(([many, what]) => `${many} ${what}`);
      if (said.length > 0) lines.push(`${NAMES[kind][1]}: ${said.join(', ')}`);
    }
  for (const { kind, object, error } of failed) lines.push(`failed: ${NAMES[kind][0]} ${object}: ${error}`);
  lines.push(...grouped('left', left), ...grouped('kept', kept));
  if (removed.length === 0 && failed.length === 0) lines.push('Nothing to remove.');
  else if (isDryRun) lines.push(`${count(removed.length, 'object')} would be removed.`);
  return `${lines.join('\n')}\n`;
}

/** How many objects a line names before it only counts. */
const SHOWN = 3;

/** One line for each kind and reason, as a node may have thousands of what stays. */
function grouped(word: string, list: readonly Kept[]): string[] {
  const groups = new Map<string, Kept[]>();
  for (const each of list) {
    const key = `${each.kind} ${each.reason}`;
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const shown = group.slice(0, SHOWN).map(({ object }) => object);
    const more = group.length > SHOWN ? ` and ${group.length - SHOWN} more` : '';
    const name = NAMES[first.kind][group.length === 1 ? 0 : 1];
    return `${word}: ${first.kind === 'rules' ? '' : `${name} `}${shown.join(', ')}${more}: ${first.reason}`;
  });
}
