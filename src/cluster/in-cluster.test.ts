// The service account of a pod as the kubelet lays it out in a folder, and which source an agent gets.

import { renameSync, rmSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl, type Certificates } from '../../test/cluster/certificates.ts';
import {
  accessOf,
  CredentialFolder,
  credentialErrorOf,
  FakeCredentialClock,
  kubeconfigText,
} from '../../test/cluster/credential-world.ts';
import type { CredentialSource } from './api-access.ts';
import { openCredentials, openInCluster, type InClusterOptions } from './in-cluster.ts';
import { LOOK_AGAIN_MS } from './token-file.ts';

const POD = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

let folder: CredentialFolder;
let clock: FakeCredentialClock;
beforeEach(() => {
  folder = new CredentialFolder();
  clock = new FakeCredentialClock();
});
afterEach(() => folder.remove());
const open = (options: InClusterOptions = {}): CredentialSource =>
  openInCluster({ env: POD, folder: folder.path, clock, ...options });

describe('outside of a cluster', () => {
  it.each([
    [{}, 'KUBERNETES_SERVICE_HOST'],
    [{ KUBERNETES_SERVICE_HOST: '10.96.0.1' }, 'KUBERNETES_SERVICE_PORT'],
  ])('with %j every way out is named', async (env, name) => {
    const error = await credentialErrorOf(accessOf(open({ env })));
    expect(error.message).toBe(
      `in-cluster service account: no kubeconfig is named, and this is no pod of a cluster (${name} is not set); name one (clientConnection.kubeconfig) or a server (--master), or give facts as files (--manifests FOLDER)`,
    );
    expect(error.code).toBe('CREDENTIALS_FAILED');
  });

  it('--master is asked without credentials, as kube-proxy does', async () => {
    const source = open({ env: {}, master: 'https://192.0.2.7:6443' });
    expect(await accessOf(source)).toEqual({
      server: new URL('https://192.0.2.7:6443'),
      proxy: null,
      tls: { ca: null, serverName: null, insecureSkipVerify: false, client: null },
      authorization: null,
      headers: {},
    });
    expect(source.description).toBe('no credentials, --master alone');
    const error = await credentialErrorOf(accessOf(open({ env: {}, master: '192.0.2.7' })));
    expect(error.message).toBe(
      '--master: it does not begin with https:// or http://; write https://HOST:PORT',
    );
  });
});

describe.skipIf(probeOpenssl() !== null)('in a pod', () => {
  let made: Certificates;
  beforeAll(() => {
    made = makeCertificates();
  });
  afterAll(() => made.remove());
  beforeEach(() => {
    folder.write('token', 'one');
    folder.write('ca.crt', made.ca);
  });

  it('the service account is used', async () => {
    const source = open();
    expect(source.description).toBe('in-cluster service account');
    const access = await accessOf(source);
    expect(access).toMatchObject({
      server: new URL('https://10.96.0.1'),
      proxy: null,
      authorization: 'Bearer one',
    });
    expect(access.tls).toMatchObject({ serverName: null, insecureSkipVerify: false, client: null });
    expect(access.tls.ca).toContain('BEGIN CERTIFICATE');
    expect(await accessOf(source)).toBe(access);
  });

  it.each([
    ['fd00::1', '6443', 'https://[fd00::1]:6443/'],
    ['kubernetes.default.svc', '443', 'https://kubernetes.default.svc/'],
  ])('the server may be %s', async (host, port, href) => {
    const env = { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port };
    expect((await accessOf(open({ env }))).server.href).toBe(href);
  });

  it('an address that is none is an error', async () => {
    for (const [host, port] of [
      ['10.96.0.1', 'https'],
      ['a/b', '1'],
      ['10.96.0.1', '99999'],
      ['a@b', '1'],
    ]) {
      const env = { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port };
      const error = await credentialErrorOf(accessOf(open({ env })));
      expect(error.message).toContain(
        'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no address: ',
      );
    }
  });

  it('--master is another way to the same server', async () => {
    const source = open({ master: 'https://192.0.2.7:6443' });
    expect(await accessOf(source)).toMatchObject({
      server: new URL('https://192.0.2.7:6443'),
      authorization: 'Bearer one',
    });
    expect(source.description).toBe('in-cluster service account, server of --master');
    // A token in clear is a token for everybody.
    expect(await accessOf(open({ master: 'http://192.0.2.7:8080' }))).toMatchObject({ authorization: null });
  });

  it('a token that the kubelet replaced is used within a minute, or at once after reject', async () => {
    const source = open();
    const first = await accessOf(source);
    folder.write('token.new', 'two');
    renameSync(folder.file('token.new'), folder.file('token'));
    expect(await accessOf(source)).toBe(first);
    clock.advance(LOOK_AGAIN_MS);
    const second = await accessOf(source);
    expect(second.authorization).toBe('Bearer two');
    folder.write('token', 'three');
    source.reject(second);
    expect((await accessOf(source)).authorization).toBe('Bearer three');
    rmSync(folder.file('token'));
    clock.advance(LOOK_AGAIN_MS);
    expect((await accessOf(source)).authorization).toBe('Bearer three');
  });

  it('missing files are named, and count as soon as they are there', async () => {
    rmSync(folder.file('ca.crt'));
    rmSync(folder.file('token'));
    const source = open();
    expect((await credentialErrorOf(accessOf(source))).message).toBe(
      `in-cluster service account: ${folder.file('ca.crt')}: there is no such file; create it or correct the path`,
    );
    folder.write('ca.crt', made.ca);
    expect((await credentialErrorOf(accessOf(source))).message).toContain(folder.file('token'));
    folder.write('token', 'late');
    expect((await accessOf(source)).authorization).toBe('Bearer late');
  });

  it('a kubeconfig that is named wins', async () => {
    const kubeconfig = folder.write('config', kubeconfigText({ token: 'of-kubeconfig' }));
    const options = { env: POD, folder: folder.path, clock };
    expect((await accessOf(openCredentials({ ...options, kubeconfig }))).authorization).toBe(
      'Bearer of-kubeconfig',
    );
    expect(
      (await accessOf(openCredentials({ ...options, kubeconfig, master: 'https://192.0.2.9' }))).server.href,
    ).toBe('https://192.0.2.9/');
    expect((await accessOf(openCredentials({ ...options, kubeconfig: '' }))).authorization).toBe(
      'Bearer one',
    );
  });
});
