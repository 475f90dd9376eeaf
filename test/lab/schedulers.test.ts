import { readFileSync, readdirSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';
import { parseRecording, readRecordings } from './schedulers-recordings.ts';
import { repetitionsOf, type Step } from './schedulers-repetitions.ts';

const FIXTURES = new URL('../fixtures/schedulers/', import.meta.url);
const SCHEDULERS = 'rr wrr lc wlc sed nq fo ovf dh sh mh lblc lblcr'.split(' ');

/**
 * What is recorded and not compared: of the twenty lines of `ipvsadm -Lcn` in persist.txt the sixteen about connections to virtual
 * servers of earlier experiments (the recording is cut off in a table in hash order), and times and source ports of the other four.
 */
const CONNECTION_LINES = { recorded: 20, compared: 4 } as const;

const reason = ipvsKernel.probe();
const repetitions = repetitionsOf(readRecordings());

describe('the recordings', () => {
  it.each(readdirSync(FIXTURES).filter((name) => name.endsWith('.txt')))(
    'of %s are repeated in full: every sequence and every table',
    (file) => {
      const text = readFileSync(new URL(file, FIXTURES), 'utf8');
      const sequences = [...text.matchAll(/^sequence: (.*)$/gm)].map(([, sequence = '']) => sequence);
      const tables = text.split('# after:\n').slice(1);
      const steps = repetitions
        .filter(({ name }) => name.startsWith(`${file}: `))
        .flatMap((each) => each.steps);
      const expected = (kind: Step['kind']): string[] =>
        steps.filter((step) => step.kind === kind).map((step) => step.expected);
      // The last experiment of rr.txt, with three sequences, is repeated in two ways.
      const twice = file === 'rr.txt' ? sequences.slice(-3) : [];
      expect(expected('connect').map((line) => line.replace(/ active \d+$/, ''))).toEqual([
        ...sequences,
        ...twice,
      ]);
      expect(expected('table')).toEqual(
        tables.map((table) => `${table.split('\n\n')[0]?.replace(/\n$/, '')}\n`),
      );
    },
  );

  it('leave out only the connections that are named above', () => {
    const recorded = readRecordings().flatMap(({ connections }) => connections);
    const compared = repetitions.flatMap(({ steps }) => steps).filter(({ kind }) => kind === 'connections');
    expect(recorded).toHaveLength(CONNECTION_LINES.recorded);
    expect(compared.flatMap(({ expected }) => expected.split(', '))).toHaveLength(CONNECTION_LINES.compared);
  });

  it('cover every scheduler of the kernel', () => {
    const applied = repetitions.flatMap(({ steps }) =>
      steps.flatMap((step) => (step.kind === 'apply' && step.expected === 'exit 0' ? [step.rules] : [])),
    );
    for (const scheduler of SCHEDULERS) expect(applied.join('')).toMatch(new RegExp(` -s ${scheduler}\\b`));
  });

  it.each([
    ['a line of no known kind', '# a\nwhat\n', /^x\.txt:2: a line of no known kind: what$/],
    ['a line above the first title', 'sequence: s1\n', /^x\.txt:1: nothing may stand above/],
    ['counts of another sequence', '# a\nsequence: s1 s2 s1\ncounts: {"s1":1,"s2":1}\n', /^x\.txt:3: counts/],
  ])('are refused with %s', (_, text, message) => {
    expect(() => parseRecording('x.txt', text)).toThrow(message);
  });

  it('are refused with an experiment that no way of repeating is known for', () => {
    const unknown = parseRecording(
      'x.txt',
      '# juggling\n# setup: rr 1\n-A -t 10.96.1.1:80 -s rr\nsequence: s1\n',
    );
    expect(() => repetitionsOf(unknown)).toThrow(
      'x.txt: juggling (rr 1): no way to repeat this kind is known',
    );
  });
});

describe.skipIf(reason !== null)(
  `the scheduler experiments on a real kernel${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let seen: readonly (readonly string[])[] = [];

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./schedulers-guest.ts', import.meta.url), [], {});
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the guest did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      seen = JSON.parse(json.toString()) as string[][];
    });

    it.each(repetitions.map(({ name, steps }, index) => ({ name, steps, index })))(
      '$name',
      ({ steps, index }) => {
        expect(seen[index]).toEqual(steps.map(({ expected }) => expected));
      },
    );
  },
);
