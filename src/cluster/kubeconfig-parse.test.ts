// Every field of a kubeconfig, and several files that become one. Mistakes are in kubeconfig-mistakes.test.ts.

import { describe, expect, it } from 'vitest';
import { KUBEADM_KUBECONFIG, kubeconfigText } from '../../test/cluster/credential-world.ts';
import { parseKubeconfig, type KubeconfigChoice, type KubeconfigSelection } from './kubeconfig-parse.ts';

const FILE = '/etc/kubernetes/proxy.conf';
type Part = Readonly<Record<string, unknown>>;

const parse = (
  texts: string | readonly string[],
  selection: Partial<KubeconfigSelection> = {},
): KubeconfigChoice =>
  parseKubeconfig(
    (typeof texts === 'string' ? [texts] : texts).map((text, index) => ({
      file: index === 0 ? FILE : `/home/${index}/config`,
      bytes: Buffer.from(text),
    })),
    { context: null, master: null, ...selection },
  );
const SERVER = { server: 'https://192.0.2.1:6443' };
const userOf = (user: Part): KubeconfigChoice['user'] => parse(kubeconfigText(user)).user;
const clusterOf = (
  cluster: Part,
  selection: Partial<KubeconfigSelection> = {},
): KubeconfigChoice['cluster'] => parse(kubeconfigText({}, { ...SERVER, ...cluster }), selection).cluster;
const base64 = (text: string): string => Buffer.from(text).toString('base64');

