// Every mistake in a kubeconfig with its place, its field and what to do; and files that nobody meant to be a kubeconfig.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  expectCredentialError,
  KUBEADM_KUBECONFIG,
  kubeconfigText,
  thrownBy,
} from '../../test/cluster/credential-world.ts';
import { MAX_KUBECONFIG_BYTES, parseKubeconfig, type KubeconfigSelection } from './kubeconfig-parse.ts';

const FILE = '/etc/kubernetes/proxy.conf';
type Part = Readonly<Record<string, unknown>>;

const parse = (text: string): unknown =>
  parseKubeconfig([{ file: FILE, bytes: Buffer.from(text) }], { context: null, master: null });
const SERVER = { server: 'https://192.0.2.1:6443' };

const V1 = 'client.authentication.k8s.io/v1';
const exec = (more: Part): Part => ({
  exec: { apiVersion: V1, command: 'x', interactiveMode: 'Never', ...more },
});
const CLUSTER = 'clusters[name=here].cluster';
const USER = 'users[name=me].user';
const USERS: readonly (readonly [user: Part, message: string])[] = [
  [{ token: 12_345 }, `${USER}.token: it is a number, not a text; put it in quotes`],
  [{ token: ['a'] }, `${USER}.token: it is a list, not a text; write a text`],
  [{ token: 'a b' }, `${USER}.token: the token has blanks, line breaks or characters that no token has; `],
  [{ token: ' ' }, `${USER}.token: the token is empty; `],
  [{ tokenFile: true }, `${USER}.tokenFile: it is true or false, not a text; `],
  [
    { 'client-certificate': '/a' },
    `${USER}: there is a client-certificate and no client-key; add client-key`,
  ],
  [
    { 'client-key': '/a' },
    `${USER}: there is a client-key and no client-certificate; add client-certificate`,
  ],
  [{ 'client-key-data': '%' }, `${USER}.client-key-data: it is no base64; encode it again`],
  [
    { 'client-key-data': '/etc/x.key' },
    `${USER}.client-key-data: it is no base64; a path belongs into client-key`,
  ],
  [{ 'client-key-data': 'abc' }, `${USER}.client-key-data: it is no base64; `],
  [
    { 'client-key-data': '-----BEGIN' },
    `${USER}.client-key-data: it is PEM itself; encode it (base64 -w0), or name the file as client-key`,
  ],
  [
    { 'client-certificate': '-----BEGIN' },
    `${USER}.client-certificate: it is PEM itself, not a path; encode it (base64 -w0) as client-certificate-data`,
  ],
  [{ username: 'a:b' }, `${USER}.username: it has a colon in it; `],
  [{ username: 'a', token: 'b' }, `${USER}.username: there is a token too; give one of them`],
  [{ password: 'a', tokenFile: '/b' }, `${USER}.username: there is a token too; give one of them`],
  [
    { 'auth-provider': { name: 'gcp' } },
    `${USER}.auth-provider: gcp: providers inside of clients are no longer part of Kubernetes; use an exec plugin`,
  ],
  [{ 'auth-provider': 'x' }, `${USER}.auth-provider: it is a text, not an object; `],
  [{ exec: [] }, `${USER}.exec: it is a list, not an object; `],
  [exec({ command: null }), `${USER}.exec: command is missing; add command`],
  [
    exec({ command: null, comand: 'x' }),
    `${USER}.exec: command is missing; add command; is comand meant to be it?`,
  ],
  [exec({ apiVersion: null }), `${USER}.exec: apiVersion is missing; `],
  [
    exec({ apiVersion: 'client.authentication.k8s.io/v1alpha1' }),
    `${USER}.exec.apiVersion: client.authentication.k8s.io/v1alpha1 is not known; use ${V1} or ${V1}beta1`,
  ],
  [exec({ interactiveMode: null }), `${USER}.exec: interactiveMode is missing; add interactiveMode: Never`],
  [
    exec({ interactiveMode: 'Always' }),
    `${USER}.exec.interactiveMode: the plugin wants a terminal, and an agent has none; `,
  ],
  [
    exec({ interactiveMode: 'never' }),
    `${USER}.exec.interactiveMode: never is not known; write Never or IfAvailable`,
  ],
  [exec({ args: 'a' }), `${USER}.exec.args: it is a text, not a list; write a list`],
  [exec({ args: ['a', 1] }), `${USER}.exec.args[1]: it is a number, not a text; put it in quotes`],
  [exec({ args: ['a\0'] }), `${USER}.exec.args[0]: it contains NUL; remove it`],
  [exec({ env: ['A=b'] }), `${USER}.exec.env[0]: it is a text, not an object; `],
  [exec({ env: [{ value: 'x' }] }), `${USER}.exec.env[0]: name is missing; add name`],
  [exec({ env: [{ name: 'A=B' }] }), `${USER}.exec.env[0].name: it is no name of a variable; `],
  [exec({ env: [{ name: 'A', value: 'b\0' }] }), `${USER}.exec.env[0].value: it contains NUL; `],
  [
    exec({ env: [{ name: 'A', value: 1 }] }),
    `${USER}.exec.env[0].value: it is a number, not a text; put it in quotes`,
  ],
  [exec({ provideClusterInfo: 'yes' }), `${USER}.exec.provideClusterInfo: it is a text, not true or false; `],
  [{ 'as-groups': ['a'] }, `${USER}: as-uid, as-groups or as-user-extra stands without as; add as: USER`],
  [{ as: 'a\nb' }, `${USER}.as: it has characters that no HTTP header can carry; `],
  [
    { as: 'a', 'as-groups': ['b', '\u20ac'] },
    `${USER}.as-groups[1]: it has characters that no HTTP header can carry; `,
  ],
  [{ as: 'a', 'as-user-extra': { k: 'v' } }, `${USER}.as-user-extra.k: it is a text, not a list; `],
  [{ as: 'a', 'as-user-extra': { '': [] } }, `${USER}.as-user-extra: a key is empty; `],
];
const CLUSTERS: readonly (readonly [cluster: Part, message: string])[] = [
  [{}, `${CLUSTER}: server is missing; add server`],
  [{ Server: 'https://x' }, `${CLUSTER}: server is missing; add server; is Server meant to be it?`],
  [{ server: 6443 }, `${CLUSTER}.server: it is a number, not a text; `],
  [
    { server: '192.0.2.1:6443' },
    `${CLUSTER}.server: it does not begin with https:// or http://; write https://HOST:PORT`,
  ],
  [{ server: 'ftp://192.0.2.1' }, `${CLUSTER}.server: it begins with none of https://, http://; `],
  [
    { ...SERVER, 'proxy-url': 'ftp://a' },
    `${CLUSTER}.proxy-url: it begins with none of http://, https://, socks5://; `,
  ],
  [{ ...SERVER, 'tls-server-name': 'a b' }, `${CLUSTER}.tls-server-name: it is no host name; `],
  [
    { ...SERVER, 'insecure-skip-tls-verify': 'true' },
    `${CLUSTER}.insecure-skip-tls-verify: it is a text, not true or false; write true or false without quotes`,
  ],
  [
    { ...SERVER, 'insecure-skip-tls-verify': true, 'certificate-authority': '/a' },
    `${CLUSTER}.insecure-skip-tls-verify: it is true, and there is a certificate-authority too; remove one of them`,
  ],
  [{ ...SERVER, extensions: [1] }, `${CLUSTER}.extensions[0]: it is a number, not an object; `],
];

