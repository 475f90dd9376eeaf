// No message and no context of an error may hold a secret, whatever is broken: in the text, in the files around it, in a plugin.

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  accessOf,
  CredentialFolder,
  credentialErrorOf,
  execCredential,
  expectCredentialError,
  kubeconfigText,
} from '../../test/cluster/credential-world.ts';
import { parseKubeconfig } from './kubeconfig-parse.ts';
import { openKubeconfig } from './kubeconfig.ts';

const SECRETS = {
  token: 'eyJT0kenT0kenT0ken.Q7w9Zx',
  password: '!hunter*&22#Pa55w0rd',
  key: 'TUlJRXZ3SUJBREFOQmdrcWhraUc5dzBCQVFFRkFB',
  proxy: 'Pr0xyPr0xy%40Word',
  env: 'EnvEnv: [S3cretValue',
} as const;

/** Every six characters in a row. */
const SNIPPETS = Object.values(SECRETS).flatMap((secret) =>
  Array.from({ length: secret.length - 5 }, (_, start) => secret.slice(start, start + 6)),
);

/** Fails when six characters of a secret in a row are in what an error says. */
function expectNoSecret(error: unknown): void {
  const { message, context } = expectCredentialError(error);
  const said = `${message} ${JSON.stringify(context)}`;
  expect(SNIPPETS.filter((snippet) => said.includes(snippet))).toEqual([]);
}

const USERS = [
  { token: SECRETS.token },
  { username: 'admin', password: SECRETS.password },
  { 'client-certificate': '/none', 'client-key-data': SECRETS.key },
  {
    exec: {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: 'x',
      interactiveMode: 'Never',
      env: [{ name: 'A', value: SECRETS.env }],
    },
  },
];
const CLUSTER = {
  server: 'https://192.0.2.1:6443',
  'proxy-url': `http://someone:${SECRETS.proxy}@proxy:3128`,
};

/** As people write it: without quotes wherever YAML needs none, and where it does need them too. */
const YAML = `apiVersion: v1
kind: Config
current-context: test
clusters:
- name: here
  cluster:
    server: https://192.0.2.1:6443
    proxy-url: http://someone:${SECRETS.proxy}@proxy:3128
users:
- name: me
  user:
    token: ${SECRETS.token}
    client-key-data: ${SECRETS.key}
    password: ${SECRETS.password}
    exec:
      command: x
      env: [{name: A, value: "${SECRETS.env}"}]
contexts:
- name: test
  context: {cluster: here, user: me}
`;
const TEXTS = [
  YAML,
  ...USERS.map((user) => kubeconfigText(user, CLUSTER)),
  JSON.stringify(JSON.parse(kubeconfigText(USERS[0] ?? {}, CLUSTER)), null, 2),
];

describe('a broken kubeconfig', () => {
  const check = (text: string): void => {
    try {
      parseKubeconfig([{ file: '/etc/k', bytes: Buffer.from(text) }], { context: null, master: null });
    } catch (error) {
      expectNoSecret(error);
    }
  };

  it('tells no secret, wherever it ends', () => {
    for (const text of TEXTS) for (let end = 0; end < text.length; end += 7) check(text.slice(0, end));
  });

  it('tells no secret, whatever character is changed, or line lost', () => {
    const filling = fc.oneof(
      fc.constantFrom(
        '',
        '"',
        "'",
        '\n',
        '\t',
        ': ',
        '- ',
        '*',
        '&',
        '!',
        '%',
        '{',
        '[',
        ']',
        '}',
        '#',
        '|',
        '@',
        '\\',
        '\0',
        '\ud800',
        '1',
      ),
      fc.string({ maxLength: 3 }),
    );
    fc.assert(
      fc.property(
        fc.constantFrom(...TEXTS),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.nat(1),
        filling,
        (text, where, length, filled) => {
          const at = Math.floor(where * text.length);
          check(text.slice(0, at) + filled + text.slice(at + length));
          const lines = text.split('\n');
          check(lines.toSpliced(Math.floor(where * lines.length), 1).join('\n'));
        },
      ),
      { numRuns: 150 },
    );
  });

  it('tells no secret when it stands in the place of something else', () => {
    const fields = [
      'apiVersion',
      'interactiveMode',
      'provideClusterInfo',
      'env',
      'args',
      'as-groups',
      'as-user-extra',
      'insecure-skip-tls-verify',
      'tls-server-name',
      'server',
      'proxy-url',
      'extensions',
      'token',
      'client-key-data',
      'username',
    ];
    for (const secret of Object.values(SECRETS)) {
      for (const value of [secret, [secret], { x: secret }, `https://a:${secret}@b`, `${secret}\n`]) {
        for (const field of fields.slice(2)) {
          check(kubeconfigText({ as: 'a', [field]: value }, CLUSTER));
          check(kubeconfigText({}, { ...CLUSTER, [field]: value }));
          check(
            kubeconfigText(
              {
                exec: {
                  apiVersion: 'client.authentication.k8s.io/v1',
                  command: 'x',
                  interactiveMode: 'Never',
                  [field]: value,
                },
              },
              CLUSTER,
            ),
          );
        }
      }
    }
  });
});

describe('broken surroundings', () => {
  let folder: CredentialFolder;
  beforeEach(() => {
    folder = new CredentialFolder();
  });
  afterEach(() => folder.remove());
  const errorOf = (
    user: Record<string, unknown>,
    cluster: Record<string, unknown> = CLUSTER,
  ): Promise<unknown> =>
    credentialErrorOf(
      accessOf(openKubeconfig({ paths: [folder.write('config', kubeconfigText(user, cluster))] })),
    );

  it('tell no secret of files', async () => {
    for (const content of [
      `${SECRETS.token} ${SECRETS.key}`,
      `${SECRETS.token}\0`,
      SECRETS.key.repeat(2_000),
    ]) {
      folder.write('token', content);
      expectNoSecret(await errorOf({ tokenFile: 'token' }));
    }
    for (const content of [
      SECRETS.key,
      `-----BEGIN PRIVATE KEY-----\n${SECRETS.key}`,
      `-----BEGIN PRIVATE KEY-----\n${SECRETS.key}\n-----END PRIVATE KEY-----\n`,
    ]) {
      folder.write('key', content);
      expectNoSecret(await errorOf({ 'client-certificate': 'key', 'client-key': 'key' }));
      expectNoSecret(await errorOf({}, { ...CLUSTER, 'certificate-authority': 'key' }));
    }
  });

  it('tell no secret of plugins', async () => {
    const { token, env, password } = SECRETS;
    const scripts = [
      `echo '${token}'; exit 1`,
      `echo '${token}'; echo 'refused: ${token}' >&2; exit 1`,
      `echo "$A" >&2; exit 1`,
      `echo "$*" >&2; exit 1`,
      `echo 'hello ${token}'`,
      `echo '${execCredential({ token: `${token} ${token}` })}'`,
      `echo '${execCredential({ token, expirationTimestamp: token })}'`,
      `echo '${execCredential({ clientCertificateData: token, clientKeyData: token })}'`,
      `echo '${execCredential({ token }, token)}'`,
      `echo '{"kind":"ExecCredential", "${token}'`,
    ];
    for (const script of scripts) {
      folder.plugin('login', script);
      expectNoSecret(
        await errorOf({
          exec: {
            apiVersion: 'client.authentication.k8s.io/v1',
            interactiveMode: 'Never',
            command: './login',
            args: ['get', `--password=${password}`],
            env: [{ name: 'A', value: env }],
          },
        }),
      );
    }
  });
});
