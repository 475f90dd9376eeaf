// The two halves of a context: what a cluster entry and a user entry say, checked as far as it goes without reading other files. Paths are
// made absolute: they count from the folder of the kubeconfig they stand in. What client-go accepts is accepted, except where noted.
// Source: k8s.io/client-go/tools/clientcmd/api/v1/types.go, clientcmd/validation.go, clientcmd/client_config.go. Pure.

import { dirname, resolve } from 'node:path';
import { printable } from '../files/document.ts';
import { kindOf, type Fields } from './kubeconfig-fields.ts';
import { shownPath, withoutColours, type Origin } from './kubeconfig-problem.ts';
import { parseProxy, parseServer } from './kubeconfig-url.ts';
import { tokenMistake } from './token-file.ts';

/** Bytes from the kubeconfig itself or from a file that it names. */
export type Material =
  | { readonly kind: 'data'; readonly bytes: Uint8Array; readonly origin: Origin }
  | { readonly kind: 'file'; readonly path: string; readonly origin: Origin };

/** clusters[].cluster */
export interface ClusterEntry {
  readonly server: URL;
  readonly ca: Material | null;
  readonly insecureSkipVerify: boolean;
  readonly serverName: string | null;
  readonly proxy: URL | null;
  /** What the extension client.authentication.k8s.io/exec says to the plugin; undefined: nothing. */
  readonly execConfig: unknown;
}

/** users[].user.exec */
export interface ExecEntry {
  readonly apiVersion: 'client.authentication.k8s.io/v1' | 'client.authentication.k8s.io/v1beta1';
  /** A path, or a name to be looked for in PATH. */
  readonly command: string;
  readonly args: readonly string[];
  readonly env: readonly { readonly name: string; readonly value: string }[];
  /** One line; '' when there is none. */
  readonly installHint: string;
  readonly provideClusterInfo: boolean;
  readonly origin: Origin;
}

