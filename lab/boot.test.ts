// The lab's door on this machine: what comes back from a guest, and that nothing gets out of it or stays behind. What hangs, floods or
// dies is in boot.long.test.ts.

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { heldBy, sh } from './boot-held.ts';
import { ipvsKernel } from './boot.ts';

const unavailable = ipvsKernel.probe();
const title = unavailable === null ? 'a guest' : `a guest (skipped: ${unavailable})`;

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

  it('has all that the agent and its tests need', async () => {
    // One guest for all: each part runs in a shell of its own and reports its code and its complaints.
    const parts = Object.entries(NEEDED).map(
      ([name, script]) => `err=$( (${script}) 2>&1 >/dev/null ); echo "${name}: $? [$err]"`,
    );
    const result = await sh(parts.join('\n'));
    expect(result.stdout.trimEnd().split('\n')).toEqual(Object.keys(NEEDED).map((name) => `${name}: 0 []`));
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
