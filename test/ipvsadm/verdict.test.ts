import { describe, expect, it } from 'vitest';
import type { CommandLine, Outcome } from './command-line.ts';
import { asCompatible, DELIBERATE_DIFFERENCES } from './deliberate-differences.ts';
import type { TableState } from './table-state.ts';
import { compareRuns, isBetween, mayPart } from './verdict.ts';

const TABLE: TableState = { services: [], daemons: [], timeouts: {} };
const OTHER_TABLE: TableState = { ...TABLE, services: ['one'] };
const LINE: CommandLine = { args: ['-Ln'], stdin: null };
const LISTING = 'Title\nTCP  a\n  -> 1\nUDP  b\n  -> 2\n';
const TURNED = 'Title\nUDP  b\n  -> 2\nTCP  a\n  -> 1\n';

interface Case {
  readonly line?: CommandLine;
  readonly original?: Partial<Outcome>;
  readonly ours?: Partial<Outcome>;
  readonly ourTable?: TableState;
  readonly sameTable?: boolean;
}

function compare({
  line = LINE,
  original,
  ours,
  ourTable = TABLE,
  sameTable = true,
}: Case): readonly string[] {
  const outcome: Outcome = { exitCode: 0, stdout: LISTING, stderr: '' };
  return compareRuns(
    line,
    { outcome: { ...outcome, ...original }, table: TABLE },
    { outcome: { ...outcome, ...ours }, table: ourTable },
    sameTable,
  );
}

describe('comparing two runs', () => {
  it.each<[string, Case, readonly string[]]>([
    ['finds nothing where all is equal', {}, []],
    ['sees another exit code', { ours: { exitCode: 1 } }, ['exitCode']],
    ['sees a blank too many', { ours: { stdout: `${LISTING} ` } }, ['stdout']],
    [
      'sees a line feed too few on standard error',
      { original: { stderr: 'x\n' }, ours: { stderr: 'x' } },
      ['stderr'],
    ],
    ['sees another table', { ourTable: OTHER_TABLE }, ['table']],
    ['sees another order in one table', { ours: { stdout: TURNED } }, ['stdout']],
    ['passes another order of services in two tables', { ours: { stdout: TURNED }, sameTable: false }, []],
    [
      'sees another order of servers in two tables',
      {
        original: { stdout: 'TCP  a\n  -> 1\n  -> 2\n' },
        ours: { stdout: 'TCP  a\n  -> 2\n  -> 1\n' },
        sameTable: false,
      },
      ['stdout'],
    ],
    [
      'passes other words of -h, but no other exit code',
      {
        line: { args: ['-h'], stdin: null },
        original: { stdout: 'ipvsadm v1.31\nUsage:\n  ipvsadm -A|E virtual-service' },
        ours: { stdout: 'other', exitCode: 1 },
      },
      ['exitCode'],
    ],
    [
      'passes what crashes the original',
      { original: { exitCode: 139 }, ours: { exitCode: 2, stderr: 'x' }, ourTable: OTHER_TABLE },
      [],
    ],
    [
      'asks nothing of commands of ours',
      { line: { args: ['diff', 'x'], stdin: null }, ours: { exitCode: 4 }, ourTable: OTHER_TABLE },
      [],
    ],
    [
      'does not take a value for a command of ours',
      { line: { args: ['-A', 'diff'], stdin: null }, ours: { exitCode: 4 } },
      ['exitCode'],
    ],
  ])('%s', (_name, each, expected) => {
    expect(compare(each)).toEqual(expected);
  });
});

it.each([
  [['-A'], 139, true],
  [['-A'], 2, false],
  [['drain', 'x'], 255, true],
  [['-h'], 0, false],
])('%j that ended with %i may part the tables: %s', (args, exitCode, expected) => {
  expect(mayPart({ args, stdin: null }, { exitCode, stdout: '', stderr: '' })).toBe(expected);
});

describe('the deliberate differences', () => {
  it('each have a name of their own and a reason', () => {
    expect(new Set(DELIBERATE_DIFFERENCES.map(({ name }) => name)).size).toBe(DELIBERATE_DIFFERENCES.length);
    for (const { reason } of DELIBERATE_DIFFERENCES) expect(reason).toMatch(/\w+ \w+/);
  });

  it.each([
    [['-S'], ['-S', '--compat']],
    [['-Sn'], ['-Sn', '--compat']],
    [
      ['--save', '-n'],
      ['--save', '--compat', '-n'],
    ],
    [['-Ln'], ['-Ln']],
    [
      ['-A', '-S'],
      ['-A', '-S'],
    ],
  ])('%j is called as %j', (args, expected) => {
    expect(asCompatible({ args, stdin: null }, 0).args).toEqual(expected);
  });

  it('leave a refused -S as it is, so that the refusal is the same', () => {
    expect(asCompatible({ args: ['-S', '-t'], stdin: null }, 255).args).toEqual(['-S', '-t']);
  });

  it('reach into the standard input of -R', () => {
    expect(asCompatible({ args: ['-R'], stdin: '-A -f 1\nipvsadm -S -n\n-Sn\r\n-Sx\n' }, 0).stdin).toBe(
      '-A -f 1\nipvsadm -S --compat -n\n-Sn --compat\r\n-Sx\n',
    );
  });
});

describe('a listing between two others', () => {
  const listing = (...times: string[]): Outcome => ({
    exitCode: 0,
    stdout: times.map((time) => `TCP ${time}  SYN_RECV 10.0.0.1:1\n`).join(''),
    stderr: '',
  });
  it.each<[string, Outcome, Outcome, Outcome, boolean]>([
    [
      'times that run down',
      listing('00:57', '14:59'),
      listing('00:58', '15:00'),
      listing('00:56', '14:59'),
      true,
    ],
    ['hours that run down', listing('99:59'), listing('100:00'), listing('99:58'), true],
    ['a time that ran down too far', listing('00:55'), listing('00:58'), listing('00:56'), false],
    ['a time that went up', listing('00:59'), listing('00:58'), listing('00:56'), false],
    [
      'another state',
      { ...listing('00:57'), stdout: 'TCP 00:57  NONE' },
      listing('00:58'),
      listing('00:56'),
      false,
    ],
    ['one line less', listing('00:57'), listing('00:58', '00:58'), listing('00:56', '00:56'), false],
    ['another exit code', { ...listing('00:57'), exitCode: 1 }, listing('00:58'), listing('00:56'), false],
    ['a line that went meanwhile', listing('00:57'), listing('00:58'), listing(), false],
  ])('%s', (_, middle, first, last, expected) => {
    expect(isBetween(middle, first, last)).toBe(expected);
  });
});
