// Every command line that was recorded from ipvsadm 1.31 gives with ours what it gave there: standard output, standard error, exit code.
// The whole session runs in order in one guest. Connections and counters depend on ports and on time; there the rest has to be equal.

import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel } from '../../lab/boot.ts';
import type { Outcome } from './command-line.ts';
import { SECTIONS } from './session.ts';
import { readTranscript, type TranscriptEntry } from './transcript-file.ts';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const reason = ipvsKernel.probe();

/** Files of the kernel, which are recorded for connections.test.ts. */
const isOfTheKernel = ({ command }: TranscriptEntry): boolean => command.startsWith('cat /proc/');

/** Client ports, times and counters by their place; rows in alphabetical order, as the kernel's order comes from ports. */
function withoutChance({ command, stdout }: { command: string; stdout: string }): string {
  if (/ -L\w*c/.test(command))
    return stdout
      .replaceAll(
        /^(TCP|UDP) (\d+:\d\d) +/gm,
        (_all, protocol: string, time: string) => `${protocol} time of ${time.length} `,
      )
      .replaceAll(/(172\.30\.0\.2|\[fd30::2\]):\d{5} /g, '$1:port ')
      .split('\n')
      .sort()
      .join('\n');
  if (/--stats|--rate/.test(command)) return stdout.replaceAll(/(?: +\d+){5}$/gm, ' five counters');
  return stdout;
}

/** The kernel lists services in an order of its own for each namespace: theirs must have the same blocks. */
function withoutOrder(stdout: string): string {
  return stdout
    .replace(/\n$/, '')
    .split(/\n(?=\w)/)
    .sort()
    .join('\n');
}

describe.skipIf(reason !== null)(
  `the recorded session of ipvsadm 1.31${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let outcomes: Record<string, Outcome[]> = {};

    beforeAll(async () => {
      const guest = await ipvsKernel.boot({
        program: [
          '/bin/sh',
          path('session.sh'),
          process.execPath,
          path('session-servers.ts'),
          path('session-guest.ts'),
        ],
      });
      const json = guest.files.get('session.json');
      if (json === undefined)
        throw new Error(`the guest did not finish (exit ${guest.exitCode}):\n${guest.stderr}`);
      outcomes = JSON.parse(json.toString()) as Record<string, Outcome[]>;
    });

    describe.each(SECTIONS.map(({ name }) => name))('%s', (name) => {
      const entries = readTranscript(name).map((entry, index) => ({ ...entry, index }));
      it.each(entries.filter((entry) => !isOfTheKernel(entry)))('$command', ({ index, ...entry }) => {
        const outcome = outcomes[name]?.[index];
        if (outcome === undefined) throw new Error('it did not run');
        const recorded = { ...entry };
        let ours = { command: entry.command, ...outcome };
        if (name === 'traffic') {
          recorded.stdout = withoutChance(recorded);
          ours.stdout = withoutChance(ours);
        }
        if (entry.command.includes('--nosort')) {
          recorded.stdout = withoutOrder(recorded.stdout);
          ours.stdout = withoutOrder(ours.stdout);
        }
        // There, standard error was recorded into standard output.
        if (name === 'verify-cli') ours = { ...ours, stdout: ours.stdout + ours.stderr, stderr: '' };
        expect(ours).toEqual(recorded);
      });
    });
  },
);
