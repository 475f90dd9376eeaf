// The lab's door on this machine: what comes back from a guest, and that nothing gets out of it or stays behind.

import { spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { ipvsKernel, runInGuest, type GuestResult, type GuestSpec } from './boot.ts';

const unavailable = ipvsKernel.probe();
const title = unavailable === null ? 'a guest' : `a guest (skipped: ${unavailable})`;
/** For conditions that other processes bring about; a busy machine takes its time. */
const TIMES = { timeout: 60_000, interval: 20 } as const;
const HANGING = fileURLToPath(new URL('../test/lab/hanging-guest.ts', import.meta.url));

const sh = (script: string, spec: Partial<GuestSpec> = {}): Promise<GuestResult> =>
  ipvsKernel.boot({ program: ['/bin/sh', '-c', script], memoryMb: 256, ...spec });

const NEEDED = {
  'IPVS schedulers':
    'i=0; for s in rr wrr lc wlc sh mh dh sed nq; do i=$((i + 1)); ipvsadm -A -t 10.0.0.1:$i -s $s || exit 1; done',
  'IPVS over IPv6 and SCTP':
    'ipvsadm -A -t [fd00::1]:80 -s rr && ipvsadm -A --sctp-service 10.0.0.1:80 -s rr',
  'ipset types':
    'i=0; for t in hash:ip hash:ip,port hash:ip,port,ip hash:ip,port,net; do i=$((i + 1)); ipset create s$i $t || exit 1; done; ipset create b bitmap:port range 0-65535',
  'iptables-legacy': 'iptables-legacy -t nat -A PREROUTING -j RETURN && ip6tables-legacy -A INPUT -j ACCEPT',
  'iptables matches':
    'ipset create s hash:ip,port && iptables-legacy -t nat -A OUTPUT -m set --match-set s dst,dst -m comment --comment x -j MARK --set-xmark 1/1 && iptables-legacy -t nat -A POSTROUTING -j MASQUERADE --random-fully',
  links:
    'ip link add dummy9 type dummy && ip link add veth8 type veth peer name veth9 && ip link add br9 type bridge',
  SCTP: 'grep -q "^SCTP " /proc/net/protocols',
};

/** What a caller's guests hold on this machine: processes, folders, mounts. Other callers' are not counted. */
function heldBy(pid: number | undefined): string[] {
  const prefix = join(tmpdir(), `pointsman-lab-${pid}-`);
  const processes = readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(`uml_dir=${prefix}`);
    } catch {
      return false;
    }
  });
  const folders = readdirSync(tmpdir()).filter((name) => join(tmpdir(), name).startsWith(prefix));
  const mounts = readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .filter((line) => line.includes(prefix));
  return [...processes.map((name) => `process ${name}`), ...folders, ...mounts];
}

