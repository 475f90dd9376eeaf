// How readily the kernel ends this process when memory runs out (oomScoreAdj). A node without its proxy goes on forwarding but learns of no
// change, so it should be among the last. Source: Documentation/filesystems/proc.rst 3.1; kube-proxy 1.36 does the same.

import { readFileSync, writeFileSync } from 'node:fs';
import { errorLine } from '../model/errors.ts';
import type { Log } from './log.ts';

const FILE = '/proc/self/oom_score_adj';
const TRIES = 2;

/**
 * Sets the score of this process, and of the programs that it starts from now on: -1000 (never) to 1000 (first). A lower one than it ever had needs
 * CAP_SYS_RESOURCE. A failure is told at verbosity 2 only: everything works without. True when it has the score.
 */
export function applyOomScore(score: number, log: Log, file: string = FILE): boolean {
  let failure: unknown;
  for (let i = 0; i < TRIES; i++) {
    try {
      if (readFileSync(file, 'utf8').trim() !== String(score))
        writeFileSync(file, String(score), { flag: 'r+' });
      return true;
    } catch (error) {
      failure = error;
    }
  }
  log.verbose(2, 'Failed to apply OOMScore', { oomScoreAdj: score, err: errorLine(failure) });
  return false;
}
