// The choice of the flavour as a table, and both flavours of this machine in network namespaces of their own.

import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import { chooseFlavour, openFamilies, parseVersion, type IptablesFlavour } from './iptables.ts';

describe('parseVersion', () => {
  test.each([
    ['iptables-nft-restore v1.8.9 (nf_tables)\n', { version: [1, 8, 9], flavour: 'nft' }],
    ['iptables-restore v1.8.9 (legacy)\n', { version: [1, 8, 9], flavour: 'legacy' }],
    ['iptables v1.4.21', { version: [1, 4, 21], flavour: 'legacy' }],
    ['iptables v1.10', { version: [1, 10, 0], flavour: 'legacy' }],
    ['command not found', null],
  ])('%j', (text, about) => expect(parseVersion(text)).toEqual(about));
});

describe('chooseFlavour', () => {
  const table = (name: string, chains: readonly string[], rules = 0): string =>
    `*${name}\n${chains.map((chain) => `:${chain} - [0:0]\n`).join('')}${`-A ${chains[0]} -j RETURN\n`.repeat(rules)}COMMIT\n`;
  test.each<[name: string, legacy: string, nft: string, flavour: IptablesFlavour | undefined]>([
    ['nothing anywhere', '', '', undefined],
    ['as many rules in both', table('nat', ['A'], 2), table('nat', ['A'], 2), undefined],
    ['more rules in legacy', table('nat', ['A'], 3), table('nat', ['A'], 2), 'legacy'],
    ['more rules in nft', table('nat', ['A'], 3), table('filter', ['A'], 2) + table('nat', ['B'], 2), 'nft'],
    [
      "kubelet's hint in legacy, more rules in nft",
      table('mangle', ['KUBE-IPTABLES-HINT']),
      table('nat', ['A'], 9),
      'legacy',
    ],
    [
      "kubelet's canary in nft, more rules in legacy",
      table('nat', ['A'], 9),
      table('mangle', ['KUBE-KUBELET-CANARY']),
      'nft',
    ],
    [
      'a hint in both',
      table('mangle', ['KUBE-IPTABLES-HINT']),
      table('mangle', ['KUBE-IPTABLES-HINT']),
      'nft',
    ],
    [
      'a chain of that name in another table',
      table('nat', ['KUBE-IPTABLES-HINT']),
      table('nat', ['A'], 1),
      'nft',
    ],
  ])('%s', (_name, legacy, nft, flavour) => {
    const saved = new Map<IptablesFlavour, string>([
      ['legacy', legacy],
      ['nft', nft],
    ]);
    expect(chooseFlavour(saved)?.flavour).toBe(flavour);
  });
});

