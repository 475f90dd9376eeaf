// The lab's door in the cases that seldom come: what hangs, floods or dies, and callers that do. Each boots a guest or two.

import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import { heldBy, sh } from './boot-held.ts';
import { ipvsKernel, runInGuest } from './boot.ts';

const unavailable = ipvsKernel.probe();
const title = unavailable === null ? 'a guest' : `a guest (skipped: ${unavailable})`;
/** For conditions that other processes bring about; a busy machine takes its time. */
const TIMES = { timeout: 60_000, interval: 20 } as const;
const HANGING = fileURLToPath(new URL('../test/lab/hanging-guest.ts', import.meta.url));

describe.skipIf(unavailable !== null)(title, () => {
  it.each([
    ['prints', 'yes'],
    ['writes results', 'mkdir "$POINTSMAN_RESULTS/deep"; yes >"$POINTSMAN_RESULTS/deep/file"'],
  ])('is ended when it %s without end, and leaves nothing', async (_, script) => {
    await expect(sh(script, { onOutput: () => undefined })).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message: expect.stringContaining('more than 67108864 bytes'),
    });
    expect(heldBy(process.pid)).toEqual([]);
  });

  it('ends a program that hangs at its time limit, with what it printed until then, and leaves nothing', async () => {
    const { bootMs } = await sh('true');
    const result = await sh('echo begun; trap "" TERM; sleep 1000', { timeoutMs: 3 * bootMs + 2000 });
    expect(result).toMatchObject({ exitCode: null, timedOut: true, stdout: 'begun\n' });
    expect(heldBy(process.pid)).toEqual([]);
  });

  it('runs beside another one, each with its own kernel', async () => {
    const script = (address: string): string => `ipvsadm -A -t ${address}:80 -s rr; sleep 1; ipvsadm -Sn`;
    const [a, b] = await Promise.all([sh(script('10.0.0.1')), sh(script('10.0.0.2'))]);
    expect(a?.stdout).toBe('-A -t 10.0.0.1:80 -s rr\n');
    expect(b?.stdout).toBe('-A -t 10.0.0.2:80 -s rr\n');
    expect(heldBy(process.pid)).toEqual([]);
  });

  it.each([
    ['throw new Error("the reason")', 1],
    ['process.exit(5)', 5],
  ])('keeps the exit code of a program that ends with open traffic: %s', async (ending, exitCode) => {
    const folder = mkdtempSync(join(tmpdir(), 'lab-test-'));
    try {
      const path = join(folder, 'program.ts');
      const at = "{ name: 'node1', netnsPath: null, ipv4: '127.0.0.1', ipv6: '::1' }";
      writeFileSync(
        path,
        `import { Traffic } from '${new URL('./traffic.ts', import.meta.url).href}';
        const at = ${at};
        const traffic = new Traffic();
        await traffic.serve([{ at, name: 'a', protocol: 'TCP', port: 80 }]);
        await traffic.open({ from: at, address: '127.0.0.1', port: 80, protocol: 'TCP' });
        ${ending};`,
      );
      expect((await runInGuest(path, [])).exitCode).toBe(exitCode);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('ends with a caller that is told to end', async () => {
    const caller = await startHanging();
    expect(heldBy(caller.pid)).not.toEqual([]);
    expect(await end(caller, 'SIGTERM')).toBe(143);
    // Its processes were killed before it ended; the kernel may still be taking their memory down.
    await vi.waitFor(() => expect(heldBy(caller.pid)).toEqual([]), TIMES);
  });

  it('of a caller that was killed is removed by the next boot', async () => {
    const caller = await startHanging();
    await end(caller, 'SIGKILL');
    expect(heldBy(caller.pid)).not.toEqual([]);
    await sh('true');
    await vi.waitFor(() => expect(heldBy(caller.pid)).toEqual([]), TIMES);
  });

  it('of a dead caller is removed also when its process id is in use again or nobody has waited for it', async () => {
    const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
    // A shell that has become tail never waits for its child, which stays a zombie when it ends after that.
    const parent = spawn('sh', ['-c', 'sleep 60 & echo $!; exec tail -f /dev/null'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    let folders: string[] = [];
    try {
      const zombie = await new Promise<string>((resolve) => {
        parent.stdout.once('data', (data) => resolve(String(data).trim()));
      });
      await vi.waitFor(() => expect(readFileSync(`/proc/${parent.pid}/comm`, 'utf8')).toBe('tail\n'), TIMES);
      process.kill(Number(zombie), 'SIGKILL');
      await vi.waitFor(() => expect(readFileSync(`/proc/${zombie}/stat`, 'utf8')).toMatch(/\) Z /), TIMES);
      const startTime = readFileSync(`/proc/${zombie}/stat`, 'utf8').split(') Z ')[1]?.split(' ')[18];
      expect(startTime).toMatch(/^\d+$/);
      folders = [`${stranger.pid}-1-reused`, `${zombie}-${startTime}-zombie`, `${zombie}-zombie`].map(
        (name) => join(tmpdir(), `pointsman-lab-${name}`),
      );
      for (const folder of folders) mkdirSync(folder);
      await sh('true');
      expect(folders.filter((folder) => existsSync(folder))).toEqual([]);
      expect(readFileSync(`/proc/${zombie}/stat`, 'utf8')).toMatch(/\) Z /);
    } finally {
      stranger.kill();
      parent.kill();
      for (const folder of folders) rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** Resolves when the guest's program runs. */
function startHanging(): Promise<ChildProcess> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', HANGING], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', () => reject(new Error('the caller ended early')));
    child.stdout?.once('data', () => resolve(child));
  });
}

function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code));
    child.kill(signal);
  });
}