describe('a mistake in a kubeconfig', () => {
  it.each(USERS)('in a user: %j', (user, message) => {
    const error = thrownBy(() => parse(kubeconfigText(user)));
    expect(error.message).toContain(`: ${message}`);
    expect(error.message).toMatch(/^kubeconfig \/etc\/kubernetes\/proxy\.conf:1:\d+: /);
    expect(error.code).toBe('INVALID_KUBECONFIG');
    expect(message.startsWith(`${String(error.context['field'])}: `)).toBe(true);
  });

  it.each(CLUSTERS)('in a cluster: %j', (cluster, message) => {
    const error = thrownBy(() => parse(kubeconfigText({}, cluster)));
    expect(error.message).toContain(`: ${message}`);
    expect(error.code).toBe('INVALID_KUBECONFIG');
  });

  const TEXTS: [title: string, text: string, message: string, selection?: Partial<KubeconfigSelection>][] = [
    ['nothing', '', `${FILE}: the file is empty; see whether it was written to its end`],
    ['only comments', '# nothing\n---\n', `${FILE}: the file is empty; `],
    ['a text', 'hello', `${FILE}: it is a text, not a kubeconfig; see whether it is the right file`],
    ['a list', '[]', `${FILE}: it is a list, not a kubeconfig; `],
    ['a Pod', 'kind: Pod\napiVersion: v1', `${FILE}:1:7: kind: it is Pod, not Config; `],
    ['another version', 'kind: Config\napiVersion: v2', `${FILE}:2:13: apiVersion: it is v2, not v1; `],
    [
      'two documents',
      `${KUBEADM_KUBECONFIG}---\nkind: Config\n`,
      `${FILE}:20:1: a second document begins here; `,
    ],
    ['a tab', 'clusters:\n\t- name: a', `${FILE}:2:1: not valid YAML`],
    ['an open quote', 'users: "a', `${FILE}:1:10: not valid YAML: missing closing; close the quote`],
    ['half of JSON', '{"users": [', `${FILE}:1:12: not valid JSON: it ends too early; correct the file`],
    ['wrong JSON', '{"users": [}', `${FILE}:1:12: not valid JSON; correct the file`],
    ['a key twice', 'users: []\nusers: []', `${FILE}:2:1: a key is there twice; remove one of them`],
    [
      'an alias of nothing',
      'users: *secretsecret',
      `${FILE}:1:8: an alias has no anchor before it; define it first`,
    ],
    [
      'an alias of itself',
      'users: &a\n- *a',
      `${FILE}:2:3: an alias has no anchor before it; remove the alias`,
    ],
    [
      'deep nesting',
      `users: ${'['.repeat(70)}${']'.repeat(70)}`,
      'it is nested deeper than 64 levels; simplify the file',
    ],
    ['UTF-16', '\ufeffx', 'UTF-16; save it as UTF-8'],
    [
      'too much',
      ' '.repeat(MAX_KUBECONFIG_BYTES + 1),
      `it has more than ${MAX_KUBECONFIG_BYTES} bytes; see whether`,
    ],
    ['no list', 'clusters: {}', `${FILE}:1:11: clusters: it is an object, not a list; write a list`],
    ['no object in it', 'clusters: [1]', `${FILE}:1:12: clusters[0]: it is a number, not an object; `],
    [
      'a name twice',
      'clusters: [{name: a}, {name: a}]',
      `${FILE}:1:30: clusters[1].name: the name "a" is there twice; rename or remove one`,
    ],
    [
      'a number as a name',
      'users: [{name: 1}]',
      'users[0].name: it is a number, not a text; put it in quotes',
    ],
    [
      'no context',
      KUBEADM_KUBECONFIG.replace('current-context: default', ''),
      `${FILE}: current-context is missing; set it to "default"`,
    ],
    [
      'no contexts',
      'kind: Config',
      'current-context is missing; set it to a name that the file has (it has none)',
    ],
    [
      'a context that is not there',
      KUBEADM_KUBECONFIG.replace('current-context: default', 'current-context: defualt'),
      `${FILE}:14:18: current-context: there is no context "defualt"; use "default"`,
    ],
    [
      'a context that is asked for',
      KUBEADM_KUBECONFIG,
      `${FILE}: there is no context "production"; use "default"`,
      { context: 'production' },
    ],
    [
      'an empty context',
      'current-context: a\ncontexts: [{name: a}]',
      'contexts[name=a]: context is missing; add context',
    ],
    [
      'a user that is not there',
      KUBEADM_KUBECONFIG.replace('user: default', 'user: proxy'),
      `${FILE}:12:11: contexts[name=default].context.user: there is no user "proxy"; use "default"`,
    ],
    [
      'a cluster that is not there',
      KUBEADM_KUBECONFIG.replace('cluster: default', 'cluster: x'),
      'contexts[name=default].context.cluster: there is no cluster "x"; use "default"',
    ],
    [
      'no cluster in the context',
      KUBEADM_KUBECONFIG.replace('cluster: default', 'x: default'),
      'contexts[name=default].context: cluster is missing; set it to "default"',
    ],
    [
      'a cluster without content',
      'current-context: a\ncontexts: [{name: a, context: {cluster: c}}]\nclusters: [{name: c}]',
      'clusters[name=c]: cluster is missing; add cluster with server',
    ],
    [
      'a bad --master',
      KUBEADM_KUBECONFIG,
      '--master: it has a user or password in it; write them as',
      { master: 'https://a:b@c' },
    ],
    [
      'a bad --master alone',
      'kind: Config',
      '--master: it does not begin with https:// or http://; ',
      { master: '192.0.2.1' },
    ],
  ];
  it.each(TEXTS)('in the whole: %s', (title, text, message, selection = {}) => {
    const bytes = title === 'UTF-16' ? Buffer.from(text, 'utf16le') : Buffer.from(text);
    const error = thrownBy(() =>
      parseKubeconfig([{ file: FILE, bytes }], { context: null, master: null, ...selection }),
    );
    expect(error.message).toContain(message);
    expect(error.code).toBe('INVALID_KUBECONFIG');
    expect(error.message).not.toContain('secret');
  });

  it('is told with at most five names to choose from', () => {
    const contexts = Array.from({ length: 9 }, (_, index) => ({ name: `context-${index}` }));
    expect(thrownBy(() => parse(JSON.stringify({ contexts }))).message).toMatch(/"context-4", \.\.\.$/);
  });
});

