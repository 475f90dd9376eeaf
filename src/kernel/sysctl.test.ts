// Switches of this machine's kernel, written only in network namespaces of their own.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { kernelRelease, readSysctl, writeSysctl } from './sysctl.ts';

/** Runs a script with `sysctl` in a network namespace of its own; what it prints as JSON. */
function inNamespace(script: string, launcher: readonly string[] = []): unknown {
  const source = `const sysctl = await import(${JSON.stringify(import.meta.resolve('./sysctl.ts'))}); ${script}`;
  const args = ['-n', ...launcher, process.execPath, '--input-type=module', '-e', source];
  const { stdout, stderr, status } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 100_000 });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

describe('reading', () => {
  test('gives the value without its newline, null for what this kernel does not have', () => {
    expect(readSysctl('kernel/osrelease')).toBe(readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim());
    expect(kernelRelease()).toMatch(/^\d+\.\d+/);
    expect(readSysctl('net/ipv4/no_such_switch')).toBeNull();
  });

  test.each([
    '',
    'kernel',
    '/etc/passwd',
    'kernel/../../etc/passwd',
    'a/./b',
    'a//b',
    'a/b\n',
    'a/b c',
    'a/\0',
  ])('%j is a programmer error', (path) => expect(() => readSysctl(path)).toThrow(/no path of a switch/));
});

describe('writing', () => {
  // Needs root: every switch is written in a namespace of its own.
  test.runIf(process.getuid?.() === 0)('happens only when the value differs', () => {
    const script = `
      const path = 'net/ipv4/conf/lo/arp_ignore';
      const before = sysctl.readSysctl(path);
      const results = [sysctl.writeSysctl(path, '1'), sysctl.writeSysctl(path, '1'), sysctl.readSysctl(path), sysctl.writeSysctl(path, '0')];
      const range = sysctl.readSysctl('net/ipv4/ip_local_port_range');
      const isRangeWritten = sysctl.writeSysctl('net/ipv4/ip_local_port_range', range.replace(/\\s+/, ' '));
      console.log(JSON.stringify({ before, results, isRangeWritten }));`;
    expect(inNamespace(script)).toEqual({
      before: '0',
      results: [true, false, '1', true],
      isRangeWritten: false,
    });
  });

  const code = `const attempt = (path, value) => { try { sysctl.writeSysctl(path, value); return 'written'; } catch (error) { return error.code + ' ' + error.message; } };`;
  test.runIf(process.getuid?.() === 0)(
    'says what is missing: the module, the switch, the right, a valid value',
    () => {
      const script = `${code} console.log(JSON.stringify([attempt('net/ipv4/no_such_switch', '1'), attempt('net/ipv4/vs/no_such_switch', '1'), attempt('net/ipv4/ip_forward', 'maybe')]));`;
      expect(inNamespace(script)).toEqual([
        expect.stringMatching(/^KERNEL_REFUSED write \/proc\/sys\/net\/ipv4\/no_such_switch = 1: ENOENT/),
        'MISSING_MODULE /proc/sys/net/ipv4/vs/no_such_switch does not exist; load the kernel module ip_vs',
        expect.stringMatching(/^KERNEL_REFUSED write .*ip_forward = maybe: EINVAL/),
      ]);
      const asNobody = `${code} console.log(JSON.stringify(attempt('net/ipv4/conf/lo/arp_ignore', '1')));`;
      expect(inNamespace(asNobody, ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'])).toMatch(
        /^MISSING_PRIVILEGE .*run as root with CAP_NET_ADMIN/,
      );
    },
  );

  test.each(['', 'a\nb', 'x'.repeat(257), 'ä'])('of %j is a programmer error', (value) =>
    expect(() => writeSysctl('net/ipv4/ip_forward', value)).toThrow(/no value of a switch/),
  );
});
