// The only file that calls C functions (through koffi). It gives sockets, polling and namespaces as thin typed functions:
// no protocol knowledge, no retries except EINTR. koffi is loaded at the first call, so that pure commands start without it.
// Sources: socket(2), recv(2), poll(2), setns(2); constants from the x86-64 and arm64 UAPI headers (identical there).

import { createRequire } from 'node:module';
import { loadNativeLibrary } from './native-library.ts';

/** A file descriptor. */
export type Fd = number;

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
export const IPPROTO_IP = 0;
export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_SCTP = 132;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_PEERCRED = 17;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const MSG_NOSIGNAL = 0x4000;
export const POLLIN = 1;
export const POLLOUT = 4;
export const CLONE_NEWNET = 0x40000000;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

export const EPERM = 1;
export const ENOENT = 2;
export const ESRCH = 3;
export const EINTR = 4;
export const ENXIO = 6;
export const EBADF = 9;
export const EAGAIN = 11;
export const EACCES = 13;
export const EFAULT = 14;
export const EBUSY = 16;
export const EEXIST = 17;
export const ENODEV = 19;
export const EINVAL = 22;
export const EOPNOTSUPP = 95;
export const EAFNOSUPPORT = 97;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENOBUFS = 105;
export const ETIMEDOUT = 110;
export const ECONNREFUSED = 111;
export const EINPROGRESS = 115;

/** What a call gave: `value` is the C return value; when it is negative, `errno` says why (else 0). */
export interface CallResult {
  readonly value: number;
  readonly errno: number;
}

/** A watcher in Node's own event loop. `close()` once, before the descriptor is closed; never `stop()` after it. */
export interface PollWatcher {
  /** Starts again after libuv stopped it (it does so when the descriptor reports an error such as ENOBUFS). */
  restart(): void;
  close(): void;
}

interface KoffiPoll {
  start(options: { readable: boolean }, callback: (status: number, events: number) => void): void;
  stop(): void;
  close(): void;
  unref(): void;
}

interface Koffi {
  load(path: string | null): { func(definition: string): (...args: unknown[]) => any };
  errno(value?: number): number;
  struct(name: string, fields: Readonly<Record<string, string>>): unknown;
  decode(pointer: unknown, type: string, length?: number): any;
  node: {
    poll(
      fd: number,
      options: { readable: boolean },
      callback: (status: number, events: number) => void,
    ): KoffiPoll;
  };
}

interface Libc {
  koffi: Koffi;
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: Fd, address: Uint8Array, length: number): number;
  connect(fd: Fd, address: Uint8Array, length: number): number;
  listen(fd: Fd, backlog: number): number;
  accept4(fd: Fd, address: Uint8Array | null, length: Uint8Array | null, flags: number): number;
  send(fd: Fd, data: Uint8Array, length: number, flags: number): number;
  sendto(
    fd: Fd,
    data: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ): number;
  recv(fd: Fd, data: Uint8Array, length: number, flags: number): number;
  recvfrom(
    fd: Fd,
    data: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: Uint8Array,
  ): number;
  setsockopt(fd: Fd, level: number, name: number, value: Uint8Array, length: number): number;
  getsockopt(fd: Fd, level: number, name: number, value: Uint8Array, length: Uint8Array): number;
  poll(fds: Uint8Array, count: number, timeoutMs: number): number;
  shutdown(fd: Fd, how: number): number;
  close(fd: Fd): number;
  setns(fd: Fd, type: number): number;
  unshare(flags: number): number;
  flock(fd: Fd, operation: number): number;
  _exit(status: number): void;
}

interface LibcNames {
  getservbyname(name: string, protocol: string): unknown;
  getservbyport(port: number, protocol: string): unknown;
  gethostbyname(name: string): unknown;
  gethostbyaddr(address: Uint8Array, length: number, family: number): unknown;
}

/** What setup/bundle.mjs puts in the place of this name; there is no such variable otherwise. */
declare const POINTSMAN_IS_RELEASE: boolean | undefined;

/** A release looks for no package: it brings its library. Throws NO_NATIVE_LIBRARY. */
function loadKoffi(): Koffi {
  if (typeof POINTSMAN_IS_RELEASE === 'boolean' && POINTSMAN_IS_RELEASE)
    return loadNativeLibrary(import.meta.url) as Koffi;
  return createRequire(import.meta.url)('koffi') as Koffi;
}