describe('whatever the bytes', () => {
  // Any UTF-16 at all, halves of pairs too. fast-check's own unit "binary" takes seconds to set up.
  const odd = fc
    .array(fc.oneof(fc.integer({ min: 0, max: 0xffff }), fc.integer({ min: 0, max: 0x7f })), {
      maxLength: 20,
    })
    .map((codes) => String.fromCharCode(...codes));
  const survives = (texts: readonly Uint8Array[], selection: Partial<KubeconfigSelection> = {}): void => {
    try {
      parseKubeconfig(
        texts.map((bytes) => ({ file: FILE, bytes })),
        { context: null, master: null, ...selection },
      );
    } catch (error) {
      expectCredentialError(error);
    }
  };

  it('nothing but an error of one line comes out of random bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { minLength: 1, maxLength: 3 }), (texts) =>
        survives(texts),
      ),
    );
  });

  it('nor out of random YAML, JSON and kubeconfigs with a field of another kind', () => {
    const yaml = fc
      .array(
        fc.constantFrom(
          'users',
          ': ',
          '\n',
          '- ',
          '  ',
          '{',
          '}',
          '[',
          ']',
          '&a ',
          '*a',
          '!t ',
          '|',
          '>',
          '"',
          "'",
          '#',
          '<<',
          '\t',
          'x',
          '%Y',
          '@',
          '`',
          '\\',
          ',',
        ),
        { maxLength: 40 },
      )
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(yaml, fc.json(), odd), (text) => survives([Buffer.from(text)])),
      { numRuns: 300 },
    );
  });

  it('nor out of a kubeconfig with anything in any of its places', () => {
    const names = [
      'server',
      'certificate-authority',
      'certificate-authority-data',
      'insecure-skip-tls-verify',
      'tls-server-name',
      'proxy-url',
      'extensions',
      'client-certificate',
      'client-certificate-data',
      'client-key',
      'client-key-data',
      'token',
      'tokenFile',
      'username',
      'password',
      'exec',
      'as',
      'as-uid',
      'as-groups',
      'as-user-extra',
      'auth-provider',
      'apiVersion',
      'command',
      'args',
      'env',
      'interactiveMode',
      'name',
      '__proto__',
    ];
    const text = fc.oneof(
      odd,
      fc.constantFrom(V1, 'Never', 'https://a', 'http://u:p@b:1', 'YQ==', 'gcp', ''),
    );
    const { tree } = fc.letrec<{ tree: unknown }>((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        text,
        fc.constantFrom<unknown>(null, true, 0, -1.5, [], {}),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...names), tie('tree'), { maxKeys: 3 }),
      ),
    }));
    const part = fc.dictionary(fc.constantFrom(...names), tree, { maxKeys: 6 });
    fc.assert(
      fc.property(part, part, fc.boolean(), fc.option(text), (user, cluster, hasServer, master) =>
        survives(
          [
            Buffer.from(
              kubeconfigText(user, {
                ...(hasServer ? SERVER : {}),
                ...cluster,
              }),
            ),
          ],
          { master },
        ),
      ),
      { numRuns: 300 },
    );
  });
});
