// Packets for each kind of frontend from each kind of client, in both families and with all three protocols, against a real IPVS kernel.

import { beforeAll, describe, expect, it } from 'vitest';
import type { CommandResult } from '../agent-process.ts';
import { ipvsKernel, runInGuest } from '../boot.ts';
import { cellsOf, VARIANTS, type Variant } from './frontends-cells.ts';
import { addressOf, FAMILIES, HOSTS, PORTS, PROTOCOLS } from './frontends-services.ts';

interface VariantResults {
  readonly once: CommandResult;
  /** What iptables-save and ip6tables-save print. */
  readonly rules: readonly [string, string];
  readonly seen: Readonly<Record<string, readonly string[]>>;
}

type Results = Readonly<Record<Variant, VariantResults>> & {
  readonly planAfter: CommandResult;
  readonly sets: string;
  readonly addresses: string;
};

/** The rule about ClusterIPs to masquerade, in each configuration, without its comment. */
const CLUSTER_IP_RULES: Readonly<Record<Variant, readonly [string, string]>> = {
  detector: [
    '! -s 10.244.0.0/16 -m set --match-set KUBE-CLUSTER-IP dst,dst',
    '! -s fd00:10:244::/48 -m set --match-set KUBE-6-CLUSTER-IP dst,dst',
  ],
  masqueradeAll: [
    '-m set --match-set KUBE-CLUSTER-IP dst,dst',
    '-m set --match-set KUBE-6-CLUSTER-IP dst,dst',
  ],
  noDetector: ['-m set --match-set KUBE-CLUSTER-IP src,dst', '-m set --match-set KUBE-6-CLUSTER-IP src,dst'],
};

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `frontends in the lab${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let results: Results;

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./frontends.ts', import.meta.url), [], {
        memoryMb: 1024,
      });
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      results = JSON.parse(json.toString()) as Results;
    });

    it('has nothing left to change after the first sync: the kernel says everything in the words it was told', () => {
      expect((JSON.parse(results.planAfter.stdout) as { changes: unknown[] }).changes).toEqual([]);
      expect(results.planAfter.code).toBe(0);
    });

    it('keeps the addresses of external and load-balancer IPs on kube-ipvs0, but not one that is the own of this node', () => {
      for (const family of FAMILIES) {
        const length = family === 'IPv4' ? 32 : 128;
        for (const kind of ['ClusterIP', 'ExternalIP', 'LoadBalancerIP'] as const)
          expect(results.addresses).toContain(` ${addressOf('both', kind, family)}/${length} `);
        expect(results.addresses).not.toContain(` ${HOSTS.node1[family]}/`);
        expect(setMembers('IPVS-IPS', family)).not.toContain(HOSTS.node1[family]);
        expect(setMembers('EXTERNAL-IP', family)).toContain(`${HOSTS.node1[family]},tcp:8500`);
        expect(setMembers('EXTERNAL-IP-LOCAL', family)).toContain(`${HOSTS.node1[family]},sctp:8501`);
      }
    });

    it('writes sources of load-balancer IPs into sets, and this node only where a range has it', () => {
      for (const family of FAMILIES) {
        const ip = (service: 'ranged' | 'rangednode' | 'rangedlocal'): string =>
          addressOf(service, 'LoadBalancerIP', family);
        expect(setMembers('LOAD-BALANCER-SOURCE-CIDR', family)).toEqual(
          expect.arrayContaining([
            `${ip('ranged')},tcp:80,${HOSTS.client1[family]}`,
            `${ip('ranged')},udp:80,${HOSTS.pod3[family]}`,
            `${ip('rangedlocal')},sctp:80,${HOSTS.client1[family]}`,
          ]),
        );
        expect(setMembers('LOAD-BALANCER-SOURCE-IP', family).sort()).toEqual(
          ['sctp', 'tcp', 'udp'].map((protocol) => `${ip('rangednode')},${protocol}:80,${ip('rangednode')}`),
        );
      }
      expect(setMembers('HEALTH-CHECK-NODE-PORT', 'IPv4')).toContain(String(PORTS.healthCheck));
    });

    it('closes load-balancer IPs to this node where no range has it, in the spelling of iptables-save', () => {
      for (const [index, family] of FAMILIES.entries()) {
        // Its ranges are of IPv4 only, so in IPv6 it is open to everybody.
        const services = [
          'ranged',
          'rangedlocal',
          ...(family === 'IPv4' ? (['rangedipv4'] as const) : []),
        ] as const;
        expect(chain('detector', index, 'KUBE-IPVS-OUT-FILTER')).toEqual(
          services.flatMap((service) => {
            const address = addressOf(service, 'LoadBalancerIP', family);
            const source = `${address}/${family === 'IPv4' ? 32 : 128}`;
            return [6, 17, 132].map(
              (number) => `-s ${source} -m ipvs --vproto ${number} --vaddr ${address} --vport 80 -j DROP`,
            );
          }),
        );
      }
    });

    /** Members of a set, by its name without "KUBE-" or "KUBE-6-". */
    function setMembers(name: string, family: 'IPv4' | 'IPv6'): string[] {
      // The kernel's names have 31 characters at most.
      const beginning = `add ${`KUBE-${family === 'IPv4' ? '' : '6-'}${name}`.slice(0, 31)} `;
      return results.sets
        .split('\n')
        .filter((line) => line.startsWith(beginning))
        .map((line) => line.slice(beginning.length));
    }

    /** Rules of a chain without "-A CHAIN " and comments. */
    function chain(variant: Variant, familyIndex: number, name: string): string[] {
      return (results[variant].rules[familyIndex] ?? '')
        .split('\n')
        .filter((line) => line.startsWith(`-A ${name} `))
        .map((line) => line.slice(`-A ${name} `.length).replace(/-m comment --comment "[^"]*" /, ''));
    }

    describe.each(VARIANTS)('with the configuration %s', (variant) => {
      it('programs everything in one sync', () => {
        expect(results[variant].once).toMatchObject({ code: 0 });
      });

      it('marks for masquerading to ClusterIPs whom the configuration says', () => {
        for (const [index, rule] of CLUSTER_IP_RULES[variant].entries())
          expect(chain(variant, index, 'KUBE-SERVICES')).toContain(`${rule} -j KUBE-MARK-MASQ`);
      });

      describe.each(FAMILIES.flatMap((family) => PROTOCOLS.map((protocol) => ({ family, protocol }))))(
        '$family $protocol',
        ({ family, protocol }) => {
          it.each(cellsOf(variant, family, protocol))('$name: $why', ({ name, expected }) => {
            const seen = results[variant].seen[`${family} ${protocol} ${name}`];
            expect(expected.length === 1 ? [seen] : expected).toEqual(
              expected.length === 1 ? expected : expect.arrayContaining([seen]),
            );
          });
        },
      );
    });
  },
);