/** users[].user */
export interface UserEntry {
  readonly client: { readonly certificate: Material; readonly key: Material } | null;
  /** Counts when the file cannot be read, or there is none. */
  readonly token: string | null;
  /** Wins over `token`, as in client-go. */
  readonly tokenFile: { readonly path: string; readonly origin: Origin } | null;
  /** The value of the header Authorization for username and password. */
  readonly basic: string | null;
  /** Not used when there are other credentials, as in client-go. */
  readonly exec: ExecEntry | null;
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** A user without any credentials. */
export const ANONYMOUS: UserEntry = {
  client: null,
  token: null,
  tokenFile: null,
  basic: null,
  exec: null,
  headers: {},
};

const EXEC_EXTENSION = 'client.authentication.k8s.io/exec';
const EXEC_VERSIONS = ['client.authentication.k8s.io/v1', 'client.authentication.k8s.io/v1beta1'] as const;

/** Reads a cluster entry. `master` stands for its server, and then tls-server-name is left out, as in client-go. Throws INVALID_KUBECONFIG. */
export function readCluster(
  fields: Fields,
  master: string | null,
  hasClientCertificate: boolean,
): ClusterEntry {
  const ca = readMaterial(fields, 'certificate-authority');
  const insecureSkipVerify = fields.flag('insecure-skip-tls-verify');
  if (insecureSkipVerify && ca !== null)
    throw fields.error(
      'insecure-skip-tls-verify',
      'it is true, and there is a certificate-authority too',
      'remove one of them',
    );
  const text = master ?? fields.requiredText('server');
  const server = parseServer(text, { assumeTls: ca !== null || insecureSkipVerify || hasClientCertificate });
  if (!(server instanceof URL))
    throw master === null
      ? fields.error('server', server.message, server.remedy)
      : fields.wholeError(`--master: ${server.message}`, server.remedy);
  const serverName = fields.text('tls-server-name');
  if (serverName !== null && !/^[A-Za-z0-9._:-]{1,253}$/.test(serverName))
    throw fields.error('tls-server-name', 'it is no host name', 'write the name that the certificate bears');
  const proxyText = fields.text('proxy-url');
  const proxy = proxyText === null ? null : parseProxy(proxyText);
  if (proxy !== null && !(proxy instanceof URL)) throw fields.error('proxy-url', proxy.message, proxy.remedy);
  const extension = fields.objects('extensions').find((each) => each.text('name') === EXEC_EXTENSION);
  return {
    server,
    ca,
    insecureSkipVerify,
    serverName: master === null ? serverName : null,
    proxy,
    execConfig: extension?.value('extension') ?? undefined,
  };
}

/** Reads a user entry. Throws INVALID_KUBECONFIG. */
export function readUser(fields: Fields): UserEntry {
  const provider = fields.object('auth-provider');
  if (provider !== null)
    throw fields.error(
      'auth-provider',
      `${printable(provider.text('name') ?? 'a provider')}: providers inside of clients are no longer part of Kubernetes`,
      'use an exec plugin of the same cloud, a token or a client certificate',
    );
  const token = fields.text('token')?.trim() ?? null;
  const mistake = token === null ? null : tokenMistake(token);
  if (mistake !== null) throw fields.error('token', mistake, 'write the token on one line');
  const tokenFile = fields.text('tokenFile');
  const basic = readBasic(fields);
  if (basic !== null && (token !== null || tokenFile !== null))
    throw fields.error('username', 'there is a token too', 'give one of them');
  return {
    client: readClient(fields, token !== null || tokenFile !== null || basic !== null || fields.has('exec')),
    token,
    tokenFile:
      tokenFile === null ? null : { path: absolute(fields, tokenFile), origin: fields.origin('tokenFile') },
    basic,
    exec: readExec(fields.object('exec')),
    headers: readImpersonation(fields),
  };
}

function readClient(fields: Fields, hasOther: boolean): UserEntry['client'] {
  const certificate = readMaterial(fields, 'client-certificate');
  const key = readMaterial(fields, 'client-key');
  if (certificate !== null && key === null)
    throw fields.wholeError(
      'there is a client-certificate and no client-key',
      'add client-key or client-key-data',
    );
  // As in client-go, a key alone is nothing; but then something else must be there.
  if (certificate === null && key !== null && !hasOther)
    throw fields.wholeError(
      'there is a client-key and no client-certificate',
      'add client-certificate or client-certificate-data',
    );
  return certificate === null || key === null ? null : { certificate, key };
}

function readBasic(fields: Fields): string | null {
  const username = fields.text('username');
  const password = fields.text('password');
  if (username === null && password === null) return null;
  if (username?.includes(':') === true)
    throw fields.error('username', 'it has a colon in it', 'HTTP cannot carry such a name; use another');
  return `Basic ${Buffer.from(`${username ?? ''}:${password ?? ''}`).toString('base64')}`;
}

/** `name`-data wins over `name`: so say the types of client-go, whose validation refuses both together. */
function readMaterial(fields: Fields, name: string): Material | null {
  const dataName = `${name}-data`;
  const data = fields.text(dataName);
  const path = fields.text(name);
  if (data !== null) {
    const text = data.replaceAll(/[\r\n]/g, '');
    if (text.startsWith('-----'))
      throw fields.error(dataName, 'it is PEM itself', `encode it (base64 -w0), or name the file as ${name}`);
    if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) {
      const remedy = data.startsWith('/') ? `a path belongs into ${name}` : 'encode it again (base64 -w0)';
      throw fields.error(dataName, 'it is no base64', remedy);
    }
    return { kind: 'data', bytes: Buffer.from(text, 'base64'), origin: fields.origin(dataName) };
  }
  if (path === null) return null;
  if (path.trimStart().startsWith('-----'))
    throw fields.error(name, 'it is PEM itself, not a path', `encode it (base64 -w0) as ${dataName}`);
  return { kind: 'file', path: absolute(fields, path), origin: fields.origin(name) };
}