let loaded: Libc | undefined;

function libc(): Libc {
  if (loaded !== undefined) return loaded;
  const koffi = loadKoffi();
  // null resolves symbols of the running process, so neither glibc's nor musl's file name is needed.
  const c = koffi.load(null);
  loaded = {
    koffi,
    socket: c.func('int socket(int domain, int type, int protocol)'),
    bind: c.func('int bind(int fd, const void *address, unsigned int length)'),
    connect: c.func('int connect(int fd, const void *address, unsigned int length)'),
    listen: c.func('int listen(int fd, int backlog)'),
    accept4: c.func('int accept4(int fd, void *address, void *length, int flags)'),
    send: c.func('intptr_t send(int fd, const void *data, uintptr_t length, int flags)'),
    sendto: c.func(
      'intptr_t sendto(int fd, const void *data, uintptr_t length, int flags, const void *address, unsigned int addressLength)',
    ),
    recv: c.func('intptr_t recv(int fd, void *data, uintptr_t length, int flags)'),
    recvfrom: c.func(
      'intptr_t recvfrom(int fd, void *data, uintptr_t length, int flags, void *address, void *addressLength)',
    ),
    setsockopt: c.func('int setsockopt(int fd, int level, int name, const void *value, unsigned int length)'),
    getsockopt: c.func('int getsockopt(int fd, int level, int name, void *value, void *length)'),
    poll: c.func('int poll(void *fds, unsigned long count, int timeoutMs)'),
    shutdown: c.func('int shutdown(int fd, int how)'),
    close: c.func('int close(int fd)'),
    setns: c.func('int setns(int fd, int type)'),
    unshare: c.func('int unshare(int flags)'),
    flock: c.func('int flock(int fd, int operation)'),
    _exit: c.func('void _exit(int status)'),
  };
  return loaded;
}

let loadedNames: LibcNames | undefined;

/** Apart from the rest, because few commands look names up. */
function libcNames(): LibcNames {
  if (loadedNames !== undefined) return loadedNames;
  const { koffi } = libc();
  koffi.struct('servent', { s_name: 'str', s_aliases: 'void *', s_port: 'int', s_proto: 'str' });
  koffi.struct('hostent', {
    h_name: 'str',
    h_aliases: 'void *',
    h_addrtype: 'int',
    h_length: 'int',
    h_addr_list: 'void *',
  });
  const c = koffi.load(null);
  loadedNames = {
    getservbyname: c.func('servent *getservbyname(const char *name, const char *protocol)'),
    getservbyport: c.func('servent *getservbyport(int port, const char *protocol)'),
    gethostbyname: c.func('hostent *gethostbyname(const char *name)'),
    gethostbyaddr: c.func('hostent *gethostbyaddr(const void *address, unsigned int length, int family)'),
  };
  return loadedNames;
}

/** A port in network order as the int that the services functions take and give; its own inverse. */
const swapped = (port: number): number => ((port & 0xff) << 8) | (port >> 8);

/** getservbyname(3): the port, or null. */
export function getservbyname(name: string, protocol: string): number | null {
  const found = libcNames().getservbyname(name, protocol);
  return found === null ? null : swapped(libc().koffi.decode(found, 'servent').s_port as number);
}

/** getservbyport(3) for a port from 0 to 65535: the name, or null. */
export function getservbyport(port: number, protocol: string): string | null {
  const found = libcNames().getservbyport(swapped(port), protocol);
  return found === null ? null : (libc().koffi.decode(found, 'servent').s_name as string);
}

/** gethostbyname(3): the four bytes of the first IPv4 address, or null. Blocks while it resolves. */
export function gethostbyname(name: string): Uint8Array | null {
  const found = libcNames().gethostbyname(name);
  if (found === null) return null;
  const { koffi } = libc();
  const host = koffi.decode(found, 'hostent') as { h_addrtype: number; h_addr_list: unknown };
  const first = koffi.decode(host.h_addr_list, 'void *') as unknown;
  if (host.h_addrtype !== AF_INET || first === null) return null;
  return Uint8Array.from(koffi.decode(first, 'uint8_t', 4) as Uint8Array);
}

