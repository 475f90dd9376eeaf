// `pointsman plan`: what `run` would change, without changing it. It is the agent's own first sync on a port that only writes down.

import { IpvsBackend } from '../backends/ipvs/backend.ts';
import { KernelPort } from '../backends/ipvs/kernel-port.ts';
import { EMPTY_KERNEL, RecordingPort, type PlannedWrite } from '../backends/ipvs/recording-port.ts';
import { formatManifestProblem, ManifestSource } from '../cluster/manifests.ts';
import { Agent } from '../daemon/agent.ts';
import { detectFamilies, readConfig } from '../daemon/daemon.ts';
import { LocalAddresses } from '../daemon/local-addresses.ts';
import { openLog } from '../daemon/log.ts';
import { makeNodeOptions } from '../daemon/node-options.ts';
import { ipvsSettings, nodeSettings } from '../daemon/settings.ts';
import { formatProblem } from '../model/problem.ts';
import { nextTurn } from '../kernel/netlink.ts';
import { EXIT } from './exit-codes.ts';
import { count } from './output.ts';

export interface PlanOptions {
  readonly manifests: string;
  readonly config?: string;
  readonly hostnameOverride?: string;
  readonly fromEmpty?: boolean;
  readonly detailedExitcode?: boolean;
  readonly output: 'text' | 'json';
}

/** What `plan -o json` prints. */
export interface PlanOutput {
  readonly node: string;
  readonly changes: readonly PlannedWrite[];
  /** One line each: objects that are wrong and left out. */
  readonly problems: readonly string[];
}

export async function planCommand(options: PlanOptions): Promise<number> {
  const log = openLog({
    write: (line) => process.stderr.write(`${line}\n`),
    now: () => new Date(),
    pid: process.pid,
  });
  const output = await makePlan(options, log);
  process.stdout.write(
    options.output === 'json' ? `${JSON.stringify(output, null, 2)}\n` : formatPlan(output),
  );
  return options.detailedExitcode === true && output.changes.length > 0 ? EXIT.CHANGES : EXIT.GOOD;
}

async function makePlan(options: PlanOptions, log: ReturnType<typeof openLog>): Promise<PlanOutput> {
  const { config, nodeName } = await readConfig({
    manifests: options.manifests,
    configPath: options.config,
    hostnameOverride: options.hostnameOverride,
    log,
  });
  const families = detectFamilies();
  const report = await new ManifestSource(options.manifests, {}).readAll();
  const kernel = options.fromEmpty === true ? null : await KernelPort.open(families);
  const addresses = new LocalAddresses();
  try {
    const port = new RecordingPort(kernel ?? EMPTY_KERNEL);
    const backend = new IpvsBackend(
      port,
      families,
      ipvsSettings(config, { now: () => performance.now(), nextTurn }),
    );
    const localAddresses = await addresses.read();
    const silent = { ...log, info: () => {}, warn: () => {}, verbose: () => {} };
    const node = nodeSettings(config, nodeName, families, undefined);
    const agent = new Agent({
      backend,
      log: silent,
      node: makeNodeOptions(node, { zone: '', nodeIps: [], localAddresses }),
      nextTurn,
      onDirty: () => {},
    });
    agent.onEvents(report.events);
    const record = agent.snapshot.node(nodeName);
    agent.setNode(
      makeNodeOptions(nodeSettings(config, nodeName, families, record), {
        zone: record?.zone ?? '',
        nodeIps: record?.addresses ?? [],
        localAddresses,
      }),
    );
    agent.setComplete();
    await agent.sync('request');
    const problems = [...report.problems.map(formatManifestProblem), ...agent.problems().map(formatProblem)];
    return { node: nodeName, changes: port.writes, problems };
  } finally {
    addresses.close();
    kernel?.close();
  }
}

const SIGNS = { add: '+', change: '~', delete: '-' } as const;
const TITLES: Record<PlannedWrite['kind'], string> = {
  sysctl: 'kernel switches',
  timeouts: 'IPVS timeouts',
  link: 'links',
  set: 'sets',
  rules: 'iptables rules',
  virtualServer: 'virtual servers',
  realServer: 'real servers',
  address: 'addresses on kube-ipvs0',
  member: 'set members',
};

/** Grouped by kind, in the order of TITLES; within a group in the order of writing. */
export function formatPlan({ node, changes, problems }: PlanOutput): string {
  const lines: string[] = [];
  for (const [kind, title] of Object.entries(TITLES)) {
    const group = changes.filter((change) => change.kind === kind);
    if (group.length === 0) continue;
    lines.push(`${title}:`);
    for (const { action, object, detail } of group) {
      const [first = '', ...rest] = detail.split('\n');
      if (kind === 'rules')
        lines.push(
          `  ${SIGNS[action]} ${object}`,
          ...[first, ...rest].filter((line) => line !== '').map((line) => `      ${line}`),
        );
      else lines.push(`  ${SIGNS[action]} ${object}${first === '' ? '' : `  ${first}`}`);
    }
    lines.push('');
  }
  if (problems.length > 0) lines.push('problems:', ...problems.map((problem) => `  ! ${problem}`), '');
  const number = (action: PlannedWrite['action']): number =>
    changes.filter((change) => change.action === action).length;
  lines.push(
    changes.length === 0
      ? `No changes: the kernel of ${node} is as the manifests say.`
      : `Plan for ${node}: ${number('add')} to add, ${number('change')} to change, ${number('delete')} to delete (${count(changes.length, 'write')}).`,
  );
  return `${lines.join('\n')}\n`;
}
