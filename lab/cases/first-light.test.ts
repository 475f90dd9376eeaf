import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest, type GuestResult } from '../boot.ts';
import type { CommandResult } from '../agent-process.ts';
import { isForeignLine } from '../foreign-things.ts';
import { FAMILIES, serviceAddress } from './first-light-input.ts';

interface Cell {
  readonly answered: number;
  readonly counts: Readonly<Record<string, number>>;
  readonly sources: readonly string[];
}

interface State {
  readonly ipvsadm: string;
  readonly ipvsadmSave: string;
  readonly ipset: string;
  readonly iptables: string;
  readonly ip6tables: string;
  readonly addresses: string;
  readonly sysctl: string;
}

interface Results {
  readonly planBefore: CommandResult;
  readonly once: CommandResult;
  readonly planAfter: CommandResult;
  readonly state: State;
  readonly stateAgain: State;
  readonly secondSyncLog: string;
  readonly rr: Readonly<Record<string, number>>;
  readonly matrix: Readonly<Record<string, Cell>>;
  readonly tuned: Readonly<Record<string, number>>;
  readonly affinity: Readonly<Record<string, number>>;
  readonly newAddress: number;
  readonly noEndpoints: number;
  readonly undeclaredPort: number;
  readonly sh: Readonly<Record<string, number>>;
  readonly brokenLog: string;
  readonly stateBroken: string;
  readonly threeServers: Readonly<Record<string, number>>;
  readonly afterKill: Readonly<Record<string, number>>;
  readonly planAfterKill: CommandResult;
  readonly onceWithoutForeign: CommandResult;
  readonly onceEmpty: CommandResult;
  readonly stateEmpty: State;
}

const reason = ipvsKernel.probe();
const EVEN = { pod1: 2, pod2: 2, remote1: 2, remote2: 2 };
const FOREIGN = `${serviceAddress('foreign', 'IPv4')}:80`;

