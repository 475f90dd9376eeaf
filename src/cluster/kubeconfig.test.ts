// A kubeconfig through its life: read, replaced, spoilt, mended, rejected by the server. Real files and plugins; the clock stands still.

import { existsSync, renameSync, rmSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl, type Certificates } from '../../test/cluster/certificates.ts';
import {
  accessOf,
  CredentialFolder,
  credentialErrorOf,
  execCredential,
  FakeCredentialClock,
  kubeconfigText,
  until,
} from '../../test/cluster/credential-world.ts';
import type { PointsmanError } from '../model/errors.ts';
import type { CredentialSource } from './api-access.ts';
import { kubeconfigPaths, openKubeconfig, type KubeconfigOptions } from './kubeconfig.ts';
import { LOOK_AGAIN_AFTER_ERROR_MS, LOOK_AGAIN_MS } from './token-file.ts';

const SERVER = 'https://192.0.2.1:6443';
const ENV = { PATH: process.env['PATH'] };
let folder: CredentialFolder;
let clock: FakeCredentialClock;
let kept: (PointsmanError | null)[];
beforeEach(() => {
  folder = new CredentialFolder();
  clock = new FakeCredentialClock();
  kept = [];
});
afterEach(() => folder.remove());

const open = (options: Partial<KubeconfigOptions> = {}): CredentialSource =>
  openKubeconfig({
    paths: [folder.file('config')],
    clock,
    env: ENV,
    onKept: (problem) => kept.push(problem),
    ...options,
  });
const write = (user: Record<string, unknown>, cluster?: Record<string, unknown>): string =>
  folder.write('config', kubeconfigText(user, cluster));
const tokenOf = async (source: CredentialSource): Promise<string | null> =>
  (await accessOf(source)).authorization;
const EXEC = { apiVersion: 'client.authentication.k8s.io/v1', interactiveMode: 'Never' };

describe('access by a kubeconfig', () => {
  it('has everything that a request needs', async () => {
    write(
      { token: 'abc', as: 'jane' },
      {
        server: SERVER,
        'tls-server-name': 'api',
        'proxy-url': 'http://u:p@proxy:1',
        'insecure-skip-tls-verify': true,
      },
    );
    const source = open();
    expect(await accessOf(source)).toEqual({
      server: new URL(SERVER),
      proxy: new URL('http://u:p@proxy:1'),
      tls: { ca: null, serverName: 'api', insecureSkipVerify: true, client: null },
      authorization: 'Bearer abc',
      headers: { 'Impersonate-User': 'jane' },
    });
    expect(source.description).toBe(`kubeconfig ${folder.file('config')}, context "test"`);
  });

  it('is the same object until something changes, and the files are looked at once a minute', async () => {
    write({ token: 'one' });
    const source = open();
    const first = await accessOf(source);
    write({ token: 'two' });
    clock.advance(LOOK_AGAIN_MS - 1);
    expect(await accessOf(source)).toBe(first);
    clock.advance(1);
    expect((await accessOf(source)).authorization).toBe('Bearer two');
    folder.write('config', `\n${folder.read('config')}`);
    const second = await accessOf(source);
    clock.advance(LOOK_AGAIN_MS);
    expect(await accessOf(source)).toBe(second);
    expect(kept).toEqual([]);
  });

  it('sends nothing of the user over plain http, as client-go', async () => {
    write(
      { token: 'abc', as: 'jane', exec: { ...EXEC, command: '/no/such' } },
      { server: 'http://127.0.0.1:8080', 'certificate-authority': '/no/such' },
    );
    expect(await accessOf(open())).toMatchObject({
      authorization: null,
      headers: {},
      tls: { ca: null, client: null },
    });
  });

  it('prefers what does not need a plugin, as client-go', async () => {
    const exec = { ...EXEC, command: '/no/such' };
    for (const [user, authorization] of [
      [{ token: 'abc' }, 'Bearer abc'],
      [{ username: 'u', password: 'p' }, `Basic ${Buffer.from('u:p').toString('base64')}`],
    ] as const) {
      write({ ...user, exec });
      expect(await tokenOf(open())).toBe(authorization);
    }
  });

  it('takes tokenFile before token, and token as long as there is no such file', async () => {
    write({ token: 'fallback', tokenFile: 'token' });
    const source = open();
    expect(await tokenOf(source)).toBe('Bearer fallback');
    expect(kept.map((each) => each?.message)).toEqual([
      expect.stringContaining(
        `users[name=me].user.tokenFile: ${folder.file('token')}: there is no such file`,
      ),
    ]);
    folder.write('token', 'fresh\n');
    expect(await tokenOf(source)).toBe('Bearer fresh');
    expect(kept.at(-1)).toBeNull();
  });

  it('goes through the proxy of the environment when it names none', async () => {
    write({});
    const env = { ...ENV, HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: '10.0.0.0/8' };
    expect((await accessOf(open({ env }))).proxy?.href).toBe('http://proxy:3128/');
    expect((await accessOf(open({ env, master: 'https://10.0.0.1' }))).proxy).toBeNull();
  });

  it('may be --master alone', async () => {
    const source = open({ paths: [], master: 'https://192.0.2.7' });
    expect(await accessOf(source)).toMatchObject({
      server: new URL('https://192.0.2.7'),
      authorization: null,
    });
    expect(source.description).toBe('no credentials, --master alone');
    expect((await credentialErrorOf(accessOf(open({ paths: [] })))).message).toBe(
      'kubeconfig: no file is named; set KUBECONFIG or --master',
    );
  });

  it('may come from several files, of which some are missing', async () => {
    write({ token: 'two' });
    const one = folder.write(
      'one',
      JSON.stringify({ users: [{ name: 'me', user: { tokenFile: 'sub/token' } }] }),
    );
    const source = open({ paths: [folder.file('none'), one, folder.file('config')] });
    folder.write('config', folder.read('config'));
    const error = await credentialErrorOf(accessOf(source));
    expect(error.message).toContain(`${folder.file('sub/token')}: there is no such file`);
    const all = await credentialErrorOf(accessOf(open({ paths: [folder.file('x'), folder.file('y')] })));
    expect(all.message).toBe(
      `kubeconfig ${folder.file('x')}: there is no such file; create it or correct the path`,
    );
    const many = await credentialErrorOf(accessOf(open({ paths: Array.from({ length: 101 }, () => 'x') })));
    expect(many.message).toBe('KUBECONFIG: it names more than 100 files; name fewer');
  });

  it('looks where kubectl looks', () => {
    expect(kubeconfigPaths({ KUBECONFIG: 'a::b:a:', HOME: '/h' })).toEqual(['a', 'b']);
    expect(kubeconfigPaths({ KUBECONFIG: '', HOME: '/h' })).toEqual(['/h/.kube/config']);
    expect(kubeconfigPaths({})).toEqual([]);
  });
});

