// The set-up's own parts: what is missing, what a stamp says, how a program's end is told, what the lock file must hold.
// Real programs are started; nothing is installed.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');

interface Result {
  readonly code: number;
  readonly output: string;
  readonly signal: string | null;
}
/** The set-up is plain JavaScript without declarations: this is what is tested of it. */
const { runChild, lastLines, causeOf, stampOf, missingPackages, refusedTarget, LAB_PACKAGES } = await load<{
  runChild: (file: string, args: readonly string[], options?: object) => Promise<Result>;
  lastLines: (output: string, count: number) => string;
  causeOf: (output: string) => string;
  stampOf: (lockfile: string) => string;
  missingPackages: (answer: string, wanted: readonly string[]) => string[];
  refusedTarget: (root: string, targets: readonly string[]) => string | undefined;
  LAB_PACKAGES: readonly string[];
}>('child', 'packages', 'debian', 'mutate');

async function load<T>(...names: string[]): Promise<T> {
  const modules = await Promise.all(
    names.map((name): Promise<object> => import(new URL(`./${name}.mjs`, import.meta.url).href)),
  );
  return Object.assign({}, ...modules) as T;
}

describe('the Debian packages', () => {
  it.each([
    ['all are there', 'a installed\nb installed\n', []],
    ['one was removed but left its configuration', 'a installed\nb config-files\n', ['b']],
    ['one is unknown to dpkg', 'dpkg-query: no packages found matching a\nb installed\n', ['a']],
    ['one begins like another', 'a-extra installed\nb installed\n', ['a']],
    ['one is half installed', 'a half-configured\nb not-installed\n', ['a', 'b']],
    ['dpkg says nothing', '', ['a', 'b']],
  ])('are told when %s', (_case, answer, expected) => {
    expect(missingPackages(answer, ['a', 'b'])).toEqual(expected);
  });

  it('hold the guest and each tool once', () => {
    expect(new Set(LAB_PACKAGES).size).toBe(LAB_PACKAGES.length);
    expect(LAB_PACKAGES).toContain('user-mode-linux');
  });
});

describe('what can be mutated', () => {
  it.each<[string, readonly string[], string | undefined]>([
    ['nothing in particular', [], undefined],
    ['sources of the model and the plan', ['src/model/ip.ts', 'src/plan/trace.ts'], undefined],
    ['lines of one', ['src/model/ip.ts:10-20'], undefined],
    ['no test', ['src/model/ip.ts', 'src/model/ip.test.ts'], 'src/model/ip.test.ts'],
    ['no other folder', ['src/cli/main.ts'], 'src/cli/main.ts'],
    ['no file that does not exist', ['src/model/ipx.ts'], 'src/model/ipx.ts'],
    ['no option of the tool', ['--force'], '--force'],
  ])('%s', (_name, targets, refused) => expect(refusedTarget(ROOT, targets)).toBe(refused));
});

describe('the stamp of the npm packages', () => {
  it('is the same for the same lock file and another for any other', () => {
    expect(stampOf('{}')).toBe(stampOf('{}'));
    expect(stampOf('{}')).not.toBe(stampOf('{ }'));
  });

  it('names the machine, because the packages hold programs', () => {
    expect(stampOf('{}')).toMatch(new RegExp(`^[0-9a-f]{64} ${process.platform}-${process.arch}\n$`));
  });
});

describe('the report of a failure', () => {
  it.each([
    ['fewer lines than asked for', 'a\nb\n', 5, '  a\n  b\n'],
    ['the last lines', 'a\nb\nc\n', 2, '  b\n  c\n'],
  ])('shows %s', (_case, output, count, expected) => {
    expect(lastLines(output, count)).toBe(expected);
  });

  it('shows the cause that npm begins with, not the help that it ends with', () => {
    const help = Array.from({ length: 60 }, (_, i) => `npm error   --option${i}`);
    const cause = causeOf(['npm warn old', 'npm error code EUSAGE', ...help, 'npm error A log'].join('\n'));
    expect(cause.split('\n')[0]).toBe('  npm error code EUSAGE');
    expect(cause.split('\n').length).toBeLessThan(25);
  });

  it('shows the end of the output when npm itself does not start', () => {
    expect(causeOf('npm: spawn npm ENOENT')).toBe('  npm: spawn npm ENOENT\n');
  });
});

describe('a program that the set-up starts', () => {
  it.each([
    ['ends well', 'echo out; echo err >&2', 0, null],
    ['fails', 'exit 7', 7, null],
    ['dies of a signal', 'kill -TERM $$', 143, 'SIGTERM'],
  ])('gives the code of a shell when it %s', async (_case, script, code, signal) => {
    expect(await runChild('sh', ['-c', script], { isQuiet: true })).toMatchObject({ code, signal });
  });

  it('keeps both of its streams when it is quiet', async () => {
    const { output } = await runChild('sh', ['-c', 'echo out; echo err >&2'], { isQuiet: true });
    expect(output.trim().split('\n').toSorted()).toEqual(['err', 'out']);
  });

  it('is told apart from one that does not exist', async () => {
    const result = await runChild('/nonexistent/program', [], { isQuiet: true });
    expect(result.code).toBe(127);
    expect(result.output).toContain('/nonexistent/program');
  });

  it('is ended at its time limit', async () => {
    const result = await runChild('sleep', ['60'], { isQuiet: true, timeoutMs: 50 });
    expect(result).toMatchObject({ code: 143, signal: 'SIGTERM' });
  });

  it('leaves no signal handler behind', async () => {
    const before = process.listenerCount('SIGTERM');
    await runChild('true', [], { isQuiet: true });
    expect(process.listenerCount('SIGTERM')).toBe(before);
  });
});

describe('package-lock.json', () => {
  it('holds every optional package that another one asks for: "npm ci" refuses it otherwise', () => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { version: string; optionalDependencies?: Record<string, string> }>;
    };
    const names = new Set(Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, '')));
    // A registry without the binaries of other systems lets "npm install" leave them out in silence.
    const absent = Object.values(packages)
      .flatMap((each) => Object.keys(each.optionalDependencies ?? {}))
      .filter((name) => !names.has(name));
    expect(absent).toEqual([]);
  });
});