/** Runs a script with `Iptables` in a network namespace of its own, after shell commands there; what it prints as JSON. */
function inNamespace(shell: string, script: string): unknown {
  const source = `const { Iptables } = await import(${JSON.stringify(import.meta.resolve('./iptables.ts'))});
    const { parseTables } = await import(${JSON.stringify(import.meta.resolve('./iptables-text.ts'))});
    const print = (value) => console.log(JSON.stringify(value));
    const attempt = async (act) => { try { return await act(); } catch (error) { return { code: error.code, message: error.message, line: error.context?.line }; } };
    ${script}`;
  const command = `${shell}\nexec ${process.execPath} --input-type=module`;
  const { stdout, stderr, status } = spawnSync('unshare', ['-n', 'sh', '-ec', command], {
    encoding: 'utf8',
    timeout: 60_000,
    input: source,
  });
  if (status !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}

// Needs root and both flavours in the kernel; each test has a network namespace of its own.
const hasBoth =
  process.getuid?.() === 0 &&
  ['nft', 'legacy'].every(
    (flavour) => spawnSync('unshare', ['-n', `iptables-${flavour}`, '-t', 'nat', '-N', 'PROBE']).status === 0,
  );

describe.runIf(hasBoth)('in a network namespace', () => {
  const flavourOf = (shell: string, family: string): unknown =>
    inNamespace(
      shell,
      `const { flavour, reason } = await Iptables.open('${family}'); print({ flavour, reason });`,
    );

  test.each([
    ['IPv4', 'iptables'],
    ['IPv6', 'ip6tables'],
  ])('%s uses the flavour that the node uses', (family, program) => {
    expect(
      flavourOf(
        `${program}-legacy -t mangle -N KUBE-IPTABLES-HINT; ${program}-nft -A INPUT -j ACCEPT`,
        family,
      ),
    ).toEqual({ flavour: 'legacy', reason: "kubelet's chain KUBE-IPTABLES-HINT is in it" });
    expect(flavourOf(`${program}-legacy -A INPUT -j ACCEPT`, family)).toEqual({
      flavour: 'legacy',
      reason: 'it holds 1 rules, the other one 0',
    });
    expect(flavourOf(`${program}-nft -A INPUT -j ACCEPT`, family)).toEqual({
      flavour: 'nft',
      reason: 'it holds 1 rules, the other one 0',
    });
  });

  test('without a sign it is the default of the system, and looking leaves nothing behind', () => {
    const script = `const { flavour, reason, version, hasRandomFully } = await Iptables.open('IPv4');
      const { execFileSync } = await import('node:child_process');
      const saved = execFileSync('iptables-' + flavour + '-save', { encoding: 'utf8' });
      print({ reason, version, hasRandomFully, chains: [...(parseTables(saved).get('nat')?.keys() ?? [])].filter((name) => !/^(PREROUTING|INPUT|OUTPUT|POSTROUTING)$/.test(name)) });`;
    expect(inNamespace('', script)).toEqual({
      reason: 'it is the default of this system',
      version: [1, expect.any(Number), expect.any(Number)],
      hasRandomFully: true,
      chains: [],
    });
  });

  test.each(['legacy', 'nft'])(
    '%s: what is restored is saved, other chains stay, and counters are taken over',
    (flavour) => {
      const rules =
        '*nat\n:KUBE-A - [0:0]\n[5:300] -A KUBE-A -m comment --comment "a \\"b\\" c" -j RETURN\nCOMMIT\n';
      const script = `const iptables = await Iptables.open('IPv4', { flavour: '${flavour}' });
      await iptables.restore('*nat\\n:OTHER - [0:0]\\nCOMMIT\\n');
      await iptables.restore(${JSON.stringify(rules)});
      const nat = parseTables(await iptables.save('nat')).get('nat');
      await iptables.restore('*nat\\n:KUBE-A - [0:0]\\nCOMMIT\\n');
      const after = parseTables(await iptables.save('nat')).get('nat');
      await iptables.restore('*nat\\n:KUBE-B - [0:0]\\nCOMMIT\\n', { noflush: false });
      const flushed = parseTables(await iptables.save('nat')).get('nat');
      print({ rules: nat.get('KUBE-A').rules, hasOther: nat.has('OTHER'), after: after.get('KUBE-A').rules, left: [...flushed.keys()].filter((name) => /^(KUBE|OTHER)/.test(name)) });`;
      expect(inNamespace('', script)).toEqual({
        rules: [
          { tokens: ['-m', 'comment', '--comment', 'a "b" c', '-j', 'RETURN'], packets: 5, bytes: 300 },
        ],
        hasOther: true,
        after: [],
        left: ['KUBE-B'],
      });
    },
  );

  test.each(['legacy', 'nft'])('%s: a refused text names the line and changes nothing', (flavour) => {
    const text = '*nat\n:KUBE-A - [0:0]\n-A KUBE-A -j RETURN\n-A KUBE-A -s 1.2.3.400 -j RETURN\nCOMMIT\n';
    const script = `const iptables = await Iptables.open('IPv4', { flavour: '${flavour}' });
      const error = await attempt(() => iptables.restore(${JSON.stringify(text)}));
      print({ ...error, hasChain: parseTables(await iptables.save('nat')).get('nat')?.has('KUBE-A') ?? false });`;
    expect(inNamespace('', script)).toMatchObject({
      code: 'TOOL_FAILED',
      message: expect.stringMatching(/refused line 4: -A KUBE-A -s 1\.2\.3\.400 -j RETURN$/),
      line: '-A KUBE-A -s 1.2.3.400 -j RETURN',
      hasChain: false,
    });
  });

  test('without the right to write it says so', () => {
    const script = `process.setgroups([]); process.setgid(65534); process.setuid(65534); print(await attempt(() => Iptables.open('IPv4')));`;
    expect(inNamespace('', script)).toMatchObject({
      code: 'MISSING_PRIVILEGE',
      message: expect.stringMatching(/run as root with CAP_NET_ADMIN/),
    });
  });
});

describe('opening each family', () => {
  const missing = (family: Family): PointsmanError =>
    new PointsmanError('MISSING_MODULE', `no iptables can write table nat of ${family}`);
  const run = async (
    broken: Partial<Record<Family, PointsmanError>>,
    isHeard = true,
  ): Promise<readonly string[]> => {
    const heard: string[] = [];
    const open = async (family: Family): Promise<string> => {
      const error = broken[family];
      if (error !== undefined) throw error;
      return `tool of ${family}`;
    };
    const onMissing = (family: Family, error: PointsmanError): void =>
      void heard.push(`${family} ${error.code}`);
    const opened = await openFamilies(['IPv4', 'IPv6'], open, isHeard ? onMissing : undefined);
    return [...opened.values(), ...heard];
  };

  test.each<[string, Partial<Record<Family, PointsmanError>>, readonly string[]]>([
    ['both', {}, ['tool of IPv4', 'tool of IPv6']],
    ['without IPv6', { IPv6: missing('IPv6') }, ['tool of IPv4', 'IPv6 MISSING_MODULE']],
    [
      'without IPv4',
      { IPv4: new PointsmanError('MISSING_TOOL', 'x') },
      ['tool of IPv6', 'IPv4 MISSING_TOOL'],
    ],
  ])('%s', async (_row, broken, expected) => expect(await run(broken)).toEqual(expected));

  test('fails without any, for another reason, and when nobody would hear of it', async () => {
    const both = { IPv4: missing('IPv4'), IPv6: missing('IPv6') };
    await expect(run(both)).rejects.toBe(both.IPv4);
    await expect(run({ IPv6: both.IPv6 }, false)).rejects.toBe(both.IPv6);
    const refused = new PointsmanError('MISSING_PRIVILEGE', 'x');
    await expect(run({ IPv6: refused })).rejects.toBe(refused);
  });
});
