// What a release must not be talked into: tests for release.test.ts, for either form. The environment, the arguments and the folder of the
// caller have no code loaded, nothing listens for a debugger, and the executable writes its library where nobody else can.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { endHelpers, HelperProcess } from '../helper-process.ts';
import { MANIFESTS, VERSION } from './build.ts';
import { run } from './run.ts';

const isRoot = process.geteuid?.() === 0;
/** Bit of SIGUSR1 in the masks of /proc/PID/status. */
const SIGUSR1 = 1n << 9n;
const EXPLAIN = ['explain', '--from', 'pod/hello-1', '--to', '10.96.50.10:8080', '--manifests', MANIFESTS];
/** A user that owns nothing. */
const NOBODY = ['/usr/bin/setpriv', '--reuid=12345', '--regid=12345', '--clear-groups'] as const;

/** `program` gives the path once the release is built. */
export function describeHostile(program: () => string, isExecutable: boolean): void {
  let evil = '';
  let mark = '';
  beforeAll(() => {
    evil = mkdtempSync(join(tmpdir(), 'pointsman-evil-'));
    mark = join(evil, 'mark');
    const code = `require('node:fs').writeFileSync(${JSON.stringify(mark)}, '');`;
    writeFileSync(join(evil, 'evil.cjs'), code);
    for (const name of ['koffi', 'commander', '@koromix/koffi-linux-x64', 'yaml']) {
      const folder = join(evil, 'node_modules', name);
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'index.js'), code);
      writeFileSync(join(folder, 'package.json'), '{"main":"index.js"}');
    }
    for (const name of ['koffi.node', 'program.js', 'pointsman.cjs', 'program.cache'])
      writeFileSync(join(evil, name), code);
    writeFileSync(join(evil, 'package.json'), '{"type":"module"}');
    writeFileSync(
      join(evil, 'openssl.cnf'),
      'nodejs_conf = x\n[x]\nengines = y\n[y]\nz = z\n[z]\ndynamic_path = /nonexistent\n',
    );
    // One that PATH finds in the current folder.
    writeFileSync(join(evil, 'node'), `#!/bin/sh\n: > ${mark}\n`, { mode: 0o755 });
  });
  afterAll(async () => {
    await endHelpers();
    rmSync(evil, { recursive: true, force: true });
  });

  /** By this name it waits for rules on its standard input before it does anything; it gets none and is killed. */
  const startWaiting = (name: string): HelperProcess => {
    const link = join(mkdtempSync(join(evil, 'link-')), name);
    symlinkSync(program(), link);
    return new HelperProcess(link, [], { POINTSMAN_TELL_START: '1' });
  };

  it.skipIf(isExecutable && !isRoot)('takes no code from the current folder', () => {
    const { status, stderr } = run(program(), EXPLAIN, { cwd: evil });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(existsSync(mark)).toBe(false);
  });

  it.each([
    ['NODE_OPTIONS', '--require=EVIL/evil.cjs'],
    ['NODE_OPTIONS', '--import=EVIL/evil.cjs'],
    ['NODE_OPTIONS', '--inspect=127.0.0.1:0'],
    ['NODE_OPTIONS', '--no-such-option'],
    ['NODE_OPTIONS', '--report-on-signal --report-directory=/nonexistent'],
    ['NODE_PATH', 'EVIL/node_modules'],
    ['NODE_COMPILE_CACHE', 'EVIL/compiled'],
    ['NODE_DEBUG', 'fs,http,net,module'],
    ['NODE_EXTRA_CA_CERTS', 'EVIL/none'],
    ['OPENSSL_CONF', 'EVIL/openssl.cnf'],
    ['NODE_REDIRECT_WARNINGS', 'EVIL/warnings'],
    ['POINTSMAN_TEST_BUNDLE', '1'],
  ])('starts as ever with %s=%s in the environment', (name, value) => {
    const ended = run(program(), ['--version'], { cwd: evil, env: { [name]: value.replace('EVIL', evil) } });
    expect(ended).toEqual({ status: 0, stdout: `pointsman ${VERSION}\n`, stderr: '' });
    expect(existsSync(mark)).toBe(false);
    expect(filesBelow(join(evil, 'compiled'))).toEqual([]);
    expect(existsSync(join(evil, 'warnings'))).toBe(false);
  });

  it('runs no module that NODE_REPL_EXTERNAL_MODULE names', () => {
    const { status } = run(program(), ['--version'], {
      env: { NODE_REPL_EXTERNAL_MODULE: join(evil, 'evil.cjs') },
    });
    // The executable's Node.js refuses to start with it; the launcher takes it away.
    expect(status).toBe(isExecutable ? 9 : 0);
    expect(existsSync(mark)).toBe(false);
  });

  it.each([
    '--inspect',
    '--inspect-brk=127.0.0.1:0',
    '--require=./evil.cjs',
    '--import=./evil.cjs',
    '--eval=1',
    '-r',
    '--node-options=--inspect',
    '--experimental-sea-config=x',
    '--build-snapshot',
    '--report-on-signal',
    '--cpu-prof',
  ])('takes %s for a mistake of its own caller', (option) => {
    const { status, stdout, stderr } = run(program(), [option], { cwd: evil });
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^error: unknown option .*\n$/);
    expect(existsSync(mark)).toBe(false);
  });

  it('opens no debugger for SIGUSR1', async () => {
    const started = startWaiting('ipvsadm-restore');
    await started.until('start: ');
    expect(signalsCaught(started.pid) & SIGUSR1).toBe(0n);
    const plain = new HelperProcess(process.execPath, ['-e', 'console.log("up"); process.stdin.resume()']);
    await plain.until('up');
    expect(signalsCaught(plain.pid) & SIGUSR1).toBe(SIGUSR1);
  });

  it('is shown as pointsman, with the command line it was given', async () => {
    const started = startWaiting('ipvsadm-restore');
    const read = (file: string): string => readFileSync(`/proc/${started.pid}/${file}`, 'utf8');
    await vi.waitFor(() => expect(read('comm')).toBe('pointsman\n'), { timeout: 100_000, interval: 20 });
    expect(read('cmdline')).toContain(isExecutable ? 'ipvsadm-restore' : 'lib/pointsman.cjs');
  });

  describe.runIf(isRoot)('for a user without a folder', () => {
    it('says its version, and what it cannot do in one line', () => {
      expect(asNobody(['--version'])).toEqual({ status: 0, stdout: `pointsman ${VERSION}\n`, stderr: '' });
      const { status, stdout, stderr } = asNobody(EXPLAIN);
      if (!isExecutable) {
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
        return;
      }
      expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
      expect(stderr).toMatch(
        /^error: no library for system calls: .*\/run\/user\/12345.*; run as root, .*\n$/,
      );
    });

    const asNobody = (words: readonly string[]): ReturnType<typeof run> => {
      const [setpriv, ...options] = NOBODY;
      return run(setpriv, [...options, program(), ...words]);
    };
  });

  if (!isExecutable) return;
  describe.runIf(isRoot)('writes its library', () => {
    /** In a mount namespace of its own, after a script that changes it. */
    const mounted = (script: string): ReturnType<typeof run> =>
      run('/usr/bin/unshare', [
        '--mount',
        '/bin/sh',
        '-ec',
        `${script}\nexec "$@"`,
        'sh',
        program(),
        ...EXPLAIN,
      ]);
    const SHOW = 'trap "find /run/pointsman /var/lib/pointsman -type f" EXIT\n"$@" >/dev/null; exit';

    it('into /run/pointsman, where it leaves nothing', () => {
      const { status, stdout } = mounted(
        `mount -t tmpfs -o mode=755 tmpfs /run; mkdir /var/lib/pointsman 2>/dev/null || :; ${SHOW}`,
      );
      expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    });

    it('into /var/lib/pointsman where /run has noexec', () => {
      const { status, stdout, stderr } = mounted(
        `mount -t tmpfs -o mode=755,noexec tmpfs /run; mount -t tmpfs -o mode=755 tmpfs /var/lib; ${SHOW}`,
      );
      expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: '', stderr: '' });
    });

    it('nowhere when everybody can write to all of these folders', () => {
      const { status, stdout, stderr } = mounted(
        'mount -t tmpfs -o mode=777 tmpfs /run; mount -t tmpfs -o mode=1777 tmpfs /var/lib',
      );
      expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
      expect(stderr).toMatch(
        /^error: no library for system calls: \/run can be .*; \/var\/lib can be .*; \/tmp can be .* noexec\n$/,
      );
    });

    it('through no link that is in its place', () => {
      const { status, stderr } = mounted(
        'mount -t tmpfs -o mode=755 tmpfs /run; mount -t tmpfs -o mode=777 tmpfs /var/lib; mkdir /run/other; ln -s other /run/pointsman',
      );
      expect(status).toBe(3);
      expect(stderr).toContain('/run/pointsman is a link');
    });
  });
}

function signalsCaught(pid: number): bigint {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1];
  return BigInt(`0x${mask}`);
}

const filesBelow = (folder: string): string[] =>
  existsSync(folder)
    ? readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ name }) => name)
    : [];
