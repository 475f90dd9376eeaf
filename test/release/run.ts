// Runs a form of the release to its end as a caller with a small environment does.

import { spawnSync } from 'node:child_process';
import { dirname } from 'node:path';

const TIMEOUT_MS = 100_000;

export interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Caller {
  readonly cwd?: string;
  /** Besides PATH. */
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

/** `program` by absolute path. The Node.js of PATH is the one that runs the tests. */
export function run(program: string, args: readonly string[], { cwd = '/', env, input }: Caller = {}): Ended {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    input,
    env: { PATH: `${dirname(process.execPath)}:/usr/sbin:/usr/bin:/sbin:/bin`, ...env },
  });
  if (error !== undefined) throw error;
  return { status, stdout, stderr };
}