function absolute(fields: Fields, path: string): string {
  return resolve(dirname(resolve(fields.file)), path);
}

function readExec(fields: Fields | null): ExecEntry | null {
  if (fields === null) return null;
  const command = fields.requiredText('command');
  const version = fields.requiredText('apiVersion');
  const apiVersion = EXEC_VERSIONS.find((each) => each === version);
  if (apiVersion === undefined)
    throw fields.error(
      'apiVersion',
      `${printable(version)} is not known`,
      `use ${EXEC_VERSIONS.join(' or ')}, with a plugin that speaks it`,
    );
  readInteractiveMode(fields, apiVersion);
  const args = fields.texts('args');
  const badArgument = [command, ...args].findIndex((each) => each.includes('\0'));
  if (badArgument !== -1)
    throw fields.error(
      badArgument === 0 ? 'command' : ['args', badArgument - 1],
      'it contains NUL',
      'remove it',
    );
  const env = fields.objects('env').map((each) => {
    const name = each.requiredText('name');
    const value = each.text('value') ?? '';
    if (/[=\0]/.test(name)) throw each.error('name', 'it is no name of a variable', 'remove = and NUL');
    if (value.includes('\0')) throw each.error('value', 'it contains NUL', 'remove it');
    return { name, value };
  });
  return {
    apiVersion,
    // As in a shell, and in client-go: only a name without a slash is looked for in PATH.
    command: command.includes('/') ? absolute(fields, command) : command,
    args,
    env,
    installHint: shownPath(
      withoutColours(fields.text('installHint') ?? '')
        .replaceAll(/\s+/g, ' ')
        .trim(),
    ),
    provideClusterInfo: fields.flag('provideClusterInfo'),
    origin: fields.origin('command'),
  };
}

function readInteractiveMode(fields: Fields, apiVersion: ExecEntry['apiVersion']): void {
  const mode = fields.text('interactiveMode');
  switch (mode) {
    case 'Never':
    case 'IfAvailable':
      return;
    case 'Always':
      throw fields.error(
        'interactiveMode',
        'the plugin wants a terminal, and an agent has none',
        'use IfAvailable or Never, if the plugin can do without',
      );
    case null:
      if (apiVersion === 'client.authentication.k8s.io/v1beta1') return;
      throw fields.wholeError('interactiveMode is missing', 'add interactiveMode: Never');
    default:
      throw fields.error('interactiveMode', `${printable(mode)} is not known`, 'write Never or IfAvailable');
  }
}

function readImpersonation(fields: Fields): UserEntry['headers'] {
  const user = fields.headerText('as');
  const uid = fields.headerText('as-uid');
  const groups = fields.headerTexts('as-groups');
  const extra = fields.object('as-user-extra');
  const extras = extra?.entries().map(([key, value]) => readExtra(extra, key, value)) ?? [];
  if (user === null) {
    if (uid === null && groups.length === 0 && extras.length === 0) return {};
    throw fields.wholeError('as-uid, as-groups or as-user-extra stands without as', 'add as: USER');
  }
  return {
    'Impersonate-User': user,
    ...(uid === null ? {} : { 'Impersonate-Uid': uid }),
    ...(groups.length === 0 ? {} : { 'Impersonate-Group': groups }),
    ...Object.fromEntries(extras.filter(([, values]) => values.length > 0)),
  };
}

function readExtra(fields: Fields, key: string, value: unknown): readonly [string, readonly string[]] {
  if (key === '') throw fields.wholeError('a key is empty', 'give it a name');
  if (value !== null && !Array.isArray(value))
    throw fields.error(key, `it is ${kindOf(value)}, not a list`, 'write a list of texts');
  return [`Impersonate-Extra-${escapeHeaderKey(key)}`, fields.headerTexts(key)];
}

/** As client-go: bytes that no name of a header has, and '%', as %XX. */
function escapeHeaderKey(key: string): string {
  return [...Buffer.from(key)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9!#$&'*+.^_`|~-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}
