// How often a real plugin is run: when what it gave expires or is rejected, and after pauses when it fails.

import { existsSync, rmSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CredentialFolder,
  credentialErrorOf,
  execEntry,
  FakeCredentialClock,
  until,
} from '../../test/cluster/credential-world.ts';
import { ExecCredentials, pluginEnvironment } from './exec-credential.ts';
import { serverOnly } from './kubeconfig-parse.ts';
import type { ExecEntry } from './kubeconfig-user.ts';

const V1 = 'client.authentication.k8s.io/v1';
const NEVER = new AbortController().signal;
const CLUSTER = serverOnly('https://192.0.2.1:6443').cluster;
const ENV = { PATH: process.env['PATH'] };

let folder: CredentialFolder;
beforeEach(() => {
  folder = new CredentialFolder();
});
afterEach(() => folder.remove());

const plugin = (script: string, more: Partial<ExecEntry> = {}): ExecEntry =>
  execEntry({ command: folder.plugin('plugin', script), ...more });

describe('what a plugin is told', () => {
  it('is little, unless it asks for the cluster', () => {
    const info = (exec: ExecEntry, ca: string | null = null): unknown =>
      JSON.parse(
        pluginEnvironment(
          exec,
          { A: '1', B: '2' },
          {
            ...CLUSTER,
            serverName: 'api',
            insecureSkipVerify: true,
            proxy: new URL('http://p:1'),
            execConfig: { x: 1 },
          },
          ca,
        )['KUBERNETES_EXEC_INFO'] ?? '',
      );
    expect(info(execEntry())).toEqual({
      kind: 'ExecCredential',
      apiVersion: V1,
      spec: { interactive: false },
    });
    expect(info(execEntry({ provideClusterInfo: true }), 'PEM')).toEqual({
      kind: 'ExecCredential',
      apiVersion: V1,
      spec: {
        interactive: false,
        cluster: {
          server: 'https://192.0.2.1:6443',
          'tls-server-name': 'api',
          'insecure-skip-tls-verify': true,
          'certificate-authority-data': Buffer.from('PEM').toString('base64'),
          'proxy-url': 'http://p:1',
          config: { x: 1 },
        },
      },
    });
    const env = pluginEnvironment(
      execEntry({ env: [{ name: 'B', value: '3' }] }),
      { A: '1', B: '2' },
      CLUSTER,
      null,
    );
    expect(env).toMatchObject({ A: '1', B: '3' });
  });
});

describe('credentials of a plugin', () => {
  /** A plugin that counts its runs in its tokens; `fail` as a file makes it fail. */
  const counting = (status = ''): ExecEntry =>
    plugin(
      [
        `echo x >> ${folder.file('runs')}; n=$(wc -l < ${folder.file('runs')}); n=$((n))`,
        `if [ -e ${folder.file('fail')} ]; then echo broken >&2; exit 1; fi`,
        `echo '{"kind":"ExecCredential","apiVersion":"${V1}","status":{"token":"t'$n'"${status}}}'`,
      ].join('\n'),
    );
  const runs = (): number => (existsSync(folder.file('runs')) ? folder.read('runs').length / 2 : 0);
  const open = (
    exec: ExecEntry,
    clock: FakeCredentialClock,
  ): (() => Promise<string | null>) & { source: ExecCredentials } => {
    const source = new ExecCredentials(exec, { env: ENV, clock });
    return Object.assign(async () => (await source.get(CLUSTER, null, NEVER)).token, { source });
  };

  it('are kept for ever when nothing says when they expire, until they are rejected', async () => {
    const clock = new FakeCredentialClock();
    const token = open(counting(), clock);
    expect(await token()).toBe('t1');
    clock.advance(86_400_000);
    expect(await token()).toBe('t1');
    token.source.reject();
    expect(await token()).toBe('t2');
    expect(runs()).toBe(2);
  });

  it('are renewed shortly before they expire', async () => {
    const clock = new FakeCredentialClock(Date.UTC(2026, 0, 1));
    const token = open(counting(',"expirationTimestamp":"2026-01-01T00:10:00Z"'), clock);
    expect(await token()).toBe('t1');
    clock.advance(589_000);
    expect(await token()).toBe('t1');
    clock.advance(2_000);
    expect(await token()).toBe('t2');
  });

  it('are used to their end when the plugin fails meanwhile, and not a moment longer', async () => {
    const clock = new FakeCredentialClock(Date.UTC(2026, 0, 1));
    const token = open(counting(',"expirationTimestamp":"2026-01-01T00:10:00Z"'), clock);
    await token();
    folder.write('fail', '');
    clock.advance(595_000);
    expect(await token()).toBe('t1');
    expect(token.source.kept?.message).toContain('ended with exit code 1: broken');
    clock.advance(5_000);
    expect((await credentialErrorOf(token())).message).toContain('broken');
  });

  it('that are refused again and again do not make the plugin run in a loop', async () => {
    const clock = new FakeCredentialClock();
    const token = open(counting(), clock);
    await token();
    const pauses: number[] = [];
    for (let round = 0; round < 8; round++) {
      const before = runs();
      token.source.reject();
      const startMs = clock.nowMs;
      while (runs() === before) {
        clock.advance(500);
        await token();
      }
      pauses.push(clock.nowMs - startMs);
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
    // What went well for a while is refused: no reason to wait.
    clock.advance(61_000);
    token.source.reject();
    const before = runs();
    await token();
    expect(runs()).toBe(before + 1);
  });

  it('of a plugin that fails are asked for after pauses that grow, with the same error in between; mended, it works', async () => {
    const clock = new FakeCredentialClock();
    const token = open(counting(), clock);
    folder.write('fail', '');
    const first = await credentialErrorOf(token());
    expect(await credentialErrorOf(token())).toBe(first);
    expect(runs()).toBe(1);
    for (const [pauseMs, count] of [
      [999, 1],
      [1, 2],
      [1_999, 2],
      [1, 3],
      [4_000, 4],
      [8_000, 5],
      [16_000, 6],
      [30_000, 7],
      [30_000, 8],
    ] as const) {
      clock.advance(pauseMs);
      await credentialErrorOf(token());
      expect(runs()).toBe(count);
    }
    folder.remove();
    folder = new CredentialFolder();
    clock.advance(30_000);
    expect((await credentialErrorOf(token())).message).toContain('is not installed');
  });

  it('are had again once a failing plugin is mended', async () => {
    const clock = new FakeCredentialClock();
    const token = open(counting(), clock);
    const path = folder.write('fail', '');
    await credentialErrorOf(token());
    rmSync(path);
    clock.advance(1_000);
    expect(await token()).toBe('t2');
    expect(token.source.kept).toBeNull();
  });

  it('are not blamed on a plugin whose run was stopped', async () => {
    const clock = new FakeCredentialClock();
    const hanging = new ExecCredentials(plugin(`echo x >> ${folder.file('runs')}; sleep 600`), {
      env: ENV,
      clock,
    });
    const controller = new AbortController();
    const failed = hanging.get(CLUSTER, null, controller.signal).then(
      () => null,
      (error: unknown) => error,
    );
    await until(() => runs() === 1);
    controller.abort(new Error('enough'));
    expect(await failed).toEqual(new Error('enough'));
    expect(hanging.kept).toBeNull();
  });
});
