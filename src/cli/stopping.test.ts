// Signals and real processes.

import { afterEach, describe, expect, it } from 'vitest';
import { endHelpers, startProgram, type HelperProcess } from '../../test/helper-process.ts';

const PROGRAM = new URL('../../test/stop-program.ts', import.meta.url);
const LONG_MS = 60_000;

afterEach(endHelpers);

async function start(earlyCode: number, timeoutMs = LONG_MS): Promise<HelperProcess> {
  const program = startProgram(PROGRAM, [String(earlyCode), String(timeoutMs)]);
  await program.until('starting\n');
  return program;
}

async function started(timeoutMs = LONG_MS): Promise<HelperProcess> {
  const program = await start(0, timeoutMs);
  program.child.stdin?.write('go\n');
  await program.until('started\n');
  return program;
}

describe('an agent that is asked to stop', () => {
  it.each(['SIGTERM', 'SIGINT'] as const)('by %s stops in order', async (signal) => {
    const program = await started();
    program.child.kill(signal);
    await program.until(`asked by ${signal}`);
    program.child.stdin?.write('go\n');
    expect(await program.ended).toBe(0);
    expect(program.stdout).toMatch(/stopped\n$/);
    expect(program.stderr).toBe('');
  });

  it.each([
    ['SIGTERM', 'SIGTERM'],
    ['SIGTERM', 'SIGINT'],
    ['SIGINT', 'SIGTERM'],
  ] as const)('by %s, then by %s, ends at once', async (first, second) => {
    const program = await started();
    program.child.kill(first);
    await program.until('asked by');
    program.child.kill(second);
    expect(await program.ended).toBe(1);
    expect(program.stderr).toBe(
      `error: ${second} came while stopping; ended at once, forwarding stays as it is\n`,
    );
  });

  it('ends when that takes too long, and says what it waited for', async () => {
    const program = await started(200);
    program.child.kill('SIGTERM');
    expect(await program.ended).toBe(1);
    expect(program.stderr).toBe(
      'error: not stopped within 0.2 s: it still waits for a line; ended, forwarding stays as it is\n',
    );
  });

  it.each([
    [0, 'SIGTERM came before anything was written\n'],
    [1, 'error: SIGTERM came before anything was written\n'],
  ])('before it has begun ends at once, with %i', async (code, line) => {
    const program = await start(code);
    program.child.kill('SIGTERM');
    expect(await program.ended).toBe(code);
    expect(program.stderr).toBe(line);
  });

  it('by nobody goes on: SIGHUP is logged', async () => {
    const program = await started();
    program.child.kill('SIGHUP');
    await program.until('SIGHUP is ignored');
    program.child.kill('SIGTERM');
    await program.until('asked by SIGTERM');
  });
});
