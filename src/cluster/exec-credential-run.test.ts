// Real plugins, small programs of the shell: those that fail in every way, those that hang and those that do too much.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CredentialFolder,
  credentialErrorOf,
  execEntry,
  until,
} from '../../test/cluster/credential-world.ts';
import { DEFAULT_EXEC_LIMITS, runExecPlugin, shownTail, type ExecLimits } from './exec-credential-run.ts';
import type { ExecEntry } from './kubeconfig-user.ts';

const NEVER = new AbortController().signal;
const ENV = { PATH: process.env['PATH'], FROM_PROCESS: 'yes' };

let folder: CredentialFolder;
beforeEach(() => {
  folder = new CredentialFolder();
});
afterEach(() => folder.remove());

const plugin = (script: string, more: Partial<ExecEntry> = {}): ExecEntry =>
  execEntry({ command: folder.plugin('plugin', script), ...more });
const run = (exec: ExecEntry, limits: Partial<ExecLimits> = {}, signal = NEVER): Promise<Buffer> =>
  runExecPlugin(exec, { ...ENV }, signal, { ...DEFAULT_EXEC_LIMITS, ...limits });

/** True when no process with this id runs (a dead one that nobody has collected counts as none). */
function isGone(pid: number): boolean {
  try {
    return /^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return true;
  }
}

