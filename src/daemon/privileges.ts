// What the agent needs of its container: root with two capabilities; and what it does without others, said once. Tried in
// test/lab/privileges.test.ts.

import { missingCapabilities, type Capability } from '../kernel/capabilities.ts';
import { PointsmanError } from '../model/errors.ts';
import type { Log } from './log.ts';

const NEEDED: Readonly<Partial<Record<Capability, string>>> = {
  CAP_NET_ADMIN: 'nothing of the network can be changed without it',
  CAP_NET_RAW: 'iptables and its match of sets need it to open a raw socket',
};

const OPTIONAL: Readonly<Partial<Record<Capability, string>>> = {
  CAP_SYS_ADMIN: 'what this kernel does cannot be tried out, so switches that depend on it stay as they are',
  CAP_SYS_MODULE: 'modules come only by the kernel itself, or from an init container with --init-only',
  CAP_SYS_RESOURCE: 'oomScoreAdj cannot be lowered',
};

/** Throws MISSING_PRIVILEGE unless this process is root and has what it cannot do without. */
export function requireRoot(
  uid: number | undefined = process.getuid?.(),
  missing: (wanted: readonly Capability[]) => readonly Capability[] = missingCapabilities,
): void {
  if (uid !== 0) {
    throw new PointsmanError(
      'MISSING_PRIVILEGE',
      'the agent changes kernel state and needs root; run it as root, or use "pointsman plan --from-empty"',
    );
  }
  const [name] = missing(Object.keys(NEEDED) as Capability[]);
  if (name === undefined) return;
  throw new PointsmanError(
    'MISSING_PRIVILEGE',
    `the agent has no ${name}: ${NEEDED[name]}; add ${name.slice('CAP_'.length)} to the capabilities of its container`,
    { capability: name },
  );
}

/** One line for all that it does without; none when nothing is missing. */
export function reportPrivileges(
  log: Log,
  missing: (wanted: readonly Capability[]) => readonly Capability[] = missingCapabilities,
): void {
  const names = missing(Object.keys(OPTIONAL) as Capability[]);
  if (names.length === 0) return;
  log.info('Running without some capabilities, which is fine', {
    missing: names.join(),
    effect: names.map((name) => OPTIONAL[name]).join('; '),
  });
}
