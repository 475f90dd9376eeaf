// What the running kernel does where IPVS kernels differ, as plain data: found out by kernel-behaviour-probe.ts, used by switches.ts.
// Never told from version numbers, because distributions backport. Pure.

/** A finding, with the reason in words: what was seen, or why nothing could be. */
export interface Finding<Result extends string> {
  readonly result: Result;
  /** One line without a full stop at its end. */
  readonly reason: string;
}

/**
 * What becomes of a new connection from a source port that IPVS still remembers, with conntrack and conn_reuse_mode 1 on:
 * 'served' by a server that takes new connections; 'dropped': its first packet is lost, and the client tries again after a second;
 * 'sticks' to the server of the old connection, although that takes no new ones.
 */
export type ConnectionReuse = 'served' | 'dropped' | 'sticks' | 'unknown';

/**
 * What a client sees at its next packets when its server was removed, with expire_nodest_conn on: 'ends' (a reset) or 'silent';
 * 'absent': this kernel does not have the switch.
 */
export type RemovedServer = 'ends' | 'silent' | 'absent' | 'unknown';

/** Where the kernel keeps rates: in kernel threads, or in a timer that holds a CPU until it went through everything. */
export type Estimation = 'threads' | 'timer' | 'unknown';

/** What this kernel does. */
export interface KernelBehaviour {
  readonly connectionReuse: Finding<ConnectionReuse>;
  readonly removedServer: Finding<RemovedServer>;
  readonly estimation: Finding<Estimation> & {
    /** True when the switch net.ipv4.vs.run_estimation is there. */
    readonly canSwitchOff: boolean;
    /** CPUs that this kernel keeps counters for: all that it could ever have, not those online. At least 1. */
    readonly possibleCpus: number;
  };
  /** How long finding out took. */
  readonly tookMs: number;
}

const NOT_PROBED = { result: 'unknown', reason: 'it was not probed' } as const;

/** For tests, and until the probe ran: every switch that depends on behaviour is left as it is. */
export const UNKNOWN_BEHAVIOUR: KernelBehaviour = {
  connectionReuse: NOT_PROBED,
  removedServer: NOT_PROBED,
  estimation: { ...NOT_PROBED, canSwitchOff: false, possibleCpus: 1 },
  tookMs: 0,
};