describe('a run of a plugin', () => {
  it('has arguments, environment, no input, and gives what was written', async () => {
    const exec = plugin('if read line; then echo input; fi; echo "$1|$2|$EXTRA|$FROM_PROCESS"', {
      args: ['a b', '$HOME'],
    });
    const output = await runExecPlugin(exec, { ...ENV, EXTRA: 'more' }, NEVER);
    expect(output.toString()).toBe('a b|$HOME|more|yes\n');
  });

  it('finds plain names in PATH', async () => {
    folder.plugin('my-plugin', 'echo found');
    const env = { PATH: `${folder.path}:${process.env['PATH']}` };
    expect((await runExecPlugin(execEntry({ command: 'my-plugin' }), env, NEVER)).toString()).toBe('found\n');
  });

  it.each<[title: string, script: string, limits: Partial<ExecLimits>, message: string]>([
    [
      'fails',
      'echo one >&2; echo "two\tthree" >&2; exit 3',
      {},
      'ended with exit code 3: one | two?three; run it by hand',
    ],
    [
      'fails without a word',
      'exit 1',
      {},
      'ended with exit code 1: it said nothing; run it by hand as the user of the agent: Install me.',
    ],
    ['is killed', 'kill -9 $$', {}, 'was ended by SIGKILL: it said nothing; '],
    [
      'hangs',
      'echo waiting for a browser >&2; sleep 600',
      { timeoutMs: 300 },
      'did not end within 300 ms and was killed',
    ],
    [
      'hangs and ignores signals',
      "trap '' TERM INT HUP; while :; do sleep 600; done",
      { timeoutMs: 300 },
      'did not end within 300 ms and was killed',
    ],
    [
      'writes for ever',
      'while :; do echo secretsecretsecretsecretsecret; done',
      { maxOutputBytes: 4096 },
      'wrote more than 4096 bytes and was killed; ',
    ],
    [
      'complains for ever',
      'while :; do echo secretsecretsecretsecretsecret >&2; done',
      { maxOutputBytes: 4096 },
      'wrote more than 4096 bytes and was killed; ',
    ],
  ])('that %s is one clear error', async (_, script, limits, message) => {
    const exec = plugin(`echo stdoutsecret; ${script}`, { installHint: 'Install me.' });
    const error = await credentialErrorOf(run(exec, limits));
    expect(error.message).toContain(
      `kubeconfig /etc/k:7:5: users[name=me].user.exec.command: the exec plugin ${exec.command} ${message}`,
    );
    expect(error.code).toBe('CREDENTIALS_FAILED');
    expect(error.message).not.toContain('secret');
  });

  it('that cannot be started says what to do', async () => {
    const hint = { installHint: 'See https://example.com/install' };
    const missing = await credentialErrorOf(run(execEntry({ command: 'no-such-plugin', ...hint })));
    expect(missing.message).toContain(
      'no-such-plugin is not installed, or its interpreter is not; install it: See https://example.com/install',
    );
    const interpreter = folder.plugin('odd', 'true');
    folder.write('odd', '#!/no/such/interpreter\n');
    expect((await credentialErrorOf(run(execEntry({ command: interpreter })))).message).toContain(
      'or its interpreter is not',
    );
    const plain = folder.write('plain', 'echo');
    expect((await credentialErrorOf(run(execEntry({ command: plain })))).message).toContain(
      'may not be executed; make it executable (chmod +x)',
    );
    const long = await credentialErrorOf(run(execEntry({ args: ['x'.repeat(1 << 18)] })));
    expect(long.message).toContain('cannot be started (E2BIG); see whether it is a program for this machine');
  });

  it('takes its children along when it is killed', async () => {
    const exec = plugin(`sleep 600 & echo $! > ${folder.file('child')}; wait`);
    const controller = new AbortController();
    const failed = run(exec, {}, controller.signal).then(
      () => null,
      (error: unknown) => error,
    );
    await until(() => existsSync(folder.file('child')) && folder.read('child').endsWith('\n'));
    const pid = Number(folder.read('child'));
    expect(isGone(pid)).toBe(false);
    controller.abort(new Error('stopped by the test'));
    expect(await failed).toEqual(new Error('stopped by the test'));
    await until(() => isGone(pid));
  });

  it('does not wait for what it leaves behind with its output open', async () => {
    const exec = plugin(`sleep 600 & echo $! > ${folder.file('child')}; echo done`);
    expect((await run(exec, { lingerMs: 50 })).toString()).toBe('done\n');
    await until(() => isGone(Number(folder.read('child'))));
  });

  it('does not outlive the agent', async () => {
    const exec = plugin(`echo $$ > ${folder.file('pid')}; sleep 600`);
    const program = folder.write(
      'agent.ts',
      [
        `import { existsSync } from 'node:fs';`,
        `import { runExecPlugin } from ${JSON.stringify(join(import.meta.dirname, 'exec-credential-run.ts'))};`,
        `runExecPlugin(${JSON.stringify(exec)}, process.env, new AbortController().signal);`,
        `setInterval(() => existsSync(${JSON.stringify(folder.file('leave'))}) && process.exit(0), 5);`,
      ].join('\n'),
    );
    const agent = spawn(process.execPath, [program], { stdio: 'ignore' });
    const ended = new Promise((resolve) => agent.once('close', resolve));
    await until(() => existsSync(folder.file('pid')) && folder.read('pid').endsWith('\n'));
    const pid = Number(folder.read('pid'));
    expect(isGone(pid)).toBe(false);
    folder.write('leave', '');
    expect(await ended).toBe(0);
    await until(() => isGone(pid));
  });

  it('is not even started when nobody waits for it', async () => {
    const exec = plugin(`touch ${folder.file('ran')}`);
    await expect(run(exec, {}, AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
    expect(existsSync(folder.file('ran'))).toBe(false);
  });
});

describe('what a plugin complained', () => {
  const tail = (stderr: string, more: Partial<ExecEntry> = {}, stdout = ''): string =>
    shownTail(Buffer.from(stderr), execEntry(more), Buffer.from(stdout));

  it.each([
    ['a\n\nb\r\nc\nd\n', 'b | c | d'],
    ['\u001b[1;31mred\u001b[0m \u0007bell', 'red ?bell'],
    [`bearer eyJhbGciOi.J9.x_-y refused`, 'bearer *** refused'],
    [`key ${'Ab1'.repeat(11)}= refused`, 'key *** refused'],
    ['', 'it said nothing'],
  ])('is shown as its last lines: %j', (stderr, shown) => {
    expect(tail(stderr)).toBe(shown);
  });

  it('is shown as far as its end goes', () => {
    expect(tail('word '.repeat(5_000))).toMatch(/^.{400}$/);
  });

  it('is shown without what the plugin was given or gave in secret', () => {
    expect(
      tail('no hunter22 for get-token', { env: [{ name: 'P', value: 'hunter22' }], args: ['get-token'] }),
    ).toBe('no *** for get-token');
    expect(tail('--secret=Abc123xyz and Abc123xyz', { args: ['--secret=Abc123xyz'] })).toBe('*** and ***');
    expect(tail('token="short-token" bad', {}, '{"token":"short-token"}')).toBe('token="***" bad');
    expect(tail(`${'S'.repeat(3_000)}ECRET${' '.repeat(4_080)}end`)).toBe('end');
  });
});
