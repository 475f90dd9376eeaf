// What is wrong with the files of --manifests: kept for the status, and said in the log when it appears.

import { formatManifestProblem, type ManifestProblem } from '../cluster/manifests.ts';
import type { Problem } from '../model/problem.ts';
import type { Log } from './log.ts';

/** See above. */
export class ManifestProblems {
  private readonly log: Log;
  private readonly logged = new Set<string>();
  private current: readonly ManifestProblem[] = [];

  constructor(log: Log) {
    this.log = log;
  }

  /** All that is wrong now, and all that is odd now. */
  take(problems: readonly ManifestProblem[], warnings: readonly ManifestProblem[]): void {
    this.current = problems;
    const lines = new Set([...problems, ...warnings].map(formatManifestProblem));
    for (const line of lines) if (!this.logged.has(line)) this.log.warn(line);
    this.logged.clear();
    for (const line of lines) this.logged.add(line);
  }

  problems(): Problem[] {
    return this.current.map(({ file, line, column, object, field, message, remedy }) => ({
      object: object === '' ? file : `${object} (${file}:${line}:${column})`,
      field,
      reason: 'InvalidField',
      message,
      remedy,
    }));
  }
}
