// `npm run test:cluster` against the fake API server over TLS, with a kubeconfig and as a process of its own: it passes where all is well,
// says what is wrong where it is not, and leaves nothing behind, however it ends.

import { createServer } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { endHelpers, HelperProcess } from '../helper-process.ts';
import type { ResourceName } from './api-resources.ts';
import { makeCertificates, probeOpenssl, serverTls, type Certificates } from './certificates.ts';
import { CredentialFolder, kubeconfigText } from './credential-world.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { fillStore, makeService } from './make-objects.ts';

const PROGRAM = new URL('real-cluster.ts', import.meta.url).pathname;
const TOKEN = 'a-token-that-must-never-be-shown';
const ALL: readonly ResourceName[] = ['namespaces', 'services', 'endpointslices', 'nodes'];

describe.skipIf(probeOpenssl() !== null)('a test of a real cluster', () => {
  let certificates: Certificates;
  let server: FakeApiServer;
  let folder: CredentialFolder;
  let before: string;

  beforeAll(() => {
    certificates = makeCertificates();
  });
  afterAll(() => certificates.remove());
  beforeEach(async () => {
    folder = new CredentialFolder();
    server = await FakeApiServer.start({ tls: serverTls(certificates), tokens: [TOKEN] });
    fillStore(server.store, { count: 30 });
    before = keys();
  });
  afterEach(async () => {
    await endHelpers();
    await server.close();
    folder.remove();
  });

  /** All there is, whatever its versions. */
  const keys = (): string =>
    ALL.flatMap((name) => [...server.store.objectsOf(name).keys()].map((key) => `${name} ${key}`)).join('\n');

  const start = (args: readonly string[] = [], token = TOKEN): HelperProcess => {
    const ca = Buffer.from(certificates.ca).toString('base64');
    const cluster = { server: server.url, 'certificate-authority-data': ca };
    const KUBECONFIG = folder.write('kubeconfig', kubeconfigText({ token }, cluster));
    return new HelperProcess(process.execPath, [PROGRAM, ...args], { KUBECONFIG });
  };

  /** The lines by their first word. */
  const linesOf = ({ stdout, stderr }: HelperProcess, word: string): string[] => {
    expect(stdout + stderr).not.toContain(TOKEN);
    return stdout.split('\n').filter((line) => line.split(' ')[0] === word);
  };
  const lastLine = ({ stdout }: HelperProcess): string | undefined => stdout.trimEnd().split('\n').at(-1);

  it('passes, and what it made is gone', async () => {
    const run = start();
    expect(await run.ended, run.stdout + run.stderr).toBe(0);
    expect(lastLine(run)).toBe('14 passed, 0 failed, 1 skipped');
    const passed = linesOf(run, 'ok').join('\n');
    expect(passed).toMatch(/two ports: 10\.96\.\d+\.\d+, 80\/TCP, 53\/UDP \(\d+ ms\)/);
    expect(passed).toContain('192.0.2.1, 192.0.2.2 (not ready)');
    expect(passed).toMatch(/NodePort: .*80\/TCP node port 30\d+/);
    expect(passed).toContain('external 192.0.2.200');
    expect(passed).toContain('node-0: 192.168.0.1');
    expect(passed).toContain('a full list gives the same: 32 Services, 1 lists');
    expect(linesOf(run, 'skipped')).toEqual([expect.stringContaining('not configured for dual-stack')]);
    expect(run.stdout).toMatch(/^removed namespace pointsman-test-[0-9a-f]{10}: it is gone$/m);
    expect(keys()).toBe(before);
    const written = server.log.requests.filter(({ method }) => method !== 'GET');
    expect(
      written.every(({ path }) => /^\/api\/v1\/namespaces$|\/namespaces\/pointsman-test-/.test(path)),
    ).toBe(true);
    expect(written.every(({ code }) => code < 300 || code === 422)).toBe(true);
  });

  it('tries both families where the cluster has them, and IPv6 where that is the first; follows the Node that is named', async () => {
    const cidrs = ['fd00:10:96::/112', '10.96.0.0/16'];
    server.store.put('servicecidrs', { metadata: { name: 'kubernetes' }, spec: { cidrs } });
    const run = start(['--node', 'node-2']);
    expect(await run.ended, run.stdout + run.stderr).toBe(0);
    expect(lastLine(run)).toBe('15 passed, 0 failed');
    const passed = linesOf(run, 'ok').join('\n');
    expect(passed).toContain('2001:db8::1, 2001:db8::2 (not ready)');
    expect(passed).toMatch(/dual stack: fd00:10:96::\w+, 10\.96\.\d+\.\d+,/);
    expect(passed).toContain('node-2: 192.168.0.3');
    expect(keys()).toBe(before);
  });

  it('waits for what a busy cluster changes meanwhile', async () => {
    const busy = setInterval(() => server.store.put('services', makeService(100)), 1);
    try {
      const run = start();
      expect(await run.ended, run.stdout + run.stderr).toBe(0);
    } finally {
      clearInterval(busy);
    }
  });

  it('says that a Service was not delivered, and does not try what needs it', async () => {
    // The first watch asks for a streaming list and is refused; the one after the list brings nothing.
    server.streamingLists = 'refused';
    const match = { resource: 'services', verb: 'watch', skip: 1, times: Number.POSITIVE_INFINITY } as const;
    server.misbehave(match, { kind: 'stall', at: { bytes: 0 } });
    const run = start(['--wait', '3']);
    expect(await run.ended, run.stdout + run.stderr).toBe(1);
    const [first, ...others] = linesOf(run, 'FAILED').filter((line) => !line.includes('the Node'));
    expect(first).toMatch(/two ports: not within 3 s; the agent sees of web: no such Service \(\d+ ms\)$/);
    expect(others).toEqual([expect.stringMatching(/a full list gives the same: /)]);
    expect(linesOf(run, 'skipped').length).toBe(9);
    expect(run.stdout).toContain('it is gone');
    expect(keys()).toBe(before);
  });

  it('says that a watch went silent: what it misses is not seen, and a full list shows it', async () => {
    server.store.onChange(({ resource, current }) => {
      // From here on no slice is told of.
      if (resource === 'services' && current?.name === 'node-port')
        for (const watch of server.watches('endpointslices')) watch.answer.stall();
    });
    const run = start(['--wait', '3']);
    expect(await run.ended, run.stdout + run.stderr).toBe(1);
    const failed = linesOf(run, 'FAILED').join('\n');
    expect(failed).toMatch(/deletions: not within 3 s; the agent sees of web: .*slice web-1/);
    expect(failed).toMatch(/a full list gives the same: 1 are not as the list says: pointsman-test-\w+\/web/);
    expect(keys()).toBe(before);
  });

  it('says that namespaces may not be made, and makes nothing', async () => {
    server.denied.set('namespaces', 403);
    const run = start();
    expect(await run.ended, run.stdout + run.stderr).toBe(1);
    expect(linesOf(run, 'FAILED')).toEqual([
      expect.stringMatching(
        /namespaces is forbidden: .*cannot create.*; this test needs a user that may write/,
      ),
    ]);
    expect(run.stdout).toContain(': none was made\n');
    expect(lastLine(run)).toBe('0 passed, 1 failed');
    expect(keys()).toBe(before);
  });

  it('takes the namespace away when a later write is refused, and when the removal fails at first', async () => {
    const slices = { resource: 'endpointslices', verb: 'other', times: Number.POSITIVE_INFINITY } as const;
    server.misbehave(slices, { kind: 'refuse', code: 403, message: 'no slices here' });
    const removal = { resource: 'namespaces', verb: 'other', skip: 1, times: 2 } as const;
    const rule = server.misbehave(removal, { kind: 'refuse', code: 503 });
    const run = start();
    expect(await run.ended, run.stdout + run.stderr).toBe(1);
    expect(linesOf(run, 'FAILED')).toEqual([
      expect.stringMatching(/EndpointSlice of ours: refused: no slices here; this test needs/),
    ]);
    expect(rule.hits).toBe(2);
    expect(run.stdout).toContain('it is gone\n');
    expect(keys()).toBe(before);
  });

  it.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('takes the namespace away at %s', async (signal) => {
    // Held in a step: the Service is never delivered.
    server.streamingLists = 'refused';
    const match = { resource: 'services', verb: 'watch', skip: 1, times: Number.POSITIVE_INFINITY } as const;
    server.misbehave(match, { kind: 'stall', at: { bytes: 0 } });
    const run = start(['--wait', '600']);
    await run.until('the agent reads the cluster: ');
    await server.until(() => server.store.objectsOf('services').size > 30);
    run.child.kill(signal);
    run.child.kill(signal);
    expect(await run.ended, run.stdout + run.stderr).toBe(1);
    expect(run.stdout).toContain('it is gone\n');
    expect(run.stdout).toContain(`\nstopped by ${signal}\n`);
    expect(keys()).toBe(before);
  });

  it('takes the namespace away when nobody reads its output any more', async () => {
    const run = start();
    await run.until('made');
    run.child.stdout?.destroy();
    run.child.stderr?.destroy();
    await run.ended;
    expect(keys()).toBe(before);
    expect(server.count('other', 'namespaces')).toBe(2);
  });

  it('finds the namespace again whose creation was never answered, and takes it away', async () => {
    const rule = server.misbehave(
      { resource: 'namespaces' },
      { kind: 'cut', manner: 'RST', at: { bytes: 10 } },
    );
    const run = start();
    expect(await run.ended, run.stdout + run.stderr).toBe(1);
    expect(rule.hits).toBe(1);
    expect(run.stdout).toContain('it is gone\n');
    expect(keys()).toBe(before);
  });

  it('leaves a namespace that is no longer its own', async () => {
    server.store.onChange(({ resource, previous, current }) => {
      if (resource !== 'services' || previous !== null || current?.name !== 'web') return;
      // Somebody removed it and made one of the same name.
      server.store.delete('namespaces', current.namespace);
      server.store.put('namespaces', { metadata: { name: current.namespace } });
    });
    const run = start(['--wait', '60']);
    expect(await run.ended).toBe(1);
    expect(run.stdout).toMatch(/FAILED {2}removal of namespace .*not of this run; it is left as it is/);
    expect(server.store.entries('namespaces').length).toBe(1);
  });

  it.each([
    ['a server that is not there', 1, async (): Promise<string> => `https://127.0.0.1:${await closedPort()}`],
    ['a server whose certificate is of somebody else', 1, (): Promise<string> => Promise.resolve(server.url)],
  ])('says in one line what keeps it from %s', async (_what, code, urlOf) => {
    const url = await urlOf();
    const ca = Buffer.from(certificates.otherCa).toString('base64');
    const text = kubeconfigText({ token: TOKEN }, { server: url, 'certificate-authority-data': ca });
    const KUBECONFIG = folder.write('kubeconfig', text);
    const run = new HelperProcess(process.execPath, [PROGRAM], { KUBECONFIG });
    expect(await run.ended).toBe(code);
    expect(run.stdout + run.stderr).toMatch(/^error: [\x20-\x7e]+\n$/);
    expect(keys()).toBe(before);
  });

  it('says so when its token is not believed', async () => {
    const run = start([], 'another');
    expect(await run.ended).toBe(1);
    expect(run.stdout + run.stderr).toMatch(/^error: .*401[\x20-\x7e]+\n$/);
  });

  it.each([
    ['no KUBECONFIG', [], { KUBECONFIG: '' }, /^error: KUBECONFIG is not set.*\nusage: .*\n$/],
    [
      'no such file',
      [],
      { KUBECONFIG: '/nonexistent/kubeconfig' },
      /^error: kubeconfig \/nonexistent\/kubeconfig.*\n$/,
    ],
    ['an option that is none', ['--all'], {}, /^error: .*--all.*\nusage: .*\n$/],
    ['no time', ['--wait', '0'], {}, /^error: --wait .*\nusage: .*\n$/],
  ] as const)('is called wrongly: %s', async (_what, args, env, expected) => {
    const run = new HelperProcess(process.execPath, [PROGRAM, ...args], env);
    expect(await run.ended).toBe(2);
    expect(run.stdout + run.stderr).toMatch(expected);
  });
});

/** One that nobody listens on any more. */
async function closedPort(): Promise<number> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
  const { port } = listener.address() as { port: number };
  await new Promise((resolve) => listener.close(resolve));
  return port;
}