/** gethostbyaddr(3) for 4 or 16 bytes: the host's name, or null. Blocks while it resolves. */
export function gethostbyaddr(address: Uint8Array): string | null {
  const found = libcNames().gethostbyaddr(address, address.length, address.length === 4 ? AF_INET : AF_INET6);
  return found === null ? null : (libc().koffi.decode(found, 'hostent').h_name as string);
}

/**
 * Loads koffi into this thread. The main thread calls it before it starts a worker that watches descriptors: koffi closes a
 * watcher that is still open when its thread ends by a callback in its own library, which Node has unmapped by then unless
 * another thread holds it too. Without that, the end of such a worker is a segmentation fault (exit code 139).
 */
export function holdLibrary(): void {
  libc();
}

function result(c: Libc, value: number): CallResult {
  return value < 0 ? { value, errno: c.koffi.errno() } : { value, errno: 0 };
}

function retry(call: (c: Libc) => number): CallResult {
  const c = libc();
  for (;;) {
    const r = result(c, call(c));
    if (r.errno !== EINTR) return r;
  }
}

/** socket(2); the value is the new descriptor. */
export function socket(domain: number, type: number, protocol: number): CallResult {
  return retry((c) => c.socket(domain, type, protocol));
}

/** bind(2); `address` is a whole sockaddr. */
export function bind(fd: Fd, address: Uint8Array): CallResult {
  return retry((c) => c.bind(fd, address, address.length));
}

/** connect(2); `address` is a whole sockaddr. A non-blocking socket answers EINPROGRESS. */
export function connect(fd: Fd, address: Uint8Array): CallResult {
  return retry((c) => c.connect(fd, address, address.length));
}

/** listen(2). */
export function listen(fd: Fd, backlog: number): CallResult {
  return retry((c) => c.listen(fd, backlog));
}

/** accept4(2); the peer's sockaddr is written into `address` (at least 28 bytes) when given. */
export function accept4(fd: Fd, flags: number, address?: Uint8Array): CallResult {
  if (address === undefined) return retry((c) => c.accept4(fd, null, null, flags));
  const length = new Uint8Array(Uint32Array.of(address.length).buffer);
  return retry((c) => c.accept4(fd, address, length, flags));
}

/** send(2) of the first `length` bytes; the value is the number of bytes taken. */
export function send(fd: Fd, data: Uint8Array, length: number, flags = 0): CallResult {
  return retry((c) => c.send(fd, data, length, flags));
}

/** sendto(2) of all of `data`. */
export function sendto(fd: Fd, data: Uint8Array, flags: number, address: Uint8Array): CallResult {
  return retry((c) => c.sendto(fd, data, data.length, flags, address, address.length));
}

/** recv(2) into `data`; with MSG_TRUNC in `flags` the value is the datagram's real size, also when it was cut. */
export function recv(fd: Fd, data: Uint8Array, flags: number): CallResult {
  return retry((c) => c.recv(fd, data, data.length, flags));
}

/** recvfrom(2); the sender's sockaddr is written into `address`. */
export function recvfrom(fd: Fd, data: Uint8Array, flags: number, address: Uint8Array): CallResult {
  const length = new Uint8Array(Uint32Array.of(address.length).buffer);
  return retry((c) => c.recvfrom(fd, data, data.length, flags, address, length));
}

/** setsockopt(2) with an int value. */
export function setsockoptInt(fd: Fd, level: number, name: number, value: number): CallResult {
  const bytes = new Uint8Array(Int32Array.of(value).buffer);
  return retry((c) => c.setsockopt(fd, level, name, bytes, bytes.length));
}

/** getsockopt(2) of an int; `value` is the option's value when `errno` is 0. */
export function getsockoptInt(fd: Fd, level: number, name: number): CallResult {
  const value = Int32Array.of(0);
  const length = new Uint8Array(Uint32Array.of(4).buffer);
  const r = retry((c) => c.getsockopt(fd, level, name, new Uint8Array(value.buffer), length));
  return r.errno === 0 ? { value: value[0] ?? 0, errno: 0 } : r;
}

/** getsockopt(2) of a structure; the kernel reads and writes `value`. The value is the length that it says it wrote. */
export function getsockopt(fd: Fd, level: number, name: number, value: Uint8Array): CallResult {
  const length = Uint32Array.of(value.length);
  const r = retry((c) => c.getsockopt(fd, level, name, value, new Uint8Array(length.buffer)));
  return r.errno === 0 ? { value: length[0] ?? 0, errno: 0 } : r;
}