describe('while files are being replaced', () => {
  it('nothing good: every call looks again, so that what was mended counts at once', async () => {
    const source = open();
    expect((await credentialErrorOf(accessOf(source))).message).toBe(
      `kubeconfig ${folder.file('config')}: there is no such file; create it or correct the path`,
    );
    folder.write('config', kubeconfigText({ tokenFile: 'token' }).slice(0, 100));
    expect((await credentialErrorOf(accessOf(source))).message).toContain('config:1:');
    write({ tokenFile: 'token' });
    expect((await credentialErrorOf(accessOf(source))).message).toContain(
      `users[name=me].user.tokenFile: ${folder.file('token')}: there is no such file`,
    );
    folder.write('token', '');
    expect((await credentialErrorOf(accessOf(source))).message).toContain('the token is empty');
    folder.write('token', 'good');
    expect(await tokenOf(source)).toBe('Bearer good');
  });

  it('what worked goes on, with one report for each reason, and the new one counts a second after it is good', async () => {
    write({ token: 'one' });
    const source = open();
    const first = await accessOf(source);
    clock.advance(LOOK_AGAIN_MS);
    folder.write('config', folder.read('config').slice(0, 60));
    for (let round = 0; round < 3; round++) {
      expect(await accessOf(source)).toBe(first);
      clock.advance(LOOK_AGAIN_AFTER_ERROR_MS);
    }
    expect(kept).toHaveLength(1);
    expect(kept[0]?.code).toBe('INVALID_KUBECONFIG');
    rmSync(folder.file('config'));
    expect(await accessOf(source)).toBe(first);
    expect(kept).toHaveLength(2);
    write({ token: 'two' });
    clock.advance(LOOK_AGAIN_AFTER_ERROR_MS);
    expect(await tokenOf(source)).toBe('Bearer two');
    expect(kept).toEqual([expect.anything(), expect.anything(), null]);
  });

  it('a new kubeconfig whose files are not there yet does not displace the old one', async () => {
    write({ token: 'one' });
    const source = open();
    const first = await accessOf(source);
    write({ tokenFile: 'token' });
    clock.advance(LOOK_AGAIN_MS);
    expect(await accessOf(source)).toBe(first);
    expect(kept[0]?.message).toContain(folder.file('token'));
    folder.write('token', 'two');
    expect(await tokenOf(source)).toBe('Bearer two');
  });
});