describe.skipIf(reason !== null)(
  `first light in the lab${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let guest: GuestResult;
    let results: Results;

    beforeAll(async () => {
      guest = await runInGuest(new URL('./first-light.ts', import.meta.url), []);
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      results = JSON.parse(json.toString()) as Results;
    });

    it('plans changes with exit 4, and none with exit 0 once they are made', () => {
      expect(results.planBefore.code).toBe(4);
      expect(results.planAfter.code).toBe(0);
      expect((JSON.parse(results.planAfter.stdout) as { changes: unknown[] }).changes).toEqual([]);
    });

    it('programs everything but the key that somebody else holds, and says so with exit 1', () => {
      expect(results.once.code).toBe(1);
      expect(results.once.stderr).toContain(
        `Service default/foreign: virtual server TCP ${FOREIGN} was made by somebody else`,
      );
    });

    it('sends no operation at the next start on the same input', () => {
      expect(results.secondSyncLog).toContain('operations=0');
      expect(results.stateAgain).toEqual(results.state);
    });

    it('balances 400 connections 100/100/100/100 under rr', () => {
      expect(results.rr).toEqual({ pod1: 100, pod2: 100, remote1: 100, remote2: 100 });
    });

    it.each(
      FAMILIES.flatMap((family) =>
        (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
          ['ClusterIP', 'NodePort'].map((kind) => [family, protocol, kind] as const),
        ),
      ),
    )(
      'reaches every server over %s %s %s from a client, a pod, the node and a pod that is one of the servers',
      (family, protocol, kind) => {
        for (const from of ['client1', 'pod3', 'node1', 'pod1']) {
          expect({
            from,
            counts: results.matrix[`${family} ${protocol} ${kind} from ${from}`]?.counts,
          }).toEqual({ from, counts: EVEN });
        }
      },
    );

    it('keeps a pod as the source inside the cluster and masquerades clients from outside and hairpin traffic', () => {
      const sources = (from: string): readonly string[] | undefined =>
        results.matrix[`IPv4 TCP ClusterIP from ${from}`]?.sources;
      expect(sources('pod3')).toEqual(['10.244.1.13']);
      expect(sources('client1')).not.toContain('192.168.50.100');
      expect(results.matrix['IPv4 TCP NodePort from client1']?.sources).not.toContain('192.168.50.100');
      // pod1 sees itself only behind the node's address; the other servers see pod1.
      expect(sources('pod1')).toContain('10.244.1.11');
      expect(sources('pod1')).toHaveLength(2);
    });

    it('follows the scheduler, flags and weights that annotations ask for, whatever the scheduler of the node', () => {
      const address = serviceAddress('tuned', 'IPv4');
      expect(results.state.ipvsadmSave).toContain(`-A -t ${address}:80 -s wrr -b flag-3\n`);
      // A fresh wrr service begins with one pass over all servers, so the shares of 30:30:10 are off by one at most.
      const { pod1 = 0, pod2 = 0, remote1 = 0 } = results.tuned;
      expect(pod1 + pod2 + remote1).toBe(70);
      for (const [seen, share] of [
        [pod1, 30],
        [pod2, 30],
        [remote1, 10],
      ] as const)
        expect(Math.abs(seen - share)).toBeLessThanOrEqual(1);
    });

    it('keeps a client on one server with ClientIP affinity and with the scheduler sh', () => {
      expect(Object.values(results.affinity)).toEqual([20]);
      expect(Object.values(results.sh)).toEqual([40]);
    });

    it('serves NodePorts on an address that appears while it runs', () => {
      expect(results.newAddress).toBe(4);
    });

    it('refuses connections to a Service without endpoints and to an undeclared port of a Service', () => {
      expect(results.noEndpoints).toBe(1);
      expect(results.undeclaredPort).toBe(1);
    });

    it('shows virtual servers, addresses, sets and switches as the ordinary tools print them', () => {
      const { ipvsadmSave, addresses, ipset, sysctl } = results.state;
      const lines = ipvsadmSave.split('\n');
      for (const line of [
        `-A -t ${serviceAddress('web', 'IPv4')}:80 -s rr`,
        `-A -u ${serviceAddress('web', 'IPv4')}:80 -s rr`,
        `-A --sctp-service [${serviceAddress('web', 'IPv6')}]:80 -s rr`,
        `-a -t ${serviceAddress('web', 'IPv4')}:80 -r 10.244.2.12:8080 -m -w 1`,
        `-A -t ${serviceAddress('sticky', 'IPv4')}:80 -s rr -p 600`,
        `-A -t 192.168.50.11:30080 -s rr`,
        `-A -t [fd00:50::11]:30080 -s rr`,
        `-A -t ${serviceAddress('empty', 'IPv4')}:80 -s rr`,
      ]) {
        expect(lines).toContain(line);
      }
      expect(addresses).toMatch(
        new RegExp(`inet ${serviceAddress('web', 'IPv4').replaceAll('.', '\\.')}/32 scope global kube-ipvs0`),
      );
      expect(addresses).toContain(`inet6 ${serviceAddress('web', 'IPv6')}/128`);
      for (const line of [
        `add KUBE-CLUSTER-IP ${serviceAddress('web', 'IPv4')},tcp:80`,
        `add KUBE-6-CLUSTER-IP ${serviceAddress('web', 'IPv6')},sctp:80`,
        'add KUBE-LOOP-BACK 10.244.1.11,tcp:8080,10.244.1.11',
        'add KUBE-6-LOOP-BACK fd00:10:244:1::12,udp:8080,fd00:10:244:1::12',
        'add KUBE-NODE-PORT-TCP 30080',
        'add KUBE-NODE-PORT-UDP 30081',
        'add KUBE-NODE-PORT-SCTP-HASH 192.168.50.11,sctp:30082',
        `add KUBE-IPVS-IPS ${serviceAddress('web', 'IPv4')}`,
      ]) {
        expect(ipset.split('\n')).toContain(line);
      }
      expect(ipset).toMatch(
        /create KUBE-6-LOAD-BALANCER-SOURCE-CID hash:ip,port,net family inet6 hashsize 1024 maxelem 65536/,
      );
      for (const name of ['conntrack', 'expire_nodest_conn', 'expire_quiescent_template'])
        expect(sysctl).toContain(`net.ipv4.vs.${name} = 1`);
      expect(sysctl).toContain('net.ipv4.ip_forward = 1');
    });

    it("writes kube-proxy's chains and rules in kube-proxy's order", () => {
      const chain = (text: string, name: string): string[] =>
        text.split('\n').filter((line) => line.startsWith(`-A ${name} `) && !isForeignLine(line));
      expect(chain(results.state.iptables, 'KUBE-SERVICES')).toEqual([
        '-A KUBE-SERVICES -s 127.0.0.0/8 -j RETURN',
        '-A KUBE-SERVICES ! -s 10.244.0.0/16 -m comment --comment "Kubernetes service cluster ip + port for masquerade purpose" -m set --match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ',
        '-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODE-PORT',
        '-A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT',
      ]);
      expect(chain(results.state.ip6tables, 'KUBE-SERVICES')[1]).toContain('! -s fd00:10:244::/48');
      expect(chain(results.state.iptables, 'INPUT').map((line) => line.split(' ').at(-1))).toEqual([
        'KUBE-IPVS-FILTER',
        'KUBE-PROXY-FIREWALL',
        'KUBE-NODE-PORT',
      ]);
      expect(chain(results.state.iptables, 'KUBE-POSTROUTING')).toHaveLength(4);
    });

    it('leaves virtual servers of others untouched to the end', () => {
      for (const { ipvsadmSave } of [results.state, results.stateAgain]) {
        expect(ipvsadmSave).toContain('-A -t 192.0.2.77:80 -s wlc');
        expect(ipvsadmSave).toContain(`-A -t ${FOREIGN} -s wlc\n-a -t ${FOREIGN} -r 192.0.2.9:80 -m -w 1`);
      }
      const left = results.stateEmpty.ipvsadmSave.split('\n').filter((line) => !isForeignLine(line));
      expect(left).toEqual(['-A -t 192.0.2.77:80 -s wlc', '']);
    });

    it('reports a broken file as file:line:column and keeps the last good state', () => {
      expect(results.brokenLog).toMatch(/all\.yaml:1:\d+/);
      expect(results.stateBroken).toContain(`-A -t ${serviceAddress('web', 'IPv4')}:80 -s rr`);
    });

    it('stops using an endpoint that goes, survives a kill, and adopts everything afterwards', () => {
      expect(results.threeServers).toEqual({ pod1: 10, pod2: 10, remote1: 10 });
      expect(results.afterKill).toEqual({ pod1: 10, pod2: 10, remote1: 10 });
      expect((JSON.parse(results.planAfterKill.stdout) as { changes: unknown[] }).changes).toEqual([]);
    });

    it('serves the contested Service when the foreign virtual server is gone, and removes all of ours when the Services are', () => {
      expect(results.onceWithoutForeign).toMatchObject({ code: 0 });
      expect(results.onceEmpty).toMatchObject({ code: 0 });
      expect(results.stateEmpty.addresses).not.toContain('10.96.');
      expect(
        results.stateEmpty.ipset
          .split('\n')
          .filter((line) => line.startsWith('add ') && !isForeignLine(line)),
      ).toEqual([]);
    });
  },
);
