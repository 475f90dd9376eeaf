// `diff` and `restore --merge` on a table that refuses what the kernel refuses.

import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { FakeIpvsadmIo } from '../../test/fake-ipvsadm-io.ts';
import { withChanges, type IpvsadmIo } from './io.ts';
import { ipvsadm } from './ipvsadm.ts';

const RULES = `-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 1
-a -t 10.0.0.1:80 -r 10.0.1.2:8080 -m -w 1
-A -u 10.0.0.1:53 -s wlc -p 360
-a -u 10.0.0.1:53 -r 10.0.1.1:53 -m -w 1 -x 100 -y 50
`;

let io = new FakeIpvsadmIo();
/** The io for one more command: each opens the table that the one before closed. */
function again(changes: Partial<IpvsadmIo> = {}): IpvsadmIo {
  io.table.isClosed = false;
  return withChanges(io, changes);
}
/** Runs a command line and gives what it printed; the exit code must be the expected one. */
async function run(expectedCode: number, ...args: string[]): Promise<string> {
  io.pieces.length = 0;
  io.errors = '';
  const code = await ipvsadm(args, again());
  expect({ code, errors: code === expectedCode ? '' : io.errors }).toEqual({
    code: expectedCode,
    errors: '',
  });
  return io.stdout;
}
const restore = (rules: string): Promise<number> => ipvsadm(['-R'], again({ stdin: () => [rules] }));
/** Operations that reached the table since the last call. */
function takeOperations(): string[] {
  return io.table.writes.splice(0).map((write) => write.split(' ')[0] ?? '');
}

beforeEach(async () => {
  io = new FakeIpvsadmIo();
  io.files.set('rules', RULES);
  await restore(RULES);
  takeOperations();
});

describe('diff', () => {
  it('says nothing and exits 0 when the table is what the file says', async () => {
    expect(await run(0, 'diff', 'rules')).toBe('');
    expect(takeOperations()).toEqual([]);
  });

  it('shows what goes, what comes and what changes as rules, and exits 4 without a change', async () => {
    io.files.set(
      'rules',
      `# comment
-A -t 10.0.0.1:80 -s wrr
-a -t 10.0.0.1:80 -r 10.0.1.2:8080 -m -w 5
-a -t 10.0.0.1:80 -r 10.0.1.3:8080 -m -w 1
--set 0 0 77
`,
    );
    expect(await run(4, 'diff', 'rules')).toBe(`- --set 900 120 300
+ --set 900 120 77
- -A -u 10.0.0.1:53 -s wlc -p 360
- -a -u 10.0.0.1:53 -r 10.0.1.1:53 -m -w 1 -x 100 -y 50
- -A -t 10.0.0.1:80 -s rr
+ -A -t 10.0.0.1:80 -s wrr
- -a -t 10.0.0.1:80 -r 10.0.1.2:8080 -m -w 1
+ -a -t 10.0.0.1:80 -r 10.0.1.2:8080 -m -w 5
- -a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 1
+ -a -t 10.0.0.1:80 -r 10.0.1.3:8080 -m -w 1
`);
    expect(takeOperations()).toEqual([]);
  });

  it('gives JSON', async () => {
    io.files.set('rules', RULES.replace('-w 1\n', '-w 2\n'));
    expect(JSON.parse(await run(4, 'diff', 'rules', '--json'))).toEqual({
      differences: [
        {
          what: 'server',
          before: '-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 1',
          after: '-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 2',
        },
      ],
      operations: 1,
    });
  });

  it('with --append compares with what -R would add', async () => {
    io.files.set('more', '-a -t 10.0.0.1:80 -r 10.0.1.9:8080 -m\n');
    expect(await run(4, 'diff', '--append', 'more')).toBe('+ -a -t 10.0.0.1:80 -r 10.0.1.9:8080 -m -w 1\n');
    io.files.set('more', '-A -t 10.0.0.1:80\n');
    await run(2, 'diff', '--append', 'more');
    expect(io.errors).toBe('more:1: Service already exists\n');
  });

  it('names every mistake of a file with its line', async () => {
    io.files.set(
      'bad',
      `-A -t 10.0.0.1:80 -s rr
-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.9:80 -r 10.0.0.1:1 -m
-A -t nowhere -s rr

-Ln
-A -t 10.0.0.2:80 --bogus
`,
    );
    expect(await run(2, 'diff', 'bad')).toBe('');
    expect(io.errors).toBe(`bad:2: Service already exists
bad:3: Service not defined
bad:4: illegal virtual server address[:port] specified
bad:6: "-Ln" is no rule; only -A -E -D -a -e -d -C and --set are
bad:7: --bogus: unknown option
`);
  });

  it('counts mistakes beyond what a person reads', async () => {
    io.files.set('bad', '-A\n'.repeat(100));
    await run(2, 'diff', 'bad');
    expect(io.errors.split('\n')).toHaveLength(22);
    expect(io.errors).toContain('bad: and 80 more\n');
  });

  it.each([
    [['diff'], 'ipvsadm diff: name a FILE of rules, or "-"; usage: ipvsadm diff FILE\n'],
    [['diff', 'a', 'b'], 'ipvsadm diff: unexpected argument b; usage: ipvsadm diff FILE\n'],
    [['diff', '--bogus', 'a'], "ipvsadm diff: Unknown option '--bogus'; usage: ipvsadm diff FILE\n"],
    [
      ['diff', 'missing'],
      'missing: ENOENT: no such file missing; give a readable file of rules, or - for standard input\n',
    ],
    [
      ['restore', '--json'],
      'ipvsadm restore: --json goes with --merge; usage: ipvsadm restore [--merge] [FILE]\n',
    ],
  ])('%j is a mistake', async (args, message) => {
    expect(await run(2, ...args)).toBe('');
    expect(io.errors).toBe(message);
  });
});

