// What `npm run build` makes in the place of kube-proxy, on a real kernel: started by the name and the files of kubeadm and kubeasz, it answers
// as kube-proxy does, follows its file, and ends as it should when it cannot run.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';
import type { CommandResult } from '../../lab/agent-process.ts';
import { makeRelease, type Release } from '../release/build.ts';
import { probeReader, readMetrics } from '../prometheus-reader.ts';
import type { PortAnswer } from './drop-in-agent.ts';

interface Results {
  readonly kubeadm: Readonly<
    Record<
      | 'healthz'
      | 'livez'
      | 'other'
      | 'proxyMode'
      | 'metricsHealthz'
      | 'configz'
      | 'flagz'
      | 'statusz'
      | 'posted'
      | 'healthCheck',
      PortAnswer
    >
  > & {
    readonly healthzOverIpv6: number;
    readonly virtualServers: number;
    readonly switches: Readonly<Record<string, string>>;
    readonly oomScore: string;
    readonly name: string;
    readonly events: readonly Readonly<Record<string, unknown>>[];
    readonly listening: readonly string[];
  };
  readonly metrics: string;
  readonly plan: number;
  readonly status: { readonly code: number; readonly headline: string };
  readonly second: CommandResult;
  readonly inspector: boolean;
  readonly keptOnHalf: boolean;
  readonly refusals: string;
  readonly movedMetrics: string;
  readonly withoutLocal: PortAnswer;
  readonly leaving: PortAnswer & { readonly livez: number };
  readonly kubeadmStopped: number;
  readonly keptByStop: boolean;
  readonly kubeadmLog: string;
  readonly kubeasz: { readonly proxyMode: string; readonly stopped: number; readonly log: string };
  readonly hardFail: {
    readonly code: number;
    readonly log: string;
    readonly reasons: readonly string[];
  };
  readonly writeConfig: { readonly code: number; readonly text: string };
  readonly version: CommandResult;
  readonly initOnly: CommandResult;
  readonly unreadable: CommandResult;
  readonly fewCapabilities: {
    readonly isSynced: boolean;
    readonly repaired: number;
    readonly stopped: number;
    readonly log: string;
  };
}

const reason = ipvsKernel.probe();
const recorded = (name: string): string =>
  readFileSync(join(import.meta.dirname, '../golden/http', name), 'utf8');

