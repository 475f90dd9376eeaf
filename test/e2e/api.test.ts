// The commands that read an API server, as a person calls them: over TLS with a token of a kubeconfig, and with what can be wrong about it.

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl, serverTls, type Certificates } from '../cluster/certificates.ts';
import { FakeApiServer } from '../cluster/fake-api-server.ts';
import { fillStore } from '../cluster/make-objects.ts';

const POINTSMAN = fileURLToPath(new URL('../../bin/pointsman', import.meta.url));
const TOKEN = 'the-token-that-nobody-may-see';
const reason = probeOpenssl();

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The server runs in this process, so nothing here may wait for the program synchronously. */
function pointsman(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const { promise, resolve, reject } = Promise.withResolvers<Ended>();
  const child = spawn(POINTSMAN, args, {
    env: { ...process.env, HOME: '/none', KUBECONFIG: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 100_000,
  });
  let [stdout, stderr] = ['', ''];
  child.stdout.on('data', (data: Buffer) => (stdout += data.toString()));
  child.stderr.on('data', (data: Buffer) => (stderr += data.toString()));
  child.once('error', reject);
  child.once('close', (code) => resolve({ code, stdout, stderr }));
  return promise;
}

describe.skipIf(reason !== null)(
  `commands that read an API server${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let certificates: Certificates;
    let server: FakeApiServer;
    let folder: string;

    beforeAll(async () => {
      certificates = makeCertificates();
      server = await FakeApiServer.start({ tls: serverTls(certificates), tokens: [TOKEN] });
      fillStore(server.store, { count: 3, endpoints: 2 });
      folder = mkdtempSync(join(tmpdir(), 'pointsman-api-'));
    });
    afterAll(async () => {
      await server.close();
      rmSync(folder, { recursive: true, force: true });
    });

    function kubeconfig(change: { ca?: string; token?: string; url?: string } = {}): string {
      const { ca = certificates.ca, token = TOKEN, url = server.url } = change;
      const path = join(folder, 'kubeconfig');
      const config = {
        ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'here' },
        clusters: [
          {
            name: 'c',
            cluster: { server: url, 'certificate-authority-data': Buffer.from(ca).toString('base64') },
          },
        ],
        users: [{ name: 'u', user: { token } }],
        contexts: [{ name: 'here', context: { cluster: 'c', user: 'u' } }],
      };
      writeFileSync(path, JSON.stringify(config));
      return path;
    }
    const plan = (path: string): Promise<Ended> =>
      pointsman(['plan', '--from-empty', '--kubeconfig', path, '--hostname-override', 'node-1']);

    it('plan from it, with the kubeconfig of the flag, of the environment and of the configuration', async () => {
      const path = kubeconfig();
      const byFlag = await plan(path);
      expect(byFlag).toMatchObject({ code: 0, stderr: '' });
      expect(byFlag.stdout).toContain('+ TCP 10.96.0.1:80');
      const config = join(folder, 'config.yaml');
      writeFileSync(
        config,
        `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\nclientConnection: {kubeconfig: ${path}}\n`,
      );
      const node = ['--hostname-override', 'node-1'];
      expect(await pointsman(['plan', '--from-empty', '--config', config, ...node])).toEqual(byFlag);
      expect(await pointsman(['plan', '--from-empty', ...node], { KUBECONFIG: path })).toEqual(byFlag);
    });

    it('explain from it', async () => {
      const { code, stdout } = await pointsman([
        ...['explain', '--kubeconfig', kubeconfig(), '--from', 'node', '--to', '10.96.0.1:80'],
        ...['--hostname-override', 'node-1'],
      ]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/^TCP \S+ -> 10\.96\.0\.1:80 on node-1: forward/);
      expect(stdout).toContain('Real servers, one of:');
    });

    it.each<[string, () => Parameters<typeof kubeconfig>[0], number, RegExp]>([
      ['a token that is not believed', () => ({ token: 'another-secret-token' }), 1, /401|Unauthorized/],
      ['a CA that did not sign it', () => ({ ca: certificates.otherCa }), 1, /certificate/],
      ['an address where nobody listens', () => ({ url: 'https://127.0.0.1:9' }), 1, /127\.0\.0\.1:9/],
      ['a server that is no URL', () => ({ url: 'not a url' }), 2, /server/],
    ])('end with one line for %s', async (_, change, code, text) => {
      const ended = await plan(kubeconfig(change()));
      expect(ended.stderr).toMatch(/^error: [^\n]+\n$/);
      expect(ended.stderr).toMatch(text);
      expect(ended).toMatchObject({ code, stdout: '' });
      expect(ended.stderr).not.toContain(TOKEN);
      expect(ended.stderr).not.toContain('another-secret-token');
    });

    it('end with one line for a kubeconfig that is half written', async () => {
      const path = join(folder, 'half');
      writeFileSync(path, '{"clusters": [{"name"');
      const ended = await plan(path);
      expect(ended).toMatchObject({ code: 2, stdout: '' });
      expect(ended.stderr).toMatch(/^error: [^\n]*half:1:\d+[^\n]*\n$/);
    });
  },
);