describe.skipIf(unavailable !== null)(title, () => {
  it('gives back exit code, both outputs, result files and times, and leaves nothing', async () => {
    const result = await sh(
      'echo out; echo err >&2; printf "\\001\\377" >"$POINTSMAN_RESULTS/data"; pwd; exit 7',
      { cwd: '/usr' },
    );
    expect(result).toMatchObject({ exitCode: 7, timedOut: false, stdout: 'out\n/usr\n', stderr: 'err\n' });
    expect([...result.files]).toEqual([['data', Buffer.from([1, 255])]]);
    expect(result.bootMs).toBeGreaterThan(0);
    expect(result.wallMs).toBeGreaterThan(result.bootMs);
    expect(heldBy(process.pid)).toEqual([]);
  });

  it('passes arguments, environment and standard input unchanged, whatever is in them', async () => {
    const odd = `a 'b' "c" $HOME \`id\` \\ \n; exit 9 ü`;
    const result = await ipvsKernel.boot({
      program: ['/bin/sh', '-c', 'printf "%s|%s|" "$1" "$ODD"; cat', 'sh', odd],
      env: { ODD: odd },
      stdin: odd,
      memoryMb: 256,
    });
    expect(result.stdout).toBe(`${odd}|${odd}|${odd}`);
  });

  it('hands over all output while the program runs, also what no line feed ends', async () => {
    let seen = '';
    let seenAtMs = 0;
    const startMs = performance.now();
    const result = await sh(
      'echo first; echo trouble >&2; printf "name? "; sleep 1; printf "the last word: ü"',
      {
        onOutput: (text) => {
          seen += text;
          if (seen.includes('name?')) seenAtMs ||= performance.now() - startMs;
        },
      },
    );
    expect(seenAtMs).toBeGreaterThan(0);
    expect(result.wallMs - seenAtMs).toBeGreaterThan(500);
    expect(result.stdout).toBe('first\nname? the last word: ü');
    expect(seen).toBe(result.stdout);
  });

  it('gives back plain files only: links and pipes in the results folder are passed over', async () => {
    const { files } = await sh(
      'cd "$POINTSMAN_RESULTS"; ln -s /nowhere dangling; ln -s /etc/passwd link; mkfifo pipe; mkdir folder; echo 1 >file',
    );
    expect([...files.keys()]).toEqual(['file']);
  });

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

  it('cannot change files of this machine, though it looks so inside', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'lab-test-'));
    try {
      const paths = ['written', 'closed', 'deleted'].map((name) => join(folder, name));
      for (const path of paths) writeFileSync(path, 'before', { mode: 0o644 });
      const script = `cd ${folder}; echo after >written; chmod 600 closed; rm deleted; echo new >added
        cat written; stat -c %a closed; ls; umount -a 2>/dev/null; mount -o remount,rw / 2>/dev/null; echo again >written; rm -f closed; true`;
      expect((await sh(script)).stdout).toBe('after\n600\nadded\nclosed\nwritten\n');
      expect(readdirSync(folder).sort()).toEqual(['closed', 'deleted', 'written']);
      for (const path of paths) {
        expect(readFileSync(path, 'utf8')).toBe('before');
        expect(statSync(path).mode & 0o777).toBe(0o644);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('runs beside another one, each with its own kernel', async () => {
    const script = (address: string): string => `ipvsadm -A -t ${address}:80 -s rr; sleep 1; ipvsadm -Sn`;
    const [a, b] = await Promise.all([sh(script('10.0.0.1')), sh(script('10.0.0.2'))]);
    expect(a?.stdout).toBe('-A -t 10.0.0.1:80 -s rr\n');
    expect(b?.stdout).toBe('-A -t 10.0.0.2:80 -s rr\n');
    expect(heldBy(process.pid)).toEqual([]);
  });

  it('has all that the agent and its tests need', async () => {
    // One guest for all: each part runs in a shell of its own and reports its code and its complaints.
    const parts = Object.entries(NEEDED).map(
      ([name, script]) => `err=$( (${script}) 2>&1 >/dev/null ); echo "${name}: $? [$err]"`,
    );
    const result = await sh(parts.join('\n'));
    expect(result.stdout.trimEnd().split('\n')).toEqual(Object.keys(NEEDED).map((name) => `${name}: 0 []`));
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

  it('is refused with what is wrong when the program does not exist', async () => {
    const result = await ipvsKernel.boot({ program: ['/no/such/program'], memoryMb: 256 });
    expect(result.exitCode).toBe(127);
    expect(result.stderr).toContain('/no/such/program');
  });
});

describe('a machine that cannot boot guests', () => {
  afterEach(() => vi.unstubAllEnvs());

  it('says why in one line, also to callers that boot all the same', async () => {
    vi.stubEnv('POINTSMAN_LAB_UNAVAILABLE', 'no lab in this build');
    expect(ipvsKernel.probe()).toBe('no lab in this build');
    await expect(sh('true')).rejects.toMatchObject({
      code: 'LAB_FAILED',
      message: 'no guest can boot here: no lab in this build',
    });
    expect(heldBy(process.pid)).toEqual([]);
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
