// Clean-ups on a real kernel full of other people's things: what is there afterwards is what was there before, to the line of every tool.

import { beforeAll, describe, expect, it } from 'vitest';
import type { CommandResult } from '../../lab/agent-process.ts';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';
import type { CleanupOutput } from '../../src/cli/cleanup.ts';

type State = Readonly<Record<string, string>>;

/** As `among` of cleanup-guest.ts. */
interface Run {
  readonly before: State;
  readonly full: State;
  readonly dry: CleanupOutput;
  readonly afterDry: State;
  readonly real: CleanupOutput;
  readonly after: State;
  readonly second: CleanupOutput;
}

interface Commands {
  readonly before: State;
  readonly after: State;
  readonly refused: readonly CommandResult[];
  readonly dry: CommandResult;
  readonly done: CommandResult;
}

const reason = ipvsKernel.probe();

/** Lines that `after` has more than `before`, by tool; a line that is missing counts, too. */
function difference(before: State, after: State): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [tool, text] of Object.entries(after)) {
    const known = (before[tool] ?? '').split('\n');
    const lines = text.split('\n');
    const more = lines.filter((line) => !known.includes(line));
    const gone = known.filter((line) => !lines.includes(line)).map((line) => `GONE ${line}`);
    if (more.length + gone.length > 0) found[tool] = [...more, ...gone];
  }
  return found;
}

const kept = ({ kept: list }: CleanupOutput, kind: string): string[] =>
  list.filter((each) => each.kind === kind).map(({ object }) => object);

