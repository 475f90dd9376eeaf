// Synchronous IPVS commands and loopback TCP sockets for probes in a scratch namespace (kernel/scratch-namespace.ts), where nothing may
// be awaited. All waiting is bounded. Not for the node's own table: that is kernel/ipvs.ts. Sources: tcp(7), ip(7), include/uapi/linux/ip_vs.h.

import { PointsmanError } from '../../model/errors.ts';
import { encodeIp, parseIp, type IpAddress } from '../../model/ip.ts';
import { NETLINK_GENERIC, resolveFamily } from '../../kernel/genetlink.ts';
import { encodeOperation, formatOperationObject, type IpvsOperation } from '../../kernel/ipvs.ts';
import { explainErrno } from '../../kernel/ipvs-errors.ts';
import {
  fullNetmask,
  PROTOCOL_NUMBER,
  type IpvsDestination,
  type IpvsService,
} from '../../kernel/ipvs-codec.ts';
import * as libc from '../../kernel/libc.ts';
import { kernelError, NetlinkSocket } from '../../kernel/netlink.ts';
import { openTransport } from '../../kernel/netlink-transport.ts';

const TCP_NODELAY = 1;
const BACKLOG = 8;
/** Longer than any handshake on loopback takes on a busy machine, shorter than TCP's first retransmission of a SYN (1 s). */
const HANDSHAKE_MS = 300;
const PAUSE_MS = 5;

/** An IPVS table in this thread's namespace. */
export class ScratchIpvs {
  private readonly socket: NetlinkSocket;
  private readonly familyId: number;

  /** Throws MISSING_MODULE when the kernel has no IPVS. `timeoutMs`: the longest wait for an answer. */
  constructor(timeoutMs: number) {
    this.socket = new NetlinkSocket(openTransport(NETLINK_GENERIC), { timeoutMs });
    try {
      const familyId = resolveFamily(this.socket, 'IPVS');
      if (familyId === null)
        throw new PointsmanError('MISSING_MODULE', 'this kernel has no IPVS; load it with "modprobe ip_vs"', {
          module: 'ip_vs',
        });
      this.familyId = familyId;
    } catch (error) {
      this.socket.close();
      throw error;
    }
  }

  close(): void {
    this.socket.close();
  }

  /** One command. Throws KernelError when it is refused. */
  apply(operation: IpvsOperation): void {
    encodeOperation(this.socket.begin(this.familyId, 0), operation);
    this.socket.end();
    const [failure] = this.socket.flush();
    if (failure === undefined) return;
    const names = operation.op === 'NEW_SERVICE' ? { scheduler: operation.service.scheduler } : {};
    throw kernelError(
      operation.op,
      formatOperationObject(operation),
      failure,
      explainErrno(operation.op, failure.errno, names),
    );
  }
}

/** A loopback address: 127.0.0.N. */
export function loopback(lastOctet: number): IpAddress {
  const address = parseIp(`127.0.0.${lastOctet}`);
  if (address === null) throw new Error(`no octet: ${lastOctet}`);
  return address;
}

/** A virtual server for TCP. */
export function virtualServer(address: IpAddress, port: number, scheduler = 'rr'): IpvsService {
  return {
    family: 'IPv4',
    protocol: PROTOCOL_NUMBER.TCP,
    address,
    port,
    scheduler,
    flags: 0,
    timeoutSeconds: 0,
    netmask: fullNetmask('IPv4'),
  };
}

/** A masqueraded real server. */
export function realServer(address: IpAddress, port: number, weight = 1): IpvsDestination {
  return { address, port, forwarding: 'masquerade', weight, upperThreshold: 0, lowerThreshold: 0 };
}

/** TCP sockets of one probe: opened by name of what they do, closed all together. Every failure is a KernelError. */
export class ScratchSockets {
  private readonly open = new Set<libc.Fd>();

  close(fd: libc.Fd): void {
    if (this.open.delete(fd)) libc.close(fd);
  }

  closeAll(): void {
    for (const fd of [...this.open]) this.close(fd);
  }

