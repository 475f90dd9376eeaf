// What moves netlink bytes: the interface, and the kernel's socket behind it. No protocol beyond the socket's own options.
// Source: netlink(7).

import { PointsmanError } from '../model/errors.ts';
import * as libc from './libc.ts';
import type { MessageHeader } from './wire.ts';

const SOL_NETLINK = 270;
const NETLINK_EXT_ACK = 11;
const NETLINK_CAP_ACK = 10;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_GET_STRICT_CHK = 12;
const NETLINK_ROUTE = 0;
const SOCKADDR_NL_BYTES = 12;
/** Both directions; the kernel doubles it for its own bookkeeping. */
const SOCKET_BUFFER_BYTES = 4 << 20;
/** Message type by which the kernel says that it lost some. */
export const NLMSG_OVERRUN = 4;
/** Room for one datagram: the kernel never builds larger ones (32 KiB for dumps), and MSG_TRUNC tells if it did. */
export const RECEIVE_BYTES = 65536;

/** A decoder's view of one data message. */
export interface DataMessage {
  readonly bytes: Uint8Array;
  readonly header: MessageHeader;
}

/** What moves bytes: the kernel's socket, or in tests a stateful fake. All calls return at once but `wait`. */
export interface NetlinkTransport {
  /** Sends the first `length` bytes; 0 or a positive errno. */
  send(bytes: Uint8Array, length: number): number;
  /** One datagram into `buffer`: its real size (also when larger than the buffer), or a negative errno (-11: nothing there). */
  receive(buffer: Uint8Array): number;
  /** Port of the sender of the datagram received last; 0 is the kernel. */
  readonly senderPort: number;
  /** Blocks until something is there to receive; false when `timeoutMs` passed. */
  wait(timeoutMs: number): boolean;
  /**
   * Forgets everything in flight, as a new socket in the thread's present network namespace: the kernel drops an unfinished dump
   * with its socket, and only so. Throws KERNEL_REFUSED when no socket is to be had; later calls then answer EBADF.
   */
  reopen(): void;
  close(): void;
}

/** A descriptor bound and joined as `openTransport` says. */
function openSocket(protocol: number, groups: readonly number[]): libc.Fd {
  const opened = libc.socket(
    libc.AF_NETLINK,
    libc.SOCK_RAW | libc.SOCK_CLOEXEC | libc.SOCK_NONBLOCK,
    protocol,
  );
  if (opened.errno !== 0) {
    const name = libc.errnoName(opened.errno);
    throw new PointsmanError(
      'KERNEL_REFUSED',
      `cannot open a netlink socket of protocol ${protocol}: ${name}`,
      { protocol },
    );
  }
  const fd = opened.value;
  const address = new Uint8Array(SOCKADDR_NL_BYTES);
  new DataView(address.buffer).setUint16(0, libc.AF_NETLINK, true);
  libc.bind(fd, address);
  for (const [force, plain] of [
    [libc.SO_SNDBUFFORCE, libc.SO_SNDBUF],
    [libc.SO_RCVBUFFORCE, libc.SO_RCVBUF],
  ] as const) {
    // FORCE needs CAP_NET_ADMIN; without it the plain option gives what net.core.*mem_max allows.
    if (libc.setsockoptInt(fd, libc.SOL_SOCKET, force, SOCKET_BUFFER_BYTES).errno !== 0) {
      libc.setsockoptInt(fd, libc.SOL_SOCKET, plain, SOCKET_BUFFER_BYTES);
    }
  }
  // These options only make answers better; kernels without them are served without.
  libc.setsockoptInt(fd, SOL_NETLINK, NETLINK_CAP_ACK, 1);
  libc.setsockoptInt(fd, SOL_NETLINK, NETLINK_EXT_ACK, 1);
  // Dumps of rtnetlink heed a link or a table in their request only so.
  if (protocol === NETLINK_ROUTE) libc.setsockoptInt(fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1);
  for (const group of groups) {
    const joined = libc.setsockoptInt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    if (joined.errno !== 0) {
      libc.close(fd);
      throw new PointsmanError(
        'KERNEL_REFUSED',
        `cannot join netlink group ${group}: ${libc.errnoName(joined.errno)}`,
        { group },
      );
    }
  }
  return fd;
}

/** A transport on a real socket. Throws KERNEL_REFUSED when the kernel has no such protocol. */
export function openTransport(
  protocol: number,
  groups: readonly number[] = [],
): NetlinkTransport & { readonly fd: number } {
  let fd = openSocket(protocol, groups);
  const sender = new Uint8Array(SOCKADDR_NL_BYTES);
  const senderView = new DataView(sender.buffer);
  const close = (): void => {
    if (fd >= 0) libc.close(fd);
    // -1 makes every later call answer EBADF instead of touching somebody else's descriptor.
    fd = -1;
  };
  return {
    get fd() {
      return fd;
    },
    send: (bytes, length) => libc.send(fd, bytes, length).errno,
    receive(buffer) {
      const got = libc.recvfrom(fd, buffer, libc.MSG_TRUNC | libc.MSG_DONTWAIT, sender);
      return got.errno !== 0 ? -got.errno : got.value;
    },
    get senderPort() {
      return senderView.getUint32(4, true);
    },
    wait: (timeoutMs) => libc.pollFd(fd, libc.POLLIN, timeoutMs).value !== 0,
    reopen() {
      close();
      fd = openSocket(protocol, groups);
    },
    close,
  };
}
