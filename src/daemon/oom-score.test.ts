// Of this process's own score only children hear: they set theirs.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { linesOf } from '../../test/log-lines.ts';
import { applyOomScore } from './oom-score.ts';

const SCRIPT = `
  const { applyOomScore } = await import(${JSON.stringify(import.meta.resolve('./oom-score.ts'))});
  const { readFileSync } = await import('node:fs');
  const lines = [];
  const log = { info() {}, warn() {}, error() {}, verbose: (level, text, { oomScoreAdj, err }) => lines.push([level, text, oomScoreAdj, err]) };
  const score = Number(process.argv[1]);
  const results = [applyOomScore(score, log), applyOomScore(score, log)];
  console.log(JSON.stringify([...results, readFileSync('/proc/self/oom_score_adj', 'utf8').trim(), lines]));`;

function inChild(score: number, launcher: readonly string[] = []): unknown {
  const [program, ...args] = [
    ...launcher,
    ...[process.execPath, '--input-type=module', '-e', SCRIPT, '--', String(score)],
  ];
  const { stdout, stderr, status } = spawnSync(program ?? '', args, { encoding: 'utf8', timeout: 100_000 });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

describe('the score', () => {
  it('is raised without any privilege', () => expect(inChild(873)).toEqual([true, true, '873', []]));

  it('that no kernel takes is told at verbosity 2', () =>
    expect(inChild(5000)).toEqual([
      false,
      false,
      expect.stringMatching(/^-?\d+$/),
      [expect.anything(), [2, 'Failed to apply OOMScore', 5000, expect.stringContaining('EINVAL')]],
    ]));

  it('stays where the file is not there', () => {
    const { log, lines } = linesOf();
    expect(applyOomScore(-999, log, '/proc/self/none')).toBe(false);
    expect(lines).toEqual([
      expect.stringMatching(/^V2 Failed to apply OOMScore oomScoreAdj=-999 err=ENOENT/),
    ]);
  });
});

const isRoot = process.getuid?.() === 0;
const now = Number(readFileSync('/proc/self/oom_score_adj', 'utf8'));

test.runIf(isRoot && now > -999)('is not lowered without CAP_SYS_RESOURCE', () => {
  const refusal = [2, 'Failed to apply OOMScore', -999, expect.stringMatching(/^E(ACCES|PERM)/)];
  const refused = [false, false, String(now), [refusal, refusal]];
  expect(inChild(-999, ['setpriv', '--bounding-set=-sys_resource', '--inh-caps=-all'])).toEqual(refused);
  // Root in a container or in a user namespace may lack it.
  expect([[true, true, '-999', []], refused]).toContainEqual(inChild(-999));
});