describe.skipIf(reason !== null)(
  `clean-up on a real kernel${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let results: Record<string, unknown>;

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./cleanup-guest.ts', import.meta.url), [], {
        memoryMb: 768,
      });
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      results = JSON.parse(json.toString()) as Record<string, unknown>;
    });

    function resultOf(name: string): unknown {
      const found = results[name] as { error?: string } | undefined;
      if (found === undefined || found.error !== undefined)
        throw new Error(`case ${name} did not come to its end: ${found?.error}`);
      return found;
    }
    const runOf = (name: string): Run => resultOf(name) as Run;
    const commandsOf = (name: string): Commands => resultOf(name) as Commands;

    const RECORDED = ['01-clusterip', '02-nodeport-lb-local', '03-affinity-external-dual'];
    const BESIDE = ['besideAnAddress', 'besideAnotherProxy', 'usedByOthers', 'fromKubeProxyBesideOurs'];

    it.each(['ours', ...RECORDED])('%s: leaves the kernel exactly as it was', (name) => {
      const { before, full, after } = runOf(name);
      expect(after).toEqual(before);
      for (const tool of ['ipvsadm', 'ipset', 'iptables', 'ip6tables', 'addresses'])
        expect(full[tool], tool).not.toBe(before[tool]);
    });

    it.each(['ours', ...RECORDED, ...BESIDE])(
      '%s: a dry run writes nothing and names in order what a real one removes; a second run finds nothing',
      (name) => {
        const { full, dry, afterDry, real, second } = runOf(name);
        expect(afterDry).toEqual(full);
        expect(real).toEqual({ ...dry, isDryRun: false });
        expect(real).toMatchObject({ failed: [], left: [] });
        expect(second).toEqual({ isDryRun: false, removed: [], failed: [], left: [], kept: real.kept });
      },
    );

    it('leaves addresses of others, and kube-ipvs0 that bears them', () => {
      const { before, after, real } = runOf('besideAnAddress');
      expect(difference(before, after)).toEqual({
        addresses: [
          expect.stringMatching(/^kube-ipvs0 .*10\.99\.0\.1\/32/),
          expect.stringMatching(/^kube-ipvs0 .*10\.99\.1\.1\/24/),
        ],
        routes: [
          expect.stringMatching(/^local 10\.99\.0\.1 dev kube-ipvs0/),
          expect.stringMatching(/^local 10\.99\.1\.1 dev kube-ipvs0/),
        ],
      });
      expect(kept(real, 'address')).toEqual(['10.99.0.1', '10.99.1.1']);
      expect(kept(real, 'link')).toEqual(['kube-ipvs0']);
    });

    it('leaves another proxy all that its virtual servers need, and none of ours', () => {
      const { before, after, full, real } = runOf('besideAnotherProxy');
      const more = difference(before, after);
      expect(more['ipvsadm']).toEqual([
        '-A -t 10.96.20.1:8443 -s rr',
        '-A -t 10.96.99.1:80 -s rr',
        '-A -t 192.168.50.12:30080 -s rr',
        '-a -t 10.96.99.1:80 -r 10.244.1.5:8080 -m -w 1',
      ]);
      expect(more['ipset']?.filter((line) => line.startsWith('add ')).sort()).toEqual([
        'add KUBE-CLUSTER-IP 10.96.20.1,tcp:8443',
        'add KUBE-CLUSTER-IP 10.96.99.1,tcp:80',
        'add KUBE-HEALTH-CHECK-NODE-PORT 31234',
        'add KUBE-IPVS-IPS 10.96.20.1',
        'add KUBE-IPVS-IPS 10.96.99.1',
        'add KUBE-LOOP-BACK 10.244.1.5,tcp:8080,10.244.1.5',
        'add KUBE-NODE-PORT-TCP 30080',
      ]);
      expect(more['ipset']?.filter((line) => line.startsWith('create '))).toHaveLength(17);
      expect(after['iptables']).toBe(full['iptables']);
      expect(after['ip6tables']).toBe(before['ip6tables']);
      expect(kept(real, 'rules')).toEqual(['rules and sets of mode ipvs, IPv4']);
      expect(kept(real, 'address')).toEqual(['10.96.20.1', '10.96.99.1']);
    });

    it('leaves a chain and a set that rules of others use', () => {
      const { before, after, real } = runOf('usedByOthers');
      expect(difference(before, after)).toEqual({
        ipset: [expect.stringMatching(/^create KUBE-CLUSTER-IP hash:ip,port/)],
        iptables: [
          '-A FORWARD -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT',
          ':KUBE-MARK-MASQ -',
          '-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000',
          '-A KUBE-SERVICES-FOO -j KUBE-MARK-MASQ',
        ],
      });
      expect(kept(real, 'chain')).toEqual(['iptables-legacy nat KUBE-MARK-MASQ']);
      expect(kept(real, 'set')).toEqual(['KUBE-CLUSTER-IP']);
    });

    it("takes from a kernel that is ours only what is kube-proxy's", () => {
      const { full, after, real } = runOf('fromKubeProxyBesideOurs');
      expect(difference(full, after)).toEqual({
        ipvsadm: ['GONE -A -t 10.96.99.1:80 -s rr'],
        ipset: ['GONE add KUBE-CLUSTER-IP 10.96.99.1,tcp:80', 'GONE add KUBE-IPVS-IPS 10.96.99.1'],
        addresses: [expect.stringMatching(/^GONE kube-ipvs0 .*10\.96\.99\.1\/32/)],
        routes: [expect.stringMatching(/^GONE local 10\.96\.99\.1 dev kube-ipvs0/)],
      });
      expect(real.removed.map(({ object }) => object)).toEqual([
        '10.96.99.1',
        'KUBE-CLUSTER-IP 10.96.99.1,tcp:80',
        'TCP 10.96.99.1:80',
        'KUBE-IPVS-IPS 10.96.99.1',
      ]);
    });

    it('leaves what excludeCIDRs names, whatever the mode of the configuration', () => {
      const { code, stdout, after } = resultOf('excluded') as { code: number; stdout: string; after: State };
      expect([code, stdout]).toEqual([0, expect.stringContaining('in excludeCIDRs of the configuration')]);
      const left = (after['ipvsadm'] ?? '').split('\n').filter((line) => line.startsWith('-A '));
      expect(left).toHaveLength(5);
      for (const line of left) expect(line).toContain(' 192.168.50.11:');
      expect(after['ipset']).toBe('');
    });

    it('is refused while an agent runs, but for a dry run; the socket of a killed one is no agent', () => {
      const { before, refused, dry, done, after } = commandsOf('agentRuns');
      const line =
        'error: an agent answers on /run/pointsman/agent.sock and would put back what is removed; stop it first';
      expect(refused).toEqual([
        { code: 3, stdout: '', stderr: `${line}, or go on with --force\n` },
        { code: 3, stdout: '', stderr: `${line}\n` },
      ]);
      const planned = JSON.parse(dry.stdout) as CleanupOutput;
      expect([dry.code, planned.isDryRun, planned.kept]).toEqual([0, true, []]);
      expect(planned.removed.some(({ kind }) => kind === 'virtualServer')).toBe(true);
      expect([done.code, done.stderr]).toEqual([0, '']);
      expect(after).toEqual(before);
    });

    it("run --cleanup takes ours and kube-proxy's, and nothing else", () => {
      const { before, done, after } = commandsOf('everything');
      expect([done.code, done.stderr]).toEqual([0, '']);
      expect(after).toEqual(before);
    });
  },
);
