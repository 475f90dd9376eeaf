// iptables, modules and switches against a kernel that is not this machine's: in the lab's guest nft can list but not write, ip_vs is a
// module, and its switches exist.

import { expect, test } from 'vitest';
import { ipvsKernel } from '../../lab/boot.ts';

const SCRIPT = `
  const { Iptables } = await import(${JSON.stringify(import.meta.resolve('./iptables.ts'))});
  const { loadModule, moduleState } = await import(${JSON.stringify(import.meta.resolve('./modules.ts'))});
  const { readSysctl, writeSysctl } = await import(${JSON.stringify(import.meta.resolve('./sysctl.ts'))});
  const result = { modules: [moduleState('xt_TEE'), await loadModule('xt-TEE'), moduleState('xt_TEE'), await loadModule('xt_TEE')] };
  const path = 'net/ipv4/vs/conntrack';
  result.switches = [readSysctl(path), writeSysctl(path, '1'), writeSysctl(path, '1'), readSysctl(path)];
  for (const family of ['IPv4', 'IPv6']) {
    const iptables = await Iptables.open(family);
    await iptables.restore('*nat\\n:KUBE-A - [0:0]\\n-A KUBE-A -j RETURN\\nCOMMIT\\n');
    result[family] = { flavour: iptables.flavour, reason: iptables.reason, isSaved: (await iptables.save('nat')).includes('-A KUBE-A -j RETURN') };
  }
  result.forced = await Iptables.open('IPv4', { flavour: 'nft' }).then(() => 'opened', (error) => error.code);
  console.log(JSON.stringify(result));
`;

const unavailable = ipvsKernel.probe();

test.skipIf(unavailable !== null)(
  `iptables falls back to the flavour that can write, modules are loaded, switches written${unavailable === null ? '' : ` (skipped: ${unavailable})`}`,
  async () => {
    const program = [
      process.execPath,
      '--input-type=module',
      '--disable-warning=ExperimentalWarning',
      '-e',
      SCRIPT,
    ];
    const { stdout, stderr, exitCode } = await ipvsKernel.boot({ program, timeoutMs: 120_000 });
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
    const other = {
      flavour: 'legacy',
      reason: expect.stringMatching(/^the other one cannot write here: ip6?tables-nft-restore: /),
      isSaved: true,
    };
    expect(JSON.parse(stdout)).toEqual({
      modules: ['absent', 'loaded', 'loaded', 'loaded'],
      switches: ['0', true, false, '1'],
      IPv4: other,
      IPv6: other,
      forced: 'MISSING_MODULE',
    });
  },
  130_000,
);