describe('a kubeconfig', () => {
  it('of kubeadm for kube-proxy is understood', () => {
    const { contextName, cluster, user } = parse(KUBEADM_KUBECONFIG);
    expect(contextName).toBe('default');
    expect(cluster.server.href).toBe('https://192.0.2.10:6443/');
    expect(cluster.ca).toMatchObject({
      kind: 'file',
      path: '/var/run/secrets/kubernetes.io/serviceaccount/ca.crt',
    });
    expect(user.tokenFile).toMatchObject({ path: '/var/run/secrets/kubernetes.io/serviceaccount/token' });
    expect(user.tokenFile?.origin.where).toBe(`kubeconfig ${FILE}:18:16: users[name=default].user.tokenFile`);
  });

  it('may be JSON, flow YAML or YAML between dashes', () => {
    const json = kubeconfigText({ token: 't' });
    for (const text of [
      json,
      json.replaceAll('":', ': ').replaceAll('"', ''),
      `---\n${KUBEADM_KUBECONFIG}---\n`,
      `\ufeff${KUBEADM_KUBECONFIG}`,
    ])
      expect(parse(text).contextName).toMatch(/^(?:test|default)$/);
  });

  it('has paths that count from its folder, and data that win over them', () => {
    const cluster = clusterOf({ 'certificate-authority': 'pki/ca.crt' });
    expect(cluster.ca).toMatchObject({ kind: 'file', path: '/etc/kubernetes/pki/ca.crt' });
    const both = clusterOf({
      'certificate-authority': 'pki/ca.crt',
      'certificate-authority-data': base64('ca'),
    });
    expect(both.ca).toMatchObject({ kind: 'data', bytes: Buffer.from('ca') });
    const user = userOf({
      'client-certificate': '../a.crt',
      'client-key': '/k.key',
      'client-key-data': `${base64('a key').slice(0, 4)}\n${base64('a key').slice(4)}`,
      tokenFile: 'token',
    });
    expect(user.client?.certificate).toMatchObject({ kind: 'file', path: '/etc/a.crt' });
    expect(user.client?.key).toMatchObject({ kind: 'data', bytes: Buffer.from('a key') });
    expect(user.tokenFile?.path).toBe('/etc/kubernetes/token');
  });

  it('says how to reach the server', () => {
    const cluster = clusterOf({
      server: 'https://[2001:db8::1]:8443/k8s/clusters/c-1',
      'insecure-skip-tls-verify': true,
      'tls-server-name': 'kubernetes.default',
      'proxy-url': 'socks5://someone:word@proxy.example:1080',
      extensions: [
        { name: 'other', extension: 1 },
        { name: 'client.authentication.k8s.io/exec', extension: { audience: 'x' } },
      ],
    });
    expect(cluster.server.href).toBe('https://[2001:db8::1]:8443/k8s/clusters/c-1');
    expect(cluster).toMatchObject({ insecureSkipVerify: true, serverName: 'kubernetes.default', ca: null });
    expect(cluster.proxy).toMatchObject({ protocol: 'socks5:', username: 'someone', password: 'word' });
    expect(cluster.execConfig).toEqual({ audience: 'x' });
  });

  it('takes null and empty texts for absent, and passes over fields that it does not know', () => {
    const user = userOf({
      token: '',
      tokenFile: null,
      exec: null,
      'client-key-data': '',
      future: [1, { a: 2 }],
    });
    expect(user).toEqual({
      client: null,
      token: null,
      tokenFile: null,
      basic: null,
      exec: null,
      headers: {},
    });
    expect(
      parse(kubeconfigText({}).replace('"users":[', '"preferences":{},"users":[')).user.token,
    ).toBeNull();
  });

  it('gives every kind of credential', () => {
    expect(userOf({ token: ' abc\n', tokenFile: '/t' })).toMatchObject({
      token: 'abc',
      tokenFile: { path: '/t' },
    });
    expect(userOf({ username: 'us\u00e9r', password: 'a:b' }).basic).toBe(`Basic ${base64('us\u00e9r:a:b')}`);
    expect(userOf({ username: 'u' }).basic).toBe(`Basic ${base64('u:')}`);
    expect(userOf({ token: 't', 'client-key': 'alone' }).client).toBeNull();
    const exec = userOf({
      exec: {
        apiVersion: 'client.authentication.k8s.io/v1beta1',
        command: './bin/login',
        args: ['get', ''],
        env: [{ name: 'A', value: 'b' }, { name: 'C' }],
        installHint: '\u001b[31mGet it\u001b[0m\n  from  here',
        provideClusterInfo: true,
      },
    }).exec;
    expect(exec).toMatchObject({
      command: '/etc/kubernetes/bin/login',
      args: ['get', ''],
      env: [
        { name: 'A', value: 'b' },
        { name: 'C', value: '' },
      ],
      installHint: 'Get it from here',
      provideClusterInfo: true,
    });
    for (const interactiveMode of ['Never', 'IfAvailable'])
      expect(
        userOf({ exec: { apiVersion: 'client.authentication.k8s.io/v1', command: 'aws', interactiveMode } })
          .exec,
      ).toMatchObject({ command: 'aws', args: [], env: [], provideClusterInfo: false });
  });

  it('asks to act as somebody else', () => {
    expect(
      userOf({
        as: 'jane',
        'as-uid': 'u-1',
        'as-groups': ['a', 'b'],
        'as-user-extra': { 'acme.com/Project %': ['x', 'y'], none: [] },
      }).headers,
    ).toEqual({
      'Impersonate-User': 'jane',
      'Impersonate-Uid': 'u-1',
      'Impersonate-Group': ['a', 'b'],
      'Impersonate-Extra-acme.com%2FProject%20%25': ['x', 'y'],
    });
  });

  it('has another server with --master, which then is not asked for the other name', () => {
    const cluster = clusterOf(
      { 'tls-server-name': 'kubernetes', 'certificate-authority-data': base64('ca') },
      { master: '192.0.2.9:6443' },
    );
    expect(cluster.server.href).toBe('https://192.0.2.9:6443/');
    expect(cluster).toMatchObject({ serverName: null, ca: { kind: 'data' } });
  });

  it('needs no context, or no cluster in it, when --master says where to go', () => {
    const master = 'http://192.0.2.9:8080';
    expect(parse('kind: Config', { master })).toMatchObject({ contextName: '', user: { token: null } });
    const text = JSON.stringify({
      'current-context': 'a',
      contexts: [{ name: 'a', context: { user: 'u' } }],
      users: [{ name: 'u', user: { token: 't' } }],
    });
    expect(parse(text, { master })).toMatchObject({
      contextName: 'a',
      user: { token: 't' },
      cluster: { ca: null },
    });
  });

  it('of several files is the first that says something', () => {
    const first = JSON.stringify({
      users: [{ name: 'me', user: { token: 'first' } }],
      contexts: [{ name: 'other', context: { cluster: 'here', user: 'me' } }],
    });
    const second = kubeconfigText({ tokenFile: 'second', token: 'second' }, { server: 'https://192.0.2.2' });
    const third = kubeconfigText({}, { server: 'https://192.0.2.3' }).replace('"test"', '"third"');
    const choice = parse([first, '', second, third]);
    expect(choice.contextName).toBe('test');
    expect(choice.cluster.server.hostname).toBe('192.0.2.2');
    // A user of two files is not mixed.
    expect(choice.user).toMatchObject({ token: 'first', tokenFile: null });
    expect(parse([first, second], { context: 'other' }).contextName).toBe('other');
    expect(parse(['', second]).user.tokenFile?.path).toBe('/home/1/second');
  });
});
