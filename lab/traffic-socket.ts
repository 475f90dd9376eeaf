// Makes the lab's sockets: non-blocking, of any of the three protocols, in the namespace the thread is in.
// It opens, binds and watches; what is said on a socket is not its matter. Sources: socket(7), ipv6(7), sctp(7).

import {
  AF_INET6,
  IPPROTO_SCTP,
  IPPROTO_TCP,
  IPPROTO_UDP,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  SO_REUSEADDR,
  bind,
  close,
  errnoName,
  setsockoptInt,
  socket,
  watchReadable,
  type Fd,
  type PollWatcher,
} from '../src/kernel/libc.ts';
import { addressFamily, encodeSocketAddress } from './socket-address.ts';
import type { Protocol } from './traffic-messages.ts';

// linux/in.h, linux/in6.h
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;

const PROTOCOL_NUMBERS = { TCP: IPPROTO_TCP, UDP: IPPROTO_UDP, SCTP: IPPROTO_SCTP } as const;

/** A failed socket call; `errno` is the name ('EADDRINUSE'). */
export class SocketError extends Error {
  readonly errno: string;

  constructor(call: string, errno: number) {
    super(`${call}: ${errnoName(errno)}`);
    this.name = 'SocketError';
    this.errno = errnoName(errno);
  }
}

/** Where a socket is bound to; port 0 lets the kernel choose. */
export interface BindTo {
  readonly address: string;
  readonly port: number;
}

/**
 * A socket of the family of `address` (IPv6 ones never take IPv4), bound when `bindTo` is given. The caller closes it.
 * Throws SocketError.
 */
export function openSocket(protocol: Protocol, address: string, bindTo?: BindTo): Fd {
  const family = addressFamily(address);
  const kind = (protocol === 'UDP' ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const opened = socket(family, kind, PROTOCOL_NUMBERS[protocol]);
  if (opened.errno !== 0) throw new SocketError(`${protocol} socket`, opened.errno);
  const fd = opened.value;
  try {
    if (family === AF_INET6) check('IPV6_V6ONLY', setsockoptInt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1).errno);
    if (bindTo !== undefined) {
      check('SO_REUSEADDR', setsockoptInt(fd, SOL_SOCKET, SO_REUSEADDR, 1).errno);
      check(
        `bind ${bindTo.address} port ${bindTo.port}`,
        bind(fd, encodeSocketAddress(bindTo.address, bindTo.port)).errno,
      );
    }
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

/** Throws a SocketError for an errno other than 0. */
export function check(call: string, errno: number): void {
  if (errno !== 0) throw new SocketError(call, errno);
}

/** A descriptor in the loop that is closed together with its watcher, in the order that koffi needs. */
export class WatchedSocket {
  readonly fd: Fd;
  readonly #watcher: PollWatcher;
  #isOpen = true;

  /** Takes over `fd`. An exception out of `onReadable` ends the worker, where the main thread sees it. */
  constructor(fd: Fd, onReadable: () => void) {
    this.fd = fd;
    this.#watcher = watchReadable(fd, onReadable, (error) => {
      setImmediate(() => {
        throw error;
      });
    });
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  /** Watches on after the descriptor reported an error and the error was read. */
  restart(): void {
    if (this.#isOpen) this.#watcher.restart();
  }

  /** Closes both; again does nothing. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#watcher.close();
    close(this.fd);
  }
}
