// Running programs of this machine: arguments, environment, limits, and every way to fail.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { HelperProcess } from '../../test/helper-process.ts';
import { findTool, firstLines, isPlainToken, runTool } from './process.ts';

describe('findTool', () => {
  test('gives an absolute path, or null for what is not installed', () => {
    expect(findTool('sh')).toMatch(/^\/(?:usr\/)?s?bin\/sh$/);
    expect(findTool('no-such-program')).toBeNull();
  });

  test.each(['', '/bin/sh', '../sh', 'a b', '-x', 'sh\n'])('%j is a programmer error', (name) =>
    expect(() => findTool(name)).toThrow(/no name of a program/),
  );
});

describe('runTool', () => {
  test('passes arguments and input as they are, without a shell', async () => {
    const args = ['%s|', 'a b', '$(id)', "'", '*', '; id', ''];
    expect((await runTool('printf', args)).stdout).toBe("a b|$(id)|'|*|; id||");
    expect((await runTool('cat', [], { stdin: 'ä\n'.repeat(100_000) })).stdout).toBe('ä\n'.repeat(100_000));
  });

  test('gives the program nothing of our environment', async () => {
    process.env['POINTSMAN_SECRET'] = 'x';
    const { stdout } = await runTool('env', []);
    delete process.env['POINTSMAN_SECRET'];
    expect(stdout.trim().split('\n').sort()).toEqual([
      'LANG=C',
      'LC_ALL=C',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    ]);
  });

  test('a program that is not there is MISSING_TOOL', async () => {
    await expect(runTool('no-such-program', [])).rejects.toMatchObject({
      code: 'MISSING_TOOL',
      message: expect.stringMatching(/install the package/),
    });
  });

  test('without a free descriptor it is TOOL_FAILED, and works again when there is one', async () => {
    const program = new HelperProcess('prlimit', [
      '--nofile=64',
      process.execPath,
      new URL('../../test/descriptor-program.ts', import.meta.url).pathname,
    ]);
    await program.ended;
    expect(program.stderr).toBe('');
    expect(program.stdout).toBe(
      'TOOL_FAILED: true: it cannot be started: spawn /usr/bin/true EMFILE\ntrue: 0\n',
    );
  });

  test('another exit code is TOOL_FAILED with the first lines of what it said', async () => {
    const script = 'for i in 1 2 3 4 5; do echo "line $i" >&2; done; exit 3';
    await expect(runTool('sh', ['-c', script])).rejects.toMatchObject({
      code: 'TOOL_FAILED',
      message: expect.stringMatching(/exit code 3: line 1 \| line 2 \| line 3$/),
      context: { exitCode: 3 },
    });
    expect(await runTool('sh', ['-c', 'echo out; exit 3'], { acceptExitCodes: [0, 3] })).toEqual({
      exitCode: 3,
      stdout: 'out\n',
      stderr: '',
    });
  });

  test('a signal is TOOL_FAILED', async () => {
    await expect(runTool('sh', ['-c', 'kill -9 $$'])).rejects.toMatchObject({
      code: 'TOOL_FAILED',
      message: expect.stringMatching(/ended by SIGKILL/),
    });
  });

  test('what takes too long is killed with its children, also when it ignores signals', async () => {
    const startMs = performance.now();
    const script = 'trap "" TERM INT HUP; sleep 60 & wait; sleep 60';
    await expect(runTool('sh', ['-c', script], { timeoutMs: 100 })).rejects.toMatchObject({
      code: 'TOOL_FAILED',
      message: expect.stringMatching(/killed after 100 ms/),
    });
    expect(performance.now() - startMs).toBeLessThan(20_000);
  });

  test('endless output is LIMIT_EXCEEDED', async () => {
    await expect(runTool('yes', [], { maxOutputBytes: 100_000 })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
    });
  });

  test('a program that does not read its input harms nobody', async () => {
    expect((await runTool('true', [], { stdin: 'x'.repeat(1_000_000) })).exitCode).toBe(0);
  });

  test('NUL in an argument, and a token that is none, are programmer errors', async () => {
    await expect(runTool('true', ['a\0b'])).rejects.toThrow(/contains NUL/);
    for (const token of ['', '-j', '--flush', 'a b', 'a\n', '"', '$x', ';', '*', 'é', '`'])
      await expect(runTool('true', [{ token }])).rejects.toThrow(/no plain token/);
    expect((await runTool('echo', [{ token: 'fd00::1/64' }, { token: 'KUBE-SERVICES' }])).stdout).toBe(
      'fd00::1/64 KUBE-SERVICES\n',
    );
  });
});

test('a plain token is one word to a shell', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: 'grapheme-ascii' }), { maxLength: 3 }).map((parts) => parts.join('')),
      async (text) => {
        if (isPlainToken(text))
          expect((await runTool('sh', ['-c', `printf '%s|' ${text}`])).stdout).toBe(`${text}|`);
      },
    ),
    { numRuns: 100 },
  );
});

test('firstLines is one printable line', () => {
  expect(firstLines('\n a \n\nb\u0007\n')).toBe('a | b?');
  expect(firstLines('')).toBe('it said nothing');
});