describe('a rejected access', () => {
  it('makes the next call read everything anew', async () => {
    write({ tokenFile: 'token' });
    folder.write('token', 'one');
    const source = open();
    const first = await accessOf(source);
    folder.write('token', 'two');
    expect(await accessOf(source)).toBe(first);
    source.reject(first);
    const second = await accessOf(source);
    expect(second.authorization).toBe('Bearer two');
    // Late, about what is no longer used.
    folder.write('token', 'three');
    source.reject(first);
    expect(await accessOf(source)).toBe(second);
    source.reject(second);
    write({ token: 'four' });
    expect(await tokenOf(source)).toBe('Bearer four');
  });

  it('whose file is gone is an error that names the file, once; then it is tried again', async () => {
    write({ tokenFile: 'token' });
    folder.write('token', 'one');
    const source = open();
    const first = await accessOf(source);
    rmSync(folder.file('token'));
    source.reject(first);
    const error = await credentialErrorOf(accessOf(source));
    expect(error.message).toContain(`${folder.file('token')}: there is no such file`);
    // The server may have refused it for a reason of its own.
    expect(await accessOf(source)).toBe(first);
    source.reject(first);
    folder.write('token', 'two');
    expect(await tokenOf(source)).toBe('Bearer two');
  });

  it('that is as good as it was before is given again', async () => {
    write({ token: 'one' });
    const source = open();
    const first = await accessOf(source);
    source.reject(first);
    expect(await accessOf(source)).toBe(first);
  });
});

describe.skipIf(probeOpenssl() !== null)('client certificates', () => {
  let made: Certificates;
  beforeAll(() => {
    made = makeCertificates();
  });
  afterAll(() => made.remove());
  const files = { 'client-certificate': 'c.crt', 'client-key': 'c.key' };
  const replaceBy = (pair: { certificate: string; key: string }): void => {
    folder.write('c.crt', pair.certificate);
    folder.write('c.key', pair.key);
  };

  it('come from files or data, with the authority of the server', async () => {
    const base64 = (text: string): string => Buffer.from(text).toString('base64');
    replaceBy(made.client);
    write(files, { server: '192.0.2.1:6443', 'certificate-authority-data': base64(made.ca) });
    const fromFiles = await accessOf(open());
    expect(fromFiles.server.href).toBe('https://192.0.2.1:6443/');
    expect(fromFiles.tls.ca).toContain('BEGIN CERTIFICATE');
    write({
      'client-certificate-data': base64(made.client.certificate),
      'client-key-data': base64(made.client.key),
    });
    expect((await accessOf(open())).tls.client).toEqual(fromFiles.tls.client);
  });

  it('that have expired are an error with file and date, and count at once when they are replaced', async () => {
    replaceBy(made.expiredClient);
    write(files);
    const source = open();
    for (let round = 0; round < 2; round++) {
      const error = await credentialErrorOf(accessOf(source));
      expect(error.message).toContain(
        `users[name=me].user.client-certificate: ${folder.file('c.crt')}: the client certificate expired on 2020-02-01T00:00:00Z; `,
      );
      expect(error.code).toBe('CREDENTIALS_FAILED');
    }
    replaceBy(made.client);
    expect((await accessOf(source)).tls.client).not.toBeNull();
  });

  it('that expire while they are used are given no longer', async () => {
    replaceBy(made.client);
    write(files);
    const source = open();
    await accessOf(source);
    folder.write('c.key', 'half');
    clock.advance(11 * 365 * 86_400_000);
    const error = await credentialErrorOf(accessOf(source));
    expect(error.message).toContain(`${folder.file('c.key')}: there is no private key in it`);
    folder.write('c.key', made.client.key);
    expect((await credentialErrorOf(accessOf(source))).message).toContain(
      'the client certificate expired on 20',
    );
  });

  it('of which only one half is replaced yet stay as they were', async () => {
    replaceBy(made.client);
    write(files);
    const source = open();
    const first = await accessOf(source);
    folder.write('c.crt', made.otherClient.certificate);
    clock.advance(LOOK_AGAIN_MS);
    expect(await accessOf(source)).toBe(first);
    expect(kept[0]?.message).toContain('the key does not belong to the certificate of');
    folder.write('c.key', made.otherClient.key);
    clock.advance(LOOK_AGAIN_AFTER_ERROR_MS);
    expect((await accessOf(source)).tls.client?.certificate).not.toBe(first.tls.client?.certificate);
    expect(kept.at(-1)).toBeNull();
  });

  it('are not displaced by ones that have expired already', async () => {
    replaceBy(made.client);
    write(files);
    const source = open();
    const first = await accessOf(source);
    replaceBy(made.expiredClient);
    clock.advance(LOOK_AGAIN_MS);
    expect(await accessOf(source)).toBe(first);
    expect(kept[0]?.message).toContain('expired on 2020-02-01');
  });

  it('and authorities follow their files', async () => {
    folder.write('ca.crt', made.ca);
    write({}, { server: SERVER, 'certificate-authority': 'ca.crt' });
    const source = open();
    const first = await accessOf(source);
    folder.write('new.crt', made.otherCa);
    renameSync(folder.file('new.crt'), folder.file('ca.crt'));
    source.reject(first);
    expect((await accessOf(source)).tls.ca).not.toBe(first.tls.ca);
  });
});

