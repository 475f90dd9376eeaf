// What a run of the command has of the world: everything it reads or writes goes through here, so that many runs fit into one
// process (tests, -R) and the edges stay in one place.

import type { IpvsClient } from '../kernel/ipvs.ts';
import type { NameService } from '../kernel/name-service.ts';

/** The kernel's table as the command uses it. */
export type IpvsTable = Pick<
  IpvsClient,
  'apply' | 'services' | 'service' | 'destinations' | 'daemons' | 'timeouts' | 'info' | 'close'
>;

export interface IpvsadmIo {
  /** Standard output and standard error; text as it is, line feeds included. */
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
  /** The name that the program was called by, as messages show it: "ipvsadm". */
  readonly program: string;
  /** Standard input, piece by piece as it comes, bytes as Latin-1 characters. */
  readonly stdin: () => Iterable<string>;
  /** A file's content, bytes as Latin-1 characters; throws what node:fs throws. */
  readonly readFile: (path: string) => string;
  /** Opens the kernel's table. Throws MISSING_MODULE, or a KernelError when the kernel refuses. */
  readonly openTable: () => IpvsTable;
  /** /proc/net/ip_vs_conn, bytes as Latin-1 characters; throws what node:fs throws. */
  readonly readConnections: () => string;
  readonly names: NameService;
  /** A clock in milliseconds that only goes forward, and a wait that ends early with the signal. */
  readonly nowMs: () => number;
  readonly wait: (ms: number, signal?: AbortSignal) => Promise<void>;
  /** The size of the terminal behind standard output, null when it is none. */
  readonly terminal: () => { readonly columns: number; readonly rows: number } | null;
  /** Ends what runs on (top, drain) when the user asks for it. */
  readonly signal: AbortSignal;
}

/** The same io but for `changes`. What is not changed is asked of `io` when it is used, not before: asking for `signal` has an effect. */
export function withChanges(io: IpvsadmIo, changes: Partial<IpvsadmIo>): IpvsadmIo {
  return Object.assign(Object.create(io) as IpvsadmIo, changes);
}
