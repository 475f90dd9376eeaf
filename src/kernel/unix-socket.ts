// Unix sockets: who is at the other end of one, and abstract names, which belong to one process of a network namespace at a time, need
// no disk and are free again when the process ends, however it ends. Each type of socket has names of its own; these are of streams.
// No policy. Sources: unix(7), socket(7).

import { KernelError } from '../model/errors.ts';
import * as libc from './libc.ts';

/** Of the process that connected, or that listens where one connected to; ids as this process's namespaces see them. */
export interface PeerCredentials {
  /** 0 when the process is in another pid namespace. */
  readonly pid: number;
  /** 65534 (usually) for a user that this user namespace does not know. */
  readonly uid: number;
  readonly gid: number;
}

/** An abstract name that this process has. */
export interface HeldName {
  /** Lets go of whoever asked who holds the name: each stays in a queue that has an end. Call it now and then. */
  dismissVisitors(): void;
  /** Frees the name; once. */
  release(): void;
}

/** struct ucred: pid, uid and gid, 32 bits each. */
const UCRED_BYTES = 12;
/** sun_path without the leading NUL. */
const MAX_NAME_BYTES = 107;
/** The kernel cuts it to net.core.somaxconn. */
const VISITORS = 4096;

/** SO_PEERCRED of a connected unix socket; null when it is none, or not connected. */
export function peerCredentials(fd: libc.Fd): PeerCredentials | null {
  const bytes = new Uint8Array(UCRED_BYTES);
  const { value, errno } = libc.getsockopt(fd, libc.SOL_SOCKET, libc.SO_PEERCRED, bytes);
  if (errno !== 0 || value !== UCRED_BYTES) return null;
  const view = new DataView(bytes.buffer);
  // A socket that nobody is connected to says pid 0 and uid -1.
  if (view.getInt32(4, true) === -1) return null;
  return { pid: view.getInt32(0, true), uid: view.getUint32(4, true), gid: view.getUint32(8, true) };
}

/** Takes an abstract name of this thread's network namespace; null when somebody has it. Throws KERNEL_REFUSED for everything else. */
export function takeAbstractName(name: string): HeldName | null {
  const fd = openSocket(name);
  const { errno } = libc.bind(fd, abstractAddress(name));
  if (errno === libc.EADDRINUSE) {
    libc.close(fd);
    return null;
  }
  // Who connects learns by SO_PEERCRED who holds the name, without any doing of ours.
  const refused = errno === 0 ? libc.listen(fd, VISITORS).errno : errno;
  if (refused !== 0) {
    libc.close(fd);
    throw new KernelError('bind', `@${name}`, refused, libc.errnoName(refused));
  }
  return {
    dismissVisitors() {
      for (let i = 0; i < VISITORS; i++) {
        const visitor = libc.accept4(fd, libc.SOCK_CLOEXEC);
        if (visitor.errno !== 0) return;
        libc.close(visitor.value);
      }
    },
    release: () => void libc.close(fd),
  };
}

/**
 * Who listens at an abstract name. Null when nobody has it (any more), or when that cannot be found out: the holder does not listen, or its
 * queue is full.
 */
export function abstractNameHolder(name: string): PeerCredentials | null {
  const fd = openSocket(name);
  const isConnected = libc.connect(fd, abstractAddress(name)).errno === 0;
  const holder = isConnected ? peerCredentials(fd) : null;
  libc.close(fd);
  return holder;
}

function openSocket(name: string): libc.Fd {
  const type = libc.SOCK_STREAM | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK;
  const { value, errno } = libc.socket(libc.AF_UNIX, type, 0);
  if (errno !== 0) throw new KernelError('socket', `@${name}`, errno, libc.errnoName(errno));
  return value;
}

/** sockaddr_un: the family, a NUL, the name; its length ends the name. */
function abstractAddress(name: string): Uint8Array {
  const text = new TextEncoder().encode(name);
  if (text.length === 0 || text.length > MAX_NAME_BYTES)
    throw new Error(`no abstract name: ${JSON.stringify(name)}`);
  const address = new Uint8Array(3 + text.length);
  address[0] = libc.AF_UNIX;
  address.set(text, 3);
  return address;
}