describe('an exec plugin of a kubeconfig', () => {
  const token = (text: string): string => `echo '${execCredential({ token: text })}'`;

  it('is found beside the kubeconfig, run once for all who ask, and again after reject', async () => {
    folder.plugin('login', `echo x >> ${folder.file('runs')}; ${token('one')}`);
    write({ exec: { ...EXEC, command: './login' } });
    const source = open();
    const all = await Promise.all(Array.from({ length: 20 }, () => accessOf(source)));
    expect(new Set(all).size).toBe(1);
    expect(all[0]?.authorization).toBe('Bearer one');
    expect(folder.read('runs')).toBe('x\n');
    folder.plugin('login', `echo x >> ${folder.file('runs')}; ${token('two')}`);
    for (const access of all) source.reject(access);
    clock.advance(1_000);
    expect(await tokenOf(source)).toBe('Bearer two');
    expect(folder.read('runs')).toBe('x\nx\n');
  });

  it('that hangs or prints nonsense is an error, and works when it is mended', async () => {
    folder.plugin('login', 'sleep 600');
    write({ exec: { ...EXEC, command: './login' } });
    const limits = { timeoutMs: 200, maxOutputBytes: 1 << 20, lingerMs: 1_000 };
    const source = open({ execLimits: limits });
    expect((await credentialErrorOf(accessOf(source))).message).toContain(
      'did not end within 200 ms and was killed',
    );
    folder.plugin('login', 'echo hello secret');
    clock.advance(1_000);
    const nonsense = open();
    const error = await credentialErrorOf(accessOf(nonsense));
    expect(error.message).toContain('its output is no JSON object');
    expect(error.message).not.toContain('secret');
    folder.plugin('login', token('good'));
    clock.advance(1_000);
    expect(await tokenOf(nonsense)).toBe('Bearer good');
  });

  it('goes on for others when one of those who wait gives up, and is killed when nobody waits', async () => {
    folder.plugin(
      'login',
      `echo $$ > ${folder.file('pid')}; while [ ! -e ${folder.file('go')} ]; do sleep 0.01; done; ${token('late')}`,
    );
    write({ exec: { ...EXEC, command: './login' } });
    const source = open();
    const impatient = new AbortController();
    const gone = source.access(impatient.signal).then(
      () => 'given',
      (error: unknown) => String(error),
    );
    const patient = accessOf(source);
    await until(() => existsSync(folder.file('pid')));
    impatient.abort(new Error('no time'));
    expect(await gone).toBe('Error: no time');
    folder.write('go', '');
    expect((await patient).authorization).toBe('Bearer late');

    rmSync(folder.file('go'));
    rmSync(folder.file('pid'));
    source.reject(await patient);
    clock.advance(60_000);
    const alone = new AbortController();
    const nobody = source.access(alone.signal).then(
      () => 'given',
      (error: unknown) => String(error),
    );
    await until(() => existsSync(folder.file('pid')) && folder.read('pid') !== '');
    const pid = folder.read('pid').trim();
    alone.abort(new Error('the agent stops'));
    expect(await nobody).toBe('Error: the agent stops');
    await until(() => !existsSync(`/proc/${pid}`));
    // The next one starts anew.
    folder.write('go', '');
    expect(await tokenOf(source)).toBe('Bearer late');
  });

  it('is told about the cluster when it asks for that', async () => {
    folder.plugin('login', `printf %s "$KUBERNETES_EXEC_INFO" > ${folder.file('info')}; ${token('one')}`);
    write({ exec: { ...EXEC, command: './login', provideClusterInfo: true } });
    await accessOf(open());
    expect(JSON.parse(folder.read('info'))).toMatchObject({
      spec: { cluster: { server: SERVER }, interactive: false },
    });
  });

  it('is another one when the kubeconfig says so', async () => {
    folder.plugin('a', token('of-a'));
    folder.plugin('b', token('of-b'));
    write({ exec: { ...EXEC, command: './a' } });
    const source = open();
    expect(await tokenOf(source)).toBe('Bearer of-a');
    write({ exec: { ...EXEC, command: './b' } });
    clock.advance(LOOK_AGAIN_MS);
    expect(await tokenOf(source)).toBe('Bearer of-b');
  });
});
