// The IPVS client: every command of the kernel's generic netlink family, without a child process.
// Writes go in batches with one acknowledgement each; reads are single requests or dumps on a socket of their own.
// Never flush and rebuild: deleted destinations linger for two minutes and make adding quadratic. Newly added destinations come
// first in the kernel's list. Source: include/uapi/linux/ip_vs.h, net/netfilter/ipvs/ip_vs_ctl.c (behaviour measured, ADR 0002).

import { type KernelError, PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import { NETLINK_GENERIC, resolveFamily } from './genetlink.ts';
import * as codec from './ipvs-codec.ts';
import * as daemonCodec from './ipvs-daemon-codec.ts';
import {
  IPVS_CMD,
  type DestinationKey,
  type IpvsDestination,
  type IpvsService,
  type ServiceKey,
} from './ipvs-codec.ts';
import { explainErrno, type RefusedNames } from './ipvs-errors.ts';
import { EINTR, ESRCH } from './libc.ts';
import { kernelError, NetlinkSocket, nextTurn, type BatchFailure } from './netlink.ts';
import { openTransport, type DataMessage, type NetlinkTransport } from './netlink-transport.ts';
import type { MessageWriter } from './wire.ts';

/** One change of IPVS state. */
export type IpvsOperation =
  | { readonly op: 'NEW_SERVICE' | 'SET_SERVICE'; readonly service: IpvsService }
  | { readonly op: 'DEL_SERVICE'; readonly service: ServiceKey }
  | {
      readonly op: 'NEW_DEST' | 'SET_DEST';
      readonly service: ServiceKey;
      readonly destination: IpvsDestination;
    }
  | { readonly op: 'DEL_DEST'; readonly service: ServiceKey; readonly destination: DestinationKey }
  /** Resets the counters of one service, or of all. */
  | { readonly op: 'ZERO'; readonly service: ServiceKey | null }
  /** Deletes every service of the namespace, whoever made it. */
  | { readonly op: 'FLUSH' }
  | { readonly op: 'SET_CONFIG'; readonly timeouts: Partial<daemonCodec.IpvsTimeouts> }
  | { readonly op: 'NEW_DAEMON'; readonly daemon: daemonCodec.IpvsDaemonSettings }
  | { readonly op: 'DEL_DAEMON'; readonly role: daemonCodec.DaemonRole };

/** An operation that the kernel refused. */
export interface IpvsFailure {
  readonly operation: IpvsOperation;
  readonly error: KernelError;
}

type Decode<T> = (bytes: Uint8Array, start: number, end: number) => T;
/** What NetlinkSocket's dumps take. */
type DumpArguments<T> = [
  type: number,
  build: (writer: MessageWriter) => void,
  decode: (message: DataMessage) => T | undefined,
  what: string,
];

/** Measured (ADR 0002): larger batches save little, and one send() of 16 KiB blocks Node's loop under 10 ms even in a slow guest. */
const BATCH_BYTES = 16384;

/** A client of the IPVS family in this thread's network namespace. */
export class IpvsClient {
  private readonly writes: NetlinkSocket;
  private readonly reads: NetlinkSocket;
  private readonly familyId: number;
  private readonly openAnother: () => NetlinkTransport;

  private constructor(familyId: number, writes: NetlinkSocket, open: () => NetlinkTransport) {
    this.familyId = familyId;
    this.writes = writes;
    this.reads = new NetlinkSocket(open());
    this.openAnother = open;
  }

  /**
   * Opens the sockets and finds the family (which makes the kernel try to load ip_vs).
   * Throws MISSING_MODULE when the kernel has no IPVS. `open` is for tests that stand in for the kernel.
   */
  static open(
    open: () => NetlinkTransport = () => openTransport(NETLINK_GENERIC),
    batchBytes = BATCH_BYTES,
  ): IpvsClient {
    const writes = new NetlinkSocket(open(), { batchBytes });
    try {
      const familyId = resolveFamily(writes, 'IPVS');
      if (familyId !== null) return new IpvsClient(familyId, writes, open);
      throw new PointsmanError(
        'MISSING_MODULE',
        'this kernel has no IPVS (netlink family "IPVS" is unknown); load it with "modprobe ip_vs" on the node, or mount /lib/modules and allow CAP_SYS_MODULE',
        { module: 'ip_vs' },
      );
    } catch (error) {
      writes.close();
      throw error;
    }
  }

  close(): void {
    this.writes.close();
    this.reads.close();
  }

  /**
   * Applies the operations in order, in batches, giving Node's loop a turn between them. Everything is tried; what was refused
   * comes back in order. Throws KERNEL_TIMEOUT, KERNEL_OVERRUN or KERNEL_PROTOCOL when the outcome of a batch is unknown, and what
   * `operations` itself throws; batches before that are applied, the one that was being built is not sent.
   */
  async apply(operations: Iterable<IpvsOperation>): Promise<IpvsFailure[]> {
    const failures: IpvsFailure[] = [];
    let batch: IpvsOperation[] = [];
    try {
      for (const operation of operations) {
        if (operation.op === 'DEL_DAEMON') {
          collect(failures, batch, this.writes.flush());
          batch = [];
          failures.push(...(await this.stopDaemon(operation)));
          continue;
        }
        encodeOperation(this.writes.begin(this.familyId, 0), operation);
        this.writes.end();
        batch.push(operation);
        if (this.writes.isFull) {
          collect(failures, batch, this.writes.flush());
          batch = [];
          await nextTurn();
        }
      }
    } catch (error) {
      // What was encoded and not sent must not go out with the next batch, where its failures would be told of other operations.
      this.writes.discard();
      throw error;
    }
    collect(failures, batch, this.writes.flush());
    return failures;
  }

  /**
   * Alone, because it may stay unanswered: a daemon that is stopped before it ran once ends with EINTR, and for that errno netlink sends
   * no acknowledgement at all. It is gone all the same, which is seen by looking.
   */
  private async stopDaemon(operation: Extract<IpvsOperation, { op: 'DEL_DAEMON' }>): Promise<IpvsFailure[]> {
    encodeOperation(this.writes.begin(this.familyId, 0), operation);
    this.writes.end();
    const failures: IpvsFailure[] = [];
    collect(failures, [operation], this.writes.flush(EINTR));
    if (failures[0]?.error.errno !== EINTR) return failures;
    return (await this.daemons()).some(({ role }) => role === operation.role) ? failures : [];
  }

  /** All virtual services; entries changed during the dump may be missing (IPVS does not flag that): confirm one with `service`. */
  services(withStats = false): Promise<codec.IpvsServiceState[]> {
    return this.reads.dump(...this.servicesDump(withStats));
  }

  /**
   * The same in pieces as large as the kernel makes its datagrams (about a hundred services), on a socket of its own that is opened with
   * the first piece and closed with the last, with an error, or when the reader returns early; the client's other requests go on meanwhile.
   * The kernel is asked for more only when the next piece is taken, and it fills one ahead: a piece shows the table of when the piece
   * before it was taken. A service that was there all along may be missing or come twice when others came or went (the kernel counts its way
   * back to where it was). So whatever the reader misses or finds changed is to be confirmed with `service`. An empty table yields nothing.
   * Throws KERNEL_REFUSED, KERNEL_TIMEOUT, KERNEL_OVERRUN, KERNEL_PROTOCOL.
   */
  async *servicePieces(withStats = false): AsyncGenerator<codec.IpvsServiceState[], void, void> {
    const socket = new NetlinkSocket(this.openAnother());
    yield* socket.dumpPaced(...this.servicesDump(withStats));
  }

  /** One virtual service, or undefined. */
  service(key: ServiceKey, withStats = false): codec.IpvsServiceState | undefined {
    return this.getOne(
      IPVS_CMD.GET_SERVICE,
      'GET_SERVICE',
      (bytes, start, end) => codec.decodeService(bytes, start, end, withStats),
      key,
    );
  }

  /** The real servers of a service, newest first; empty also when there is no such service. */
  destinations(key: ServiceKey, withStats = false): Promise<codec.IpvsDestinationState[]> {
    const family: Family = key.family;
    return this.dump(
      IPVS_CMD.GET_DEST,
      (writer) => codec.encodeServiceKey(writer, key),
      `real servers of ${codec.formatServiceKey(key)}`,
      ({ bytes, header }) =>
        codec.decodeDestination(bytes, header.payloadStart, header.payloadEnd, family, withStats),
    );
  }

  /** The sync daemons that run: none, one, or a master and a backup. */
  daemons(): Promise<daemonCodec.IpvsDaemonState[]> {
    return this.dump(
      IPVS_CMD.GET_DAEMON,
      () => {},
      'IPVS sync daemons',
      ({ bytes, header }) => daemonCodec.decodeDaemon(bytes, header.payloadStart, header.payloadEnd),
    );
  }

  timeouts(): daemonCodec.IpvsTimeouts {
    return this.getOne(IPVS_CMD.GET_CONFIG, 'GET_CONFIG', daemonCodec.decodeTimeouts);
  }

  info(): daemonCodec.IpvsInfo {
    return this.getOne(IPVS_CMD.GET_INFO, 'GET_INFO', daemonCodec.decodeInfo);
  }

  /** The one data message that answers `command`; with a key, undefined when there is no such service. */
  private getOne<T>(command: number, operation: string, decode: Decode<T>): T;
  private getOne<T>(command: number, operation: string, decode: Decode<T>, key: ServiceKey): T | undefined;
  private getOne<T>(command: number, operation: string, decode: Decode<T>, key?: ServiceKey): T | undefined {
    const writer = this.writes.begin(this.familyId, 0);
    codec.writeCommand(writer, command);
    if (key !== undefined) codec.encodeServiceKey(writer, key);
    this.writes.end();
    const values: T[] = [];
    const failure = this.writes.request(({ bytes, header }) => {
      if (header.type === this.familyId) values.push(decode(bytes, header.payloadStart, header.payloadEnd));
    });
    const object = key === undefined ? '' : codec.formatServiceKey(key);
    if (key !== undefined && failure?.errno === ESRCH) return undefined;
    if (failure !== undefined)
      throw kernelError(operation, object, failure, explainErrno(operation, failure.errno));
    if (values.length > 0) return values[0];
    const what = object === '' ? operation : `${operation} ${object}`;
    throw new PointsmanError('KERNEL_PROTOCOL', `${what}: an answer without data`);
  }

  private servicesDump(withStats: boolean): DumpArguments<codec.IpvsServiceState> {
    return this.dumpArguments(
      IPVS_CMD.GET_SERVICE,
      () => {},
      'IPVS services',
      ({ bytes, header }) => codec.decodeService(bytes, header.payloadStart, header.payloadEnd, withStats),
    );
  }

  private dump<T>(
    command: number,
    build: (writer: MessageWriter) => void,
    what: string,
    decode: (message: DataMessage) => T,
  ): Promise<T[]> {
    return this.reads.dump(...this.dumpArguments(command, build, what, decode));
  }

  private dumpArguments<T>(
    command: number,
    build: (writer: MessageWriter) => void,
    what: string,
    decode: (message: DataMessage) => T,
  ): DumpArguments<T> {
    return [
      this.familyId,
      (writer) => {
        codec.writeCommand(writer, command);
        build(writer);
      },
      (message) => (message.header.type === this.familyId ? decode(message) : undefined),
      what,
    ];
  }
}

/** Writes one operation as an IPVS message behind a message header that is already there. Pure but for the writer. */
export function encodeOperation(writer: MessageWriter, operation: IpvsOperation): void {
  codec.writeCommand(writer, IPVS_CMD[operation.op]);
  switch (operation.op) {
    case 'NEW_SERVICE':
    case 'SET_SERVICE':
      return codec.encodeService(writer, operation.service);
    case 'DEL_SERVICE':
      return codec.encodeServiceKey(writer, operation.service);
    case 'NEW_DEST':
    case 'SET_DEST':
      codec.encodeServiceKey(writer, operation.service);
      return codec.encodeDestination(writer, operation.destination);
    case 'DEL_DEST':
      codec.encodeServiceKey(writer, operation.service);
      return codec.encodeDestinationKey(writer, operation.destination);
    case 'ZERO':
      if (operation.service !== null) codec.encodeServiceKey(writer, operation.service);
      return;
    case 'FLUSH':
      return;
    case 'SET_CONFIG':
      return daemonCodec.encodeTimeouts(writer, operation.timeouts);
    case 'NEW_DAEMON':
      return daemonCodec.encodeDaemon(writer, operation.daemon);
    case 'DEL_DAEMON':
      return daemonCodec.encodeDaemonRole(writer, operation.role);
  }
}

/** What an operation is about, for errors: "TCP 10.96.0.1:443 -> 10.0.0.1:6443". */
export function formatOperationObject(operation: IpvsOperation): string {
  switch (operation.op) {
    case 'NEW_SERVICE':
    case 'SET_SERVICE':
    case 'DEL_SERVICE':
      return codec.formatServiceKey(operation.service);
    case 'NEW_DEST':
    case 'SET_DEST':
    case 'DEL_DEST': {
      const { address, port } = operation.destination;
      return `${codec.formatServiceKey(operation.service)} -> ${codec.formatEndpoint(address, port)}`;
    }
    case 'ZERO':
      return operation.service === null ? 'all' : codec.formatServiceKey(operation.service);
    case 'NEW_DAEMON':
      return `${operation.daemon.role} on ${operation.daemon.interfaceName}`;
    case 'DEL_DAEMON':
      return operation.role;
    case 'FLUSH':
    case 'SET_CONFIG':
      return '';
  }
}

function collect(
  failures: IpvsFailure[],
  batch: readonly IpvsOperation[],
  refused: readonly BatchFailure[],
): void {
  for (const failure of refused) {
    const operation = batch[failure.index];
    if (operation === undefined) throw new Error('a failure outside its batch');
    failures.push({ operation, error: refusal(operation, failure) });
  }
}

function refusal(operation: IpvsOperation, failure: BatchFailure): KernelError {
  const hint = explainErrno(operation.op, failure.errno, namesOf(operation));
  return kernelError(operation.op, formatOperationObject(operation), failure, hint);
}

function namesOf(operation: IpvsOperation): RefusedNames {
  switch (operation.op) {
    case 'NEW_SERVICE':
    case 'SET_SERVICE': {
      const { scheduler, persistenceEngine } = operation.service;
      return { scheduler, persistenceEngine };
    }
    case 'NEW_DEST':
    case 'SET_DEST':
      return { hasTunnel: operation.destination.tunnel !== undefined };
    default:
      return {};
  }
}
