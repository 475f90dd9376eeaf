// Families by facts that are made up, and by network namespaces of this machine in which IPv6 is switched off.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { chooseFamilies, requirePrimaryFamily, type FamilyFacts } from './address-families.ts';

const FULL: FamilyFacts = { hasIPv6: true, isIPv6Disabled: false, hasIptables: { IPv4: true, IPv6: true } };

describe('the families', () => {
  it.each<[string, Partial<FamilyFacts>, string, string]>([
    ['both', {}, 'IPv4 IPv6', ''],
    [
      'a kernel without IPv6',
      { hasIPv6: false },
      'IPv4',
      'IPv6: No kernel support for family: /proc/net/if_inet6 is not there',
    ],
    [
      'IPv6 switched off',
      { isIPv6Disabled: true },
      'IPv4',
      'IPv6: Kernel support disabled for family: net.ipv6.conf.all.disable_ipv6 is 1',
    ],
    [
      'no ip6tables',
      { hasIptables: { IPv4: true, IPv6: false } },
      'IPv4',
      'IPv6: No iptables support for family: ip6tables-restore is not installed',
    ],
    [
      'no iptables of IPv4',
      { hasIptables: { IPv4: false, IPv6: true } },
      'IPv6',
      'IPv4: No iptables support for family: iptables-restore is not installed',
    ],
    [
      'no iptables at all: opening it says so',
      { hasIptables: { IPv4: false, IPv6: false } },
      'IPv4 IPv6',
      '',
    ],
    [
      'no ip6tables and no IPv6: said once',
      { hasIPv6: false, hasIptables: { IPv4: true, IPv6: false } },
      'IPv4',
      'IPv6: No iptables support for family: ip6tables-restore is not installed',
    ],
  ])('%s', (_row, change, families, missing) => {
    const found = chooseFamilies({ ...FULL, ...change });
    expect(found.families.join(' ')).toBe(families);
    expect(
      found.missing.map(({ family, message, reason }) => `${family}: ${message}: ${reason}`).join(),
    ).toBe(missing);
  });

  it('must contain the primary one', () => {
    requirePrimaryFamily('IPv4', ['IPv4', 'IPv6']);
    expect(() => requirePrimaryFamily('IPv6', ['IPv4'])).toThrow(
      expect.objectContaining({
        code: 'UNSUPPORTED_FAMILY',
        message: expect.stringMatching(
          /^no support for primary IP family "IPv6": this machine forwards IPv4 only; /,
        ),
      }),
    );
  });
});

const SWITCH = '/proc/sys/net/ipv6/conf/all/disable_ipv6';

// Needs root, for namespaces, and a kernel with IPv6.
test.runIf(process.getuid?.() === 0 && existsSync(SWITCH))(
  'IPv6 is off where addresses of it cannot be set',
  () => {
    const source = `
    const { readFamilyFacts, presentFamilies } = await import(${JSON.stringify(import.meta.resolve('./address-families.ts'))});
    const { hasIPv6, isIPv6Disabled } = readFamilyFacts();
    console.log(JSON.stringify([hasIPv6, isIPv6Disabled, presentFamilies().join(' ')]));`;
    const shell = `add() { if ip address add $1/128 dev lo 2>/dev/null; then echo '"set"'; else echo '"refused"'; fi; }
"$0" --input-type=module -e "$1"
add fd00::1
echo 1 >${SWITCH}
add fd00::2
"$0" --input-type=module -e "$1"`;
    const args = ['-n', '/bin/sh', '-ec', shell, process.execPath, source];
    const { stdout, stderr, status } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 100_000 });
    expect({ status, stderr }).toMatchObject({ status: 0 });
    expect(
      stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
    ).toEqual([[true, false, 'IPv4 IPv6'], 'set', 'refused', [true, true, 'IPv4 IPv6']]);
  },
);