/** poll(2) of one descriptor, blocking the thread; the value is its revents (0 = time ran out). */
export function pollFd(fd: Fd, events: number, timeoutMs: number): CallResult {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, fd, true);
  view.setInt16(4, events, true);
  const r = retry((c) => c.poll(bytes, 1, timeoutMs));
  return r.value > 0 ? { value: view.getInt16(6, true), errno: 0 } : r;
}

/** Blocks the thread for so long. */
export function pause(timeoutMs: number): void {
  libc().poll(new Uint8Array(0), 0, timeoutMs);
}

/** shutdown(2). */
export function shutdown(fd: Fd, how: number): CallResult {
  return retry((c) => c.shutdown(fd, how));
}

/** close(2); never retried, because after EINTR the descriptor is gone. */
export function close(fd: Fd): CallResult {
  const c = libc();
  return result(c, c.close(fd));
}

/** setns(2): moves the calling *thread* into the namespace behind `fd`. On the main thread only as scratch-namespace.ts does it: there and back. */
export function setns(fd: Fd, type: number): CallResult {
  return retry((c) => c.setns(fd, type));
}

/** unshare(2): gives the calling *thread* new namespaces; the same holds for it. */
export function unshare(flags: number): CallResult {
  return retry((c) => c.unshare(flags));
}

/** flock(2) with LOCK_EX, and LOCK_NB to have EAGAIN instead of waiting; the lock ends with the descriptor. */
export function flock(fd: Fd, operation: number): CallResult {
  return retry((c) => c.flock(fd, operation));
}

/** _exit(2): ends the process at once, from any thread, without running anything else of it. */
export function exitAtOnce(status: number): never {
  libc()._exit(status);
  throw new Error('_exit came back');
}

/**
 * Calls `onReadable` in Node's loop whenever `fd` has something to read or an error to report; drain it until EAGAIN, then
 * call `restart()` if an error was reported. Does not keep the process alive. What `onReadable` throws goes to `onError`,
 * because an exception that leaves koffi's callback stops Node's loop.
 */
export function watchReadable(
  fd: Fd,
  onReadable: () => void,
  onError: (error: unknown) => void,
): PollWatcher {
  const onEvent = (): void => {
    try {
      onReadable();
    } catch (error) {
      onError(error);
    }
  };
  const poll = libc().koffi.node.poll(fd, { readable: true }, onEvent);
  poll.unref();
  let isOpen = true;
  return {
    restart() {
      if (isOpen) poll.start({ readable: true }, onEvent);
    },
    close() {
      if (isOpen) poll.close();
      isOpen = false;
    },
  };
}

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  3: 'ESRCH',
  4: 'EINTR',
  5: 'EIO',
  6: 'ENXIO',
  7: 'E2BIG',
  9: 'EBADF',
  11: 'EAGAIN',
  12: 'ENOMEM',
  13: 'EACCES',
  14: 'EFAULT',
  16: 'EBUSY',
  17: 'EEXIST',
  19: 'ENODEV',
  20: 'ENOTDIR',
  22: 'EINVAL',
  23: 'ENFILE',
  24: 'EMFILE',
  28: 'ENOSPC',
  32: 'EPIPE',
  33: 'EDOM',
  34: 'ERANGE',
  71: 'EPROTO',
  74: 'EBADMSG',
  75: 'EOVERFLOW',
  88: 'ENOTSOCK',
  90: 'EMSGSIZE',
  92: 'ENOPROTOOPT',
  93: 'EPROTONOSUPPORT',
  95: 'EOPNOTSUPP',
  97: 'EAFNOSUPPORT',
  98: 'EADDRINUSE',
  99: 'EADDRNOTAVAIL',
  100: 'ENETDOWN',
  101: 'ENETUNREACH',
  103: 'ECONNABORTED',
  104: 'ECONNRESET',
  105: 'ENOBUFS',
  107: 'ENOTCONN',
  110: 'ETIMEDOUT',
  111: 'ECONNREFUSED',
  113: 'EHOSTUNREACH',
  115: 'EINPROGRESS',
  132: 'ERFKILL',
};

/** The name of a positive errno ("EEXIST"), or "errno N" for one without a name here. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES[errno] ?? `errno ${errno}`;
}
