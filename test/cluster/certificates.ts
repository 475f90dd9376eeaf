// Certificates for tests, made with the openssl program: a CA, a server and a client of it, both of them expired ones too, and a CA that
// has nothing to do with it. EC keys. In a temporary folder; made once per test file (about 20 calls, a second or so).

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerTls } from './listener.ts';

/** PEM. */
export interface KeyPair {
  readonly certificate: string;
  readonly key: string;
}

/** What a test file needs. */
export interface Certificates {
  /** PEM of the CA that signed all but `otherServer`. */
  readonly ca: string;
  readonly otherCa: string;
  /** For 127.0.0.1, ::1 and localhost. */
  readonly server: KeyPair;
  readonly expiredServer: KeyPair;
  /** For other.example only. */
  readonly misnamedServer: KeyPair;
  /** Of `otherCa`, for 127.0.0.1. */
  readonly otherServer: KeyPair;
  readonly client: KeyPair;
  readonly expiredClient: KeyPair;
  readonly otherClient: KeyPair;
  /** Holds what is here as files: NAME.crt and NAME.key. */
  readonly folder: string;
  /** Removes the folder. */
  remove(): void;
}

const HERE = 'subjectAltName=IP:127.0.0.1,IP:::1,DNS:localhost';

/** null: there is an openssl that can be run; otherwise why not. */
export function probeOpenssl(): string | null {
  const { error, status } = spawnSync('openssl', ['version']);
  return error === undefined && status === 0
    ? null
    : 'openssl is not installed (npm run setup, as root on Debian)';
}

/** Throws what openssl says when it fails. */
export function makeCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'pointsman-certificates-'));
  const read = (file: string): string => readFileSync(join(folder, file), 'utf8');
  const pair = (name: string): KeyPair => ({ certificate: read(`${name}.crt`), key: read(`${name}.key`) });
  const signed = (name: string, ca: string, extensions: readonly string[], isExpired = false): KeyPair => {
    sign(folder, name, ca, extensions, isExpired);
    return pair(name);
  };
  const serverAuth = ['extendedKeyUsage=serverAuth', HERE];
  const clientAuth = ['extendedKeyUsage=clientAuth'];
  try {
    for (const ca of ['ca', 'other-ca']) makeCa(folder, ca);
    return {
      ca: read('ca.crt'),
      otherCa: read('other-ca.crt'),
      server: signed('server', 'ca', serverAuth),
      expiredServer: signed('expired-server', 'ca', serverAuth, true),
      misnamedServer: signed('misnamed-server', 'ca', ['subjectAltName=DNS:other.example']),
      otherServer: signed('other-server', 'other-ca', serverAuth),
      client: signed('client', 'ca', clientAuth),
      expiredClient: signed('expired-client', 'ca', clientAuth, true),
      otherClient: signed('other-client', 'other-ca', clientAuth),
      folder,
      remove: () => rmSync(folder, { recursive: true, force: true }),
    };
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

/** What a server of these certificates shows; believes clients of `ca` when `believesClients`. */
export function serverTls(
  { ca, server }: Certificates,
  { pair = server, believesClients = false }: { pair?: KeyPair; believesClients?: boolean } = {},
): ServerTls {
  return { ...pair, clientCa: believesClients ? ca : null };
}

function openssl(folder: string, args: readonly string[]): void {
  execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

function makeCa(folder: string, name: string): void {
  const usage = 'keyUsage=critical,keyCertSign,cRLSign';
  const files = ['-keyout', `${name}.key`, '-out', `${name}.crt`];
  openssl(folder, [
    'req',
    '-x509',
    ...NEW_KEY,
    ...files,
    '-subj',
    `/CN=${name}`,
    '-days',
    '3650',
    '-addext',
    usage,
  ]);
}

/** `openssl ca` and not `openssl x509`, because only it knows -startdate and -enddate in OpenSSL 3.0. */
function sign(
  folder: string,
  name: string,
  ca: string,
  extensions: readonly string[],
  isExpired: boolean,
): void {
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text);
  openssl(folder, [
    'req',
    ...NEW_KEY,
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.csr`,
    '-subj',
    `/O=system:nodes/CN=${name}`,
  ]);
  write('index.txt', '');
  write('index.txt.attr', 'unique_subject = no\n');
  const config = [
    '[ca]',
    'default_ca = it',
    '[it]',
    'database = index.txt',
    'new_certs_dir = .',
    'rand_serial = yes',
    'default_md = sha256',
    'policy = any',
    'x509_extensions = extensions',
    '[any]',
    'organizationName = optional',
    'commonName = supplied',
    '[extensions]',
    'basicConstraints = CA:FALSE',
    ...extensions,
  ];
  write('ca.cnf', `${config.join('\n')}\n`);
  const dates = isExpired
    ? ['-startdate', '20200101000000Z', '-enddate', '20200201000000Z']
    : ['-days', '3650'];
  const signer = ['-cert', `${ca}.crt`, '-keyfile', `${ca}.key`];
  openssl(folder, [
    'ca',
    '-batch',
    '-config',
    'ca.cnf',
    '-notext',
    ...signer,
    '-in',
    `${name}.csr`,
    '-out',
    `${name}.crt`,
    ...dates,
  ]);
}
