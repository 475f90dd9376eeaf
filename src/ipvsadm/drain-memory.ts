// Remembers the weights that servers had before they were drained, because the kernel holds only one: a small file under /run, so that
// `undrain` can give them back. It is a cache: whatever is wrong with it is said and costs nothing but the weight. Changes are made
// under a lock and by rename, so that several drains at once and a reader never meet half a file.

import {
  closeSync,
  constants,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { formatEndpoint, formatServiceKey } from '../kernel/ipvs-codec.ts';
import { LOCK_EX, LOCK_NB, flock } from '../kernel/libc.ts';
import { errorLine } from '../model/errors.ts';
import { formatDrains, MAX_DRAINS_BYTES, parseDrains, type DrainEntry } from './drain-entries.ts';
import type { SelectedServer } from './server-selection.ts';

/** A server by formatServiceKey and formatEndpoint. */
export interface DrainedServer {
  readonly service: string;
  readonly server: string;
}

/** The names by which a server that was found is remembered. */
export function drainedServerOf({
  service,
  server,
}: Pick<SelectedServer, 'service' | 'server'>): DrainedServer {
  return { service: formatServiceKey(service), server: formatEndpoint(server.address, server.port) };
}

export interface DrainMemory {
  /** The weights of this network namespace; `note` says in one line why there may be fewer than there were, else null. */
  read(): { readonly weightOf: (server: DrainedServer) => number | null; readonly note: string | null };
  /** Adds or replaces `put`, and drops `forget`; resolves to a line that says why it could not, or null. */
  change(
    put: readonly (DrainedServer & { readonly weight: number })[],
    forget: readonly DrainedServer[],
  ): Promise<string | null>;
}

/** Where the weights are remembered. */
export const DRAINS_FILE = '/run/pointsman/ipvsadm-drains.json';

const LOCK_TRIES = 200;
const LOCK_PAUSE_MS = 10;
const BOOT_ID = '/proc/sys/kernel/random/boot_id';
/** The thread's: it may be in another one than the process. */
const NETNS = '/proc/thread-self/ns/net';
const GROUP_OR_OTHERS_WRITE = 0o022;

/** The memory in the file `path`; `wait` as in IpvsadmIo. */
export function drainMemoryFile(
  wait: (ms: number) => Promise<void>,
  path: string = DRAINS_FILE,
): DrainMemory {
  return {
    read: () => {
      const { entries, note } = load(path);
      const netns = currentNetns();
      const weights = new Map(
        entries.filter((each) => each.netns === netns).map((each) => [idOf(each), each.weight]),
      );
      return { weightOf: (server) => weights.get(idOf(server)) ?? null, note };
    },
    change: async (put, forget) => {
      if (put.length === 0 && forget.length === 0) return null;
      try {
        mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
        return await underLock(`${path}.lock`, wait, () => replace(path, put, forget));
      } catch (error) {
        return `${path} cannot be written (${errorLine(error)})`;
      }
    },
  };
}

const idOf = ({ service, server }: DrainedServer): string => `${service} -> ${server}`;

function replace(
  path: string,
  put: readonly (DrainedServer & { readonly weight: number })[],
  forget: readonly DrainedServer[],
): string | null {
  const { entries, note } = load(path);
  const netns = currentNetns();
  const changed = new Set([...put, ...forget].map(idOf));
  const kept = entries.filter((each) => each.netns !== netns || !changed.has(idOf(each)));
  const added = put.map(({ service, server, weight }) => ({ netns, service, server, weight }));
  const fresh = `${path}.new`;
  // The name is free for who holds the lock; a killed writer may have left something there.
  rmSync(fresh, { force: true });
  writeFileSync(fresh, formatDrains(currentBootId(), [...kept, ...added]), { flag: 'wx', mode: 0o600 });
  renameSync(fresh, path);
  return note;
}

function load(path: string): { readonly entries: readonly DrainEntry[]; readonly note: string | null } {
  const nothing = (why: string): ReturnType<typeof load> => ({
    entries: [],
    note: `${path} is left aside: ${why}`,
  });
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { entries: [], note: null };
    return nothing(errorLine(error));
  }
  try {
    const { size, uid, mode } = fstatSync(fd);
    if ((mode & constants.S_IFMT) !== constants.S_IFREG) return nothing('it is no regular file');
    if (uid !== process.geteuid?.() || (mode & GROUP_OR_OTHERS_WRITE) !== 0)
      return nothing('others can write it');
    if (size > MAX_DRAINS_BYTES) return nothing(`it is larger than ${MAX_DRAINS_BYTES} bytes`);
    const entries = parseDrains(readFileSync(fd, 'utf8'), currentBootId());
    return entries === null ? nothing('it is not what drain writes') : { entries, note: null };
  } catch (error) {
    return nothing(errorLine(error));
  } finally {
    closeSync(fd);
  }
}

/** The kernel takes the lock away with the process. */
async function underLock<T>(path: string, wait: (ms: number) => Promise<void>, run: () => T): Promise<T> {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
  try {
    for (let tries = 0; flock(fd, LOCK_EX | LOCK_NB).errno !== 0; tries++) {
      if (tries >= LOCK_TRIES) throw new Error(`somebody holds ${path}`);
      await wait(LOCK_PAUSE_MS);
    }
    return run();
  } finally {
    closeSync(fd);
  }
}

function currentBootId(): string {
  return readFileSync(BOOT_ID, 'ascii').trim();
}

function currentNetns(): number {
  return statSync(NETNS).ino;
}
