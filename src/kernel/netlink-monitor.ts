// Notifications of the kernel: a socket that joined multicast groups, drained whenever something is there.

import { PointsmanError } from '../model/errors.ts';
import * as libc from './libc.ts';
import {
  NLMSG_OVERRUN,
  openTransport,
  RECEIVE_BYTES,
  type DataMessage,
  type NetlinkTransport,
} from './netlink-transport.ts';
import { visitMessages } from './wire.ts';

/** Datagrams taken per turn of Node's loop: a storm of events must not starve it; poll reports again what is left. */
const DATAGRAMS_PER_DRAIN = 64;

/** More than a receive queue holds; a queue that is still not empty then is being filled as fast as it is emptied. */
const MAX_DISCARDED_DATAGRAMS = 100_000;

/**
 * Empties the queue. After an overrun the kernel drops notifications without another word until the queue was empty once, so a
 * listener that reads the state before that would miss what changes next.
 */
function discardAll(transport: NetlinkTransport, buffer: Uint8Array): void {
  for (let i = 0; i < MAX_DISCARDED_DATAGRAMS; i++) {
    const length = transport.receive(buffer);
    if (length < 0 && length !== -libc.ENOBUFS) return;
  }
}

/**
 * Hands over the notifications that wait in `transport`, at most 64 datagrams. `onLost` is called for each sign that some were
 * lost (ENOBUFS, truncation, broken bytes, a PointsmanError of `onMessage`); with isStopped=true when libuv stopped watching the
 * descriptor because of an error on it. After an overrun what still waits is thrown away first, so that what `onLost` reads is newer.
 * Senders other than the kernel are passed over.
 */
export function drainNotifications(
  transport: NetlinkTransport,
  buffer: Uint8Array,
  onMessage: (message: DataMessage) => void,
  onLost: (why: string, isStopped: boolean) => void,
): void {
  for (let i = 0; i < DATAGRAMS_PER_DRAIN; i++) {
    const length = transport.receive(buffer);
    if (length === -libc.EAGAIN) return;
    if (length < 0) {
      if (length === -libc.ENOBUFS) discardAll(transport, buffer);
      onLost(libc.errnoName(-length), true);
      return;
    }
    if (transport.senderPort !== 0) continue;
    if (length > buffer.length) {
      onLost('truncated', false);
      continue;
    }
    try {
      visitMessages(buffer, length, (header) => {
        if (header.type === NLMSG_OVERRUN) onLost('NLMSG_OVERRUN', false);
        else if (header.type > NLMSG_OVERRUN) onMessage({ bytes: buffer, header });
      });
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      onLost(error.message, false);
    }
  }
}

/** A socket that joined multicast groups and hands over each notification. */
export class NetlinkMonitor {
  private readonly transport: NetlinkTransport & { readonly fd: number };
  private readonly watcher: libc.PollWatcher;

  /**
   * `onMessage` sees each notification; `onLost` is called when some were lost (ENOBUFS, truncation, broken bytes): the listener
   * must then read the whole state again. What else the listeners throw is a programmer error and ends the process.
   */
  constructor(
    protocol: number,
    groups: readonly number[],
    onMessage: (message: DataMessage) => void,
    onLost: (why: string) => void,
  ) {
    this.transport = openTransport(protocol, groups);
    const buffer = new Uint8Array(RECEIVE_BYTES);
    this.watcher = libc.watchReadable(
      this.transport.fd,
      () =>
        drainNotifications(this.transport, buffer, onMessage, (why, isStopped) => {
          if (isStopped) this.watcher.restart();
          onLost(why);
        }),
      (error) => {
        // An exception may not leave koffi's callback (it would wedge Node's loop), so it is thrown in the next turn.
        setImmediate(() => {
          throw error;
        });
      },
    );
  }

  close(): void {
    this.watcher.close();
    this.transport.close();
  }
}
