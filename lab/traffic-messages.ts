// What the lab's main thread and its traffic worker say to each other, and the shapes that tests see.
// Declarations only. Every answer carries the id of its request; a worker answers each request once.

import type { Host } from './topology.ts';

/** The protocols that a Service port can have. */
export type Protocol = 'TCP' | 'UDP' | 'SCTP';

/** One server; it answers with its name and with the client's address and port as it saw them. */
export interface ServerOptions {
  readonly at: Host;
  /** What the server calls itself: 1 to 63 letters, digits, dots, hyphens, underscores. Several may share one name. */
  readonly name: string;
  readonly protocol: Protocol;
  /** 1 to 65535. */
  readonly port: number;
  /**
   * The address to listen on. Without one, TCP listens on 0.0.0.0 and ::, UDP and SCTP on the host's own two addresses: a
   * wildcard UDP socket may answer from another address than it was asked at, and a wildcard SCTP socket offers the client all
   * of the host's addresses, which lead around a service address.
   */
  readonly address?: string;
}

/** Which connections to make. */
export interface ConnectOptions {
  readonly from: Host;
  readonly address: string;
  readonly port: number;
  readonly protocol: Protocol;
  /** How many connections (UDP: sockets with one request each), 1 to 100,000; default 1. For open(): up to 4096. */
  readonly count?: number;
  /** How many at a time, 1 to 1024; default 8, and always 1 with `sourcePort`. They begin in order of index in any case. */
  readonly concurrency?: number;
  /** Default: what the kernel picks. */
  readonly sourceAddress?: string;
  /**
   * Default: for TCP what the kernel picks, for UDP and SCTP the next of 20000 to 29999, so that none comes again within 10,000
   * connections. With a given port the server closes first, so that the port is free for the next one.
   */
  readonly sourcePort?: number;
  /** For one connection including its answer, 1 to 60,000; default 2000. */
  readonly timeoutMs?: number;
  /** For all together, 1 to 600,000; default 60,000. Connections not begun by then are `notStarted`. */
  readonly overallTimeoutMs?: number;
}

/** How echo() asks. */
export interface EchoOptions {
  /** For one answer, 1 to 60,000; default 2000. */
  readonly timeoutMs?: number;
  /** How many at a time, 1 to 1024; default 64. */
  readonly concurrency?: number;
}

/**
 * How one attempt ended: 'answered'; 'refused' (RST to a SYN, an ICMP port unreachable, an SCTP ABORT); 'reset' (an
 * established connection ended, by RST or by an orderly end, without an answer); 'timedOut'; 'notStarted' (overallTimeoutMs ran out); any other errno
 * by name ('EHOSTUNREACH').
 */
export type Outcome = string;

/** One connection, or one question on a kept-open connection. */
export interface Attempt {
  readonly outcome: Outcome;
  /** The server's name when it answered. */
  readonly server: string | null;
  /** The client's address as the server saw it. */
  readonly sourceAddress: string | null;
  /** The client's port as the server saw it. */
  readonly sourcePort: number | null;
  /** When that was, in milliseconds since the epoch: comparable between threads. 0 when it did not start. */
  readonly startedAtMs: number;
  /** From the socket's creation (echo: from the question) to the answer or the failure. */
  readonly latencyMs: number;
}

/** Main thread to worker. */
export type TrafficRequest =
  | { readonly id: number; readonly op: 'serve'; readonly servers: readonly ServerOptions[] }
  | { readonly id: number; readonly op: 'stop'; readonly name: string }
  | {
      readonly id: number;
      readonly op: 'connect';
      readonly options: ConnectOptions;
      readonly keepOpen: boolean;
    }
  | { readonly id: number; readonly op: 'echo'; readonly group: number; readonly options: EchoOptions }
  | { readonly id: number; readonly op: 'closeGroup'; readonly group: number; readonly isAbort: boolean }
  | { readonly id: number; readonly op: 'close' };

/** Worker to main thread. `group` names the kept-open connections of a 'connect' with keepOpen. */
export type TrafficResponse =
  | { readonly id: number; readonly error: string }
  | { readonly id: number; readonly attempts?: readonly Attempt[]; readonly group?: number };
