// Finds a kube-proxy that is alive in our network namespace: two proxies undo each other's work. Looks only; the caller decides.
// A process is known by its name in /proc, one without such a process (another container, k3s) by what kube-proxy's metrics port answers.

import { readdir, readFile, readlink } from 'node:fs/promises';
import { request } from 'node:http';
import { basename, join } from 'node:path';
import type { SocketAddress } from '../config/config.ts';
import { formatEndpoint } from '../model/endpoints.ts';
import { PointsmanError } from '../model/errors.ts';
import type { IpAddress } from '../model/ip.ts';

const NAME = 'kube-proxy';
/** What src/cli/main.ts names its process, whatever it was called. */
const OWN_COMM = 'pointsman';
const MODES: ReadonlySet<string> = new Set(['ipvs', 'iptables', 'nftables', 'userspace']);
const ASK_TIMEOUT_MS = 500;
const MAX_ANSWER_BYTES = 64;

/** A kube-proxy that runs beside us. */
export interface Rival {
  /** Null when only its port is known. */
  readonly pid: number | null;
  /** Null when it does not say. */
  readonly mode: string | null;
  /** "/proc", or the URL that it answered. */
  readonly foundBy: string;
}

export interface RivalOptions {
  /** kube-proxy's metrics address; a wildcard means loopback. */
  readonly metricsAddress: SocketAddress;
  /** Default /proc. */
  readonly procFolder?: string;
  readonly ownPid?: number;
}

/** Resolves with the first one found, or null. Never rejects: what cannot be read or does not answer in 500 ms is not there. */
export async function findRival(options: RivalOptions): Promise<Rival | null> {
  const { procFolder = '/proc', ownPid = process.pid, metricsAddress } = options;
  const pid = await findProcess(procFolder, ownPid);
  const url = `http://${loopbackOf(metricsAddress)}/proxyMode`;
  const mode = await askMode(url);
  if (pid !== null) return { pid, mode, foundBy: '/proc' };
  return mode === null ? null : { pid: null, mode, foundBy: url };
}

/** "kube-proxy runs here (process 4242, mode ipvs, found by /proc)". */
export function describeRival({ pid, mode, foundBy }: Rival): string {
  const facts = [
    pid === null ? [] : `process ${pid}`,
    mode === null ? 'its mode is not known' : `mode ${mode}`,
    `found by ${foundBy}`,
  ].flat();
  return `kube-proxy runs in this network namespace (${facts.join(', ')})`;
}

/** RIVAL_PROXY: what was found and what to do. */
export function rivalError(rival: Rival): PointsmanError {
  return new PointsmanError(
    'RIVAL_PROXY',
    `${describeRival(rival)}, and the two would undo each other's work; stop it ("systemctl stop kube-proxy", or "kubectl -n kube-system edit daemonset kube-proxy" so that it leaves this node), or give --force`,
    { ...rival },
  );
}

async function findProcess(procFolder: string, ownPid: number): Promise<number | null> {
  const own = await namespaceOf(procFolder, ownPid);
  const names = await readdir(procFolder).catch(() => []);
  for (const name of names) {
    if (!/^[1-9]\d*$/.test(name) || Number(name) === ownPid) continue;
    const folder = join(procFolder, name);
    // Where namespaces cannot be read, the port must tell: a kube-proxy of another node of kind is none of our business.
    if ((await isKubeProxy(folder)) && own !== null && (await namespaceOf(procFolder, Number(name))) === own)
      return Number(name);
  }
  return null;
}

async function isKubeProxy(folder: string): Promise<boolean> {
  const read = (file: string): Promise<string> => readFile(join(folder, file), 'utf8').catch(() => '');
  const [command = '', ...words] = (await read('cmdline')).split('\0');
  // No command line: a kernel thread, or a process that has ended and waits for its parent.
  if (command === '') return false;
  const comm = (await read('comm')).trim();
  // We, under that name: another agent is the lock's business, and one that has let go of it may be ending still.
  if (comm === OWN_COMM) return false;
  if (basename(command) === NAME) return true;
  if (comm !== NAME) return false;
  // A script of that name, such as bin/pointsman under a link: what it starts is found by itself.
  return !words.slice(0, 2).some((word) => basename(word) === NAME);
}

function namespaceOf(procFolder: string, pid: number): Promise<string | null> {
  return readlink(join(procFolder, String(pid), 'ns', 'net')).catch(() => null);
}

function loopbackOf({ address, port }: SocketAddress): string {
  const host = address === '0.0.0.0' ? '127.0.0.1' : address === '::' ? '::1' : address;
  return formatEndpoint(host as IpAddress, port);
}

/** What /proxyMode answers, when it is a mode and no Pointsman says it. */
function askMode(url: string): Promise<string | null> {
  return new Promise((resolve) => {
    const outgoing = request(
      url,
      { agent: false, signal: AbortSignal.timeout(ASK_TIMEOUT_MS) },
      (response) => {
        const isOther = response.statusCode === 200 && !/^pointsman\b/i.test(String(response.headers.server));
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
          if (!isOther || text.length > MAX_ANSWER_BYTES) outgoing.destroy();
        });
        response.on('close', () => {
          const mode = text.trim();
          resolve(isOther && response.complete && MODES.has(mode) ? mode : null);
        });
        response.on('error', () => {});
      },
    );
    outgoing.on('error', () => resolve(null));
    outgoing.end();
  });
}
