// `pointsman plan`: what `run` would change, without changing it. Only text and exit codes: daemon/preview.ts does the work.

import type { PlannedWrite } from '../backends/ipvs/recording-port.ts';
import type { FactsOrigin } from '../daemon/facts-origin.ts';
import { makePreview, type Preview } from '../daemon/preview.ts';
import { EXIT } from './exit-codes.ts';
import { count, print } from './output.ts';
import { openStderrLog } from './stderr-log.ts';

export interface PlanOptions extends FactsOrigin {
  readonly config?: string;
  readonly hostnameOverride?: string;
  readonly fromEmpty?: boolean;
  readonly detailedExitcode?: boolean;
  readonly output: 'text' | 'json';
}

/** Prints the preview; exit 0, or with --detailed-exitcode 4 when something would change. */
export async function planCommand(options: PlanOptions): Promise<number> {
  const preview = await makePreview({
    facts: options,
    configPath: options.config,
    hostnameOverride: options.hostnameOverride,
    isFromEmpty: options.fromEmpty === true,
    log: openStderrLog(),
  });
  print(options.output, preview, formatPlan);
  return options.detailedExitcode === true && preview.changes.length > 0 ? EXIT.CHANGES : EXIT.GOOD;
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
export function formatPlan({ node, changes, problems }: Preview): string {
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
      ? `No changes: the kernel of ${node} is as planned.`
      : `Plan for ${node}: ${number('add')} to add, ${number('change')} to change, ${number('delete')} to delete (${count(changes.length, 'write')}).`,
  );
  return `${lines.join('\n')}\n`;
}