describe('restore --merge', () => {
  it('writes nothing when nothing differs', async () => {
    await run(0, 'restore', '--merge', 'rules');
    expect(takeOperations()).toEqual([]);
    expect(io.errors).toBe('0 of 0 changes made\n');
  });

  it('makes the difference only, and deletes last', async () => {
    io.files.set(
      'rules',
      `-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.0.1.2:8080 -m -w 5
-a -t 10.0.0.1:80 -r 10.0.1.3:8080 -m -w 1
`,
    );
    await run(0, 'restore', '--merge', 'rules');
    expect(takeOperations()).toEqual(['SET_DEST', 'NEW_DEST', 'DEL_SERVICE', 'DEL_DEST']);
    expect(await run(0, 'diff', 'rules')).toBe('');
  });

  it('changes nothing for a file with a mistake', async () => {
    io.files.set('bad', '-C\n-A -t 10.0.0.9:80\n-A -t nowhere\n');
    await run(2, 'restore', '--merge', 'bad');
    expect(takeOperations()).toEqual([]);
  });

  it('goes on after a refusal of the kernel, names it and exits 1', async () => {
    io.files.set('more', `${RULES}-A -t 10.0.0.7:80 -s nosuch\n-A -t 10.0.0.8:80 -s rr\n`);
    await run(1, 'restore', '--merge', 'more');
    expect(io.errors).toBe(
      'TCP 10.0.0.7:80: Scheduler or persistence engine not found\n1 of 2 changes made\n',
    );
  });

  it('reads standard input without a FILE or with "-"', async () => {
    for (const args of [
      ['restore', '--merge'],
      ['restore', '--merge', '-'],
    ]) {
      const code = await ipvsadm(args, again({ stdin: () => [RULES.slice(0, 9), RULES.slice(9)] }));
      expect(code).toBe(0);
    }
    expect(takeOperations()).toEqual([]);
  });

  it('without --merge is -R of the file', async () => {
    await run(255, 'restore', 'rules');
    expect(io.errors).toContain('Service already exists\n');
  });
});

describe('any text', () => {
  it('as a file of rules is refused with lines or merged, and never throws', async () => {
    const word = fc.constantFrom(
      '-A',
      '-a',
      '-t',
      '10.0.0.1:80',
      '10.0.0.2',
      '-r',
      '-m',
      '-C',
      '-p',
      '5',
      '#',
      '-s',
      'rr',
      'x',
      '\0',
      'é',
    );
    const text = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 200 }),
      fc
        .array(fc.array(word, { maxLength: 8 }), { maxLength: 8 })
        .map((lines) => lines.map((line) => line.join(' ')).join('\n')),
    );
    await fc.assert(
      fc.asyncProperty(text, async (each) => {
        const world = new FakeIpvsadmIo();
        world.files.set('any', Buffer.from(each).toString('latin1'));
        const code = await ipvsadm(['restore', '--merge', 'any'], world);
        expect([0, 1, 2]).toContain(code);
        if (code === 2) expect(world.errors).toMatch(/^any:\d+: ./);
      }),
      { numRuns: 500 },
    );
  });
});
