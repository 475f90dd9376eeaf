// The program's own streams, where they end, fill up or are not there. Real processes; no kernel is needed.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const PROGRAM = fileURLToPath(new URL('../../bin/pointsman-ipvsadm', import.meta.url));

describe('the program', () => {
  it.each([
    ['writes to a pipe', '-v | cat', 0, /^ipvsadm v1\.31 .*\n$/, ''],
    ['ends quietly when nobody reads', '-h | true', 0, /^$/, ''],
    ['ends quietly when standard output is closed', '-v >&-', 0, /^$/, ''],
    [
      'says in one line that a disk is full',
      '-v >/dev/full',
      255,
      /^$/,
      'ipvsadm: standard output cannot be written: ENOSPC\n',
    ],
    ['keeps its exit code when nobody hears its errors', 'completion csh 2>&-', 2, /^$/, ''],
  ])('%s', (_what, line, code, stdout, stderr) => {
    const done = spawnSync('/bin/sh', ['-c', `'${PROGRAM}' ${line}`], { encoding: 'utf8', timeout: 100_000 });
    expect({ code: done.status, stderr: done.stderr }).toEqual({ code, stderr });
    expect(done.stdout).toMatch(stdout);
  });
});