  listen(address: IpAddress, port: number): libc.Fd {
    const fd = this.bound(address, port);
    check('listen', `${address}:${port}`, libc.listen(fd, BACKLOG));
    return fd;
  }

  /** 'silent' when nothing came within HANDSHAKE_MS. Throws KernelError when the kernel answered otherwise (ECONNREFUSED). */
  connect(from: IpAddress, fromPort: number, to: IpAddress, toPort: number): libc.Fd | 'silent' {
    const fd = this.bound(from, fromPort);
    const what = `${from}:${fromPort} to ${to}:${toPort}`;
    const started = this.start(fd, socketAddress(to, toPort));
    if (started.errno !== libc.EINPROGRESS) check('connect', what, started);
    if (check('poll', what, libc.pollFd(fd, libc.POLLOUT, HANDSHAKE_MS)) === 0) return 'silent';
    const error = check('getsockopt', what, libc.getsockoptInt(fd, libc.SOL_SOCKET, libc.SO_ERROR));
    check('connect', what, { value: error === 0 ? 0 : -1, errno: error });
    return fd;
  }

  /** An earlier connection of the same addresses and ports may be about to end: until it has, the kernel says EADDRNOTAVAIL. */
  private start(fd: libc.Fd, to: Uint8Array): libc.CallResult {
    const deadline = performance.now() + HANDSHAKE_MS;
    for (;;) {
      const started = libc.connect(fd, to);
      if (started.errno !== libc.EADDRNOTAVAIL || performance.now() >= deadline) return started;
      libc.pause(PAUSE_MS);
    }
  }

  /** The next connection that a listener got, or null when there is none within `timeoutMs`. */
  accept(listener: libc.Fd, timeoutMs: number): libc.Fd | null {
    if (check('poll', 'listener', libc.pollFd(listener, libc.POLLIN, timeoutMs)) === 0) return null;
    const fd = check('accept', '', libc.accept4(listener, libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC));
    this.open.add(fd);
    return fd;
  }

  /** Sends one byte, at once. The value is the errno, 0 when it was taken. */
  sendByte(fd: libc.Fd): number {
    return libc.send(fd, Uint8Array.of(1), 1, libc.MSG_NOSIGNAL | libc.MSG_DONTWAIT).errno;
  }

  /** Waits for the other side's end: 'closed' in order, the errno of a broken connection (ECONNRESET), or 'silent'. */
  waitForEnd(fd: libc.Fd, timeoutMs: number): 'closed' | 'silent' | number {
    if (check('poll', 'connection', libc.pollFd(fd, libc.POLLIN, timeoutMs)) === 0) return 'silent';
    const got = libc.recv(fd, new Uint8Array(16), libc.MSG_DONTWAIT);
    if (got.errno === libc.EAGAIN) return 'silent';
    if (got.errno !== 0) return got.errno;
    return got.value === 0 ? 'closed' : 'silent';
  }

  private bound(address: IpAddress, port: number): libc.Fd {
    const what = `${address}:${port}`;
    const kind = libc.SOCK_STREAM | libc.SOCK_NONBLOCK | libc.SOCK_CLOEXEC;
    const fd = check('socket', what, libc.socket(libc.AF_INET, kind, libc.IPPROTO_TCP));
    this.open.add(fd);
    check('setsockopt', what, libc.setsockoptInt(fd, libc.SOL_SOCKET, libc.SO_REUSEADDR, 1));
    check('setsockopt', what, libc.setsockoptInt(fd, libc.IPPROTO_TCP, TCP_NODELAY, 1));
    check('bind', what, libc.bind(fd, socketAddress(address, port)));
    return fd;
  }
}

/** struct sockaddr_in; the port in network order. */
function socketAddress(address: IpAddress, port: number): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, libc.AF_INET, true);
  view.setUint16(2, port, false);
  encodeIp(address, bytes, 4);
  return bytes;
}

function check(call: string, object: string, { value, errno }: libc.CallResult): number {
  if (errno !== 0) throw kernelError(call, object, { index: 0, errno, text: '' });
  return value;
}