describe.skipIf(reason !== null)(
  `the release in the place of kube-proxy${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let release: Release;
    let results: Results;

    beforeAll(async () => {
      release = await makeRelease();
      const args = [release.executable, release.launcher];
      const guest = await runInGuest(new URL('./drop-in-guest.ts', import.meta.url), args, {
        memoryMb: 1536,
      });
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the guest ended with ${guest.exitCode}: ${guest.stdout}\n${guest.stderr.slice(-8000)}`,
        );
      results = JSON.parse(json.toString()) as Results;
    });
    afterAll(() => release?.remove());

    describe('as kubeadm starts it', () => {
      it('programs what the API server has, and tells its health on IPv4 and IPv6', () => {
        const { healthz, livez, healthzOverIpv6, other, virtualServers } = results.kubeadm;
        expect(virtualServers).toBe(6);
        expect(Object.keys(JSON.parse(healthz.body) as object)).toEqual([
          ...['lastUpdated', 'currentTime', 'nodeEligible', 'healthy', 'status'],
        ]);
        expect([healthz.status, livez.status, healthzOverIpv6, other.status]).toEqual([200, 200, 200, 404]);
      });

      it('says that its mode is ipvs, and whose word that is', () => {
        const { proxyMode, metricsHealthz, posted } = results.kubeadm;
        expect(proxyMode.body).toBe(recorded('proxyMode.txt'));
        expect(proxyMode.headers.join(' ')).toMatch(/Server pointsman\//);
        expect(metricsHealthz.body).toBe('ok');
        expect(posted.status).toBe(200);
      });

      it('shows the configuration in force as kube-proxy does', () => {
        const ours = JSON.parse(results.kubeadm.configz.body) as Record<string, Record<string, unknown>>;
        const theirs = JSON.parse(recorded('configz.json')) as typeof ours;
        const [config = {}, expected = {}] = [ours, theirs].map((each) => each['kubeproxy.config.k8s.io']);
        expect(Object.keys(config)).toEqual(Object.keys(expected));
        expect(config).toMatchObject({
          mode: 'ipvs',
          hostnameOverride: 'node-1',
          clusterCIDR: '10.244.0.0/16',
        });
        expect(results.kubeadm.flagz.body).toContain('hostname-override=node-1');
        expect(results.kubeadm.statusz.body).toContain('Binary version: pointsman');
      });

      it('answers on the port of a Service with the number of its local endpoints', () => {
        const answer = results.kubeadm.healthCheck;
        expect(answer.headers.join(': ')).toContain('X-Load-Balancing-Endpoint-Weight: 1');
        expect(answer).toMatchObject({
          status: 200,
          body: '{\n\t"service": {\n\t\t"namespace": "team-5",\n\t\t"name": "web-5"\n\t},\n\t"localEndpoints": 1,\n\t"serviceProxyHealthy": true\n}',
        });
        expect(results.withoutLocal.body).toContain('"localEndpoints": 0');
      });

      it('sets what kube-proxy sets of conntrack and of itself', () => {
        const { name, oomScore, switches } = results.kubeadm;
        expect(switches).toEqual({
          'net/netfilter/nf_conntrack_max': '131072',
          'net/netfilter/nf_conntrack_tcp_timeout_established': '86400',
          'net/netfilter/nf_conntrack_tcp_timeout_close_wait': '3600',
        });
        expect([name, oomScore]).toEqual(['pointsman', '-999']);
      });

      it('listens where kube-proxy does and nowhere else', () => {
        const ports = results.kubeadm.listening
          .filter((address) => !address.startsWith('127.0.0.1:') || address.endsWith(':10249'))
          .map((address) => address.replace(/^.*:/, ''));
        expect(ports.sort()).toEqual(['10249', '10256', '31234']);
        expect(results.inspector).toBe(false);
      });

      it('tells of its start by an Event on the Node', () => {
        expect(results.kubeadm.events).toEqual([
          expect.objectContaining({
            ...{ reason: 'Starting', action: 'StartKubeProxy', type: 'Normal' },
            regarding: { kind: 'Node', name: 'node-1', apiVersion: 'v1' },
            reportingController: 'kube-proxy',
          }),
        ]);
      });

      it('gives metrics that Prometheus reads', () => {
        for (const name of [
          'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}',
          'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv6"}',
          'kubeproxy_proxy_healthz_total{code="200"}',
          'kubeproxy_sync_proxy_rules_service_changes_total',
          'rest_client_requests_total{',
          'process_resident_memory_bytes',
          'pointsman_synced 1',
          'pointsman_health_check_listeners{state="open"} 1',
        ])
          expect(results.metrics).toContain(`\n${name}`);
        if (probeReader() === null) expect(readMetrics(results.metrics).length).toBeGreaterThan(60);
      });

      it('has nothing left to do, and says so to a person', () => {
        expect(results.plan).toBe(0);
        expect(results.status).toMatchObject({
          code: 0,
          headline: expect.stringMatching(/^Node node-1, mode ipvs, scheduler rr, 6 Services: synced/),
        });
      });

      it('keeps a second one away', () => {
        expect(results.second.code).toBe(3);
        expect(results.second.stderr).toContain('another agent runs in this network namespace');
      });

      it('refuses a broken file and goes on as it was; takes a good one, and moves its port', () => {
        expect(results.keptOnHalf).toBe(true);
        expect(results.refusals).toBe('pointsman_config_reloads_total{result="refused"} 1');
        expect(results.kubeadmLog).toContain('The changed configuration is not valid; the running one stays');
        expect(results.movedMetrics).toBe('ipvs');
      });

      it('takes nothing new when the node is about to go, and stays alive', () => {
        expect(results.leaving.livez).toBe(200);
        expect(JSON.parse(results.leaving.body)).toMatchObject({ nodeEligible: false, healthy: true });
      });

      it('ends at SIGTERM and leaves forwarding as it is', () => {
        expect([results.kubeadmStopped, results.keptByStop]).toEqual([0, true]);
      });

      it('logs the lines that people grep for', () => {
        for (const line of [
          'Version info',
          'Using ipvs Proxier',
          'IPVS scheduler not specified, use rr by default',
          'Successfully retrieved NodeIPs',
          'kube-proxy running in dual-stack mode',
          'Setting nf_conntrack_max',
          'Set sysctl',
          'Starting service config controller',
          'Starting endpoint slice config controller',
          'Starting node config controller',
        ])
          expect(results.kubeadmLog).toContain(`] "${line}"`);
      });
    });

    it('as kubeasz starts it: the void flag is named, and a taken port is tried again', () => {
      const { log, proxyMode, stopped } = results.kubeasz;
      expect([proxyMode, stopped]).toEqual(['ipvs', 0]);
      expect(log).toMatch(/--ipvs-scheduler .*--config/);
      expect(log).toMatch(/"Metrics server failed" err="cannot listen on 0\.0\.0\.0:10249: EADDRINUSE/);
      expect(log).toContain('Metrics server listens now');
    });

    it('with bindAddressHardFail a taken port ends it, after an Event', () => {
      const { code, log, reasons } = results.hardFail;
      expect(code).toBe(1);
      expect(log).toMatch(/\nerror: cannot listen on 127\.0\.0\.1:10249/);
      expect(reasons).toContain('FailedToStartMetricServer');
    });

    it('does what single flags ask for', () => {
      expect(results.writeConfig.code).toBe(0);
      expect(results.writeConfig.text).toContain('bindAddressHardFail: true\n');
      expect(results.version).toMatchObject({ code: 0, stdout: expect.stringMatching(/^pointsman \d/) });
      expect(results.initOnly).toMatchObject({
        code: 0,
        stderr: expect.stringContaining('System initialized and --init-only specified'),
      });
      expect(results.unreadable).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/\/nowhere\/config\.conf: it cannot be read/),
      });
    });

    it('runs with two capabilities and a read-only /proc/sys once --init-only has been there', () => {
      const { isSynced, log, repaired, stopped } = results.fewCapabilities;
      expect({ isSynced, stopped }).toEqual({ isSynced: true, stopped: 0 });
      expect(repaired).toBeGreaterThan(0);
      expect(log).toContain('Running without some capabilities, which is fine');
    });
  },
);
