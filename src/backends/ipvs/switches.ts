// The kernel switches and timeouts that IPVS mode wants: a table from what this kernel does and what is configured to values with their
// reasons, written only where they differ, put right when somebody changes them. What the table does not name is left alone.
// Source: kube-proxy 1.36, mode ipvs, start-up; Documentation/networking/ipvs-sysctl.rst.

import { PointsmanError } from '../../model/errors.ts';
import type { IpvsTimeouts } from '../../kernel/ipvs-daemon-codec.ts';
import { UNKNOWN_BEHAVIOUR, type KernelBehaviour } from './kernel-behaviour.ts';
import type { IpvsKernelPort } from './port.ts';

/** pointsman.estimation: whether the kernel keeps rates and counters of virtual and real servers. */
export type EstimationMode = 'Auto' | 'On' | 'Off';

export interface SwitchOptions {
  /** Answer ARP only for addresses of the interface that was asked, and never announce others (ipvs.strictARP). */
  readonly strictArp: boolean;
  /** Connection timeouts; what is absent is left as the kernel has it, but see `wantedTimeouts`. */
  readonly timeouts: Partial<IpvsTimeouts>;
  /** What the kernel was found to do; absent: nothing is known, and what depends on it is left as it is. */
  readonly behaviour?: KernelBehaviour;
  /** Default Auto. */
  readonly estimation?: EstimationMode;
}

/** What the table depends on besides configuration and kernel. */
export interface SwitchFacts {
  /** Virtual and real servers together, as many as are wanted. */
  readonly objects: number;
  readonly servesIPv6: boolean;
}

/** One row of the table. */
export interface WantedSwitch {
  /** Below /proc/sys. */
  readonly path: string;
  /** The value that is written when the present one is not accepted; null: it is left as it is. */
  readonly wanted: string | null;
  /** Present values that are not written over although they are not `wanted`. */
  readonly alsoFine?: (value: string) => boolean;
  /** In words for status: why this value, or why it is left. */
  readonly why: string;
  /** IPVS mode cannot work without it. */
  readonly isNeeded: boolean;
}

/** A switch as status shows it. */
export interface SwitchState {
  readonly path: string;
  /** null: this kernel does not have it. */
  readonly value: string | null;
  /** null: it is left as it is. Not equal to `value`: it could not be written, or was changed since. */
  readonly wanted: string | null;
  readonly why: string;
}

/** A switch that was not as wanted. */
export interface SwitchChange {
  readonly path: string;
  /** What it was; null: this kernel does not have it. */
  readonly found: string | null;
  readonly wanted: string;
  readonly why: string;
  readonly isNeeded: boolean;
  /** null: it is as wanted again. */
  readonly error: PointsmanError | null;
}

/**
 * Virtual and real servers times CPUs, above which Auto switches estimation by a timer off. Every two seconds the timer reads as many sets
 * of counters without giving up its CPU. Measured on Linux 6.1 in the lab's guest, on a busy machine: 100,000 held the CPU for 12 to 17 ms,
 * so about 0.15 us each and 30 ms for as many as this (less where memory is faster); the delays of 100 to 200 ms that people report come
 * from about a million. Counters and rates are worth more than a shorter pause.
 */
export const MAX_ESTIMATED_COUNTERS = 200_000;

/** What is read and written of the kernel here. */
export type SwitchPort = Pick<IpvsKernelPort, 'sysctl' | 'writeSysctl'>;

const NO_FACTS: SwitchFacts = { objects: 0, servesIPv6: false };

/** The table, in the order in which it is written. Pure. */
export function wantedSwitches(options: SwitchOptions, facts: SwitchFacts = NO_FACTS): WantedSwitch[] {
  const behaviour = options.behaviour ?? UNKNOWN_BEHAVIOUR;
  return [
    row('net/ipv4/vs/conntrack', '1', 'masquerading needs conntrack to see the connections of IPVS', true),
    row(
      'net/ipv4/vs/expire_nodest_conn',
      '1',
      `clients of a removed server are told instead of waiting; ${removedServerNote(behaviour)}`,
    ),
    row(
      'net/ipv4/vs/expire_quiescent_template',
      '1',
      'affinity to a server of weight 0 ends with the next connection',
    ),
    row('net/ipv4/ip_forward', '1', 'packets to pods on other nodes are forwarded', true),
    ...(options.strictArp
      ? [
          row(
            'net/ipv4/conf/all/arp_ignore',
            '1',
            'ipvs.strictARP: answer only for addresses of the interface asked',
          ),
          row(
            'net/ipv4/conf/all/arp_announce',
            '2',
            'ipvs.strictARP: announce no address of another interface',
          ),
        ]
      : []),
    reuseSwitch(behaviour),
    estimationSwitch(options.estimation ?? 'Auto', behaviour.estimation, facts.objects),
  ];
}

function row(path: string, wanted: string | null, why: string, isNeeded = false): WantedSwitch {
  return { path, wanted, why, isNeeded };
}

function removedServerNote({ removedServer: { result, reason } }: KernelBehaviour): string {
  switch (result) {
    case 'ends':
      return reason;
    case 'silent':
      return `but on this kernel ${reason}`;
    case 'absent':
      return reason;
    case 'unknown':
      return `not seen on this kernel: ${reason}`;
  }
}

/**
 * 0 on a kernel that serves reused ports is written over with 1: it was only ever right as a way round the drop, and it sends new
 * connections to servers that are gone. 2 and 3 stay: they ask for more than 1 does, and somebody chose them.
 */
function reuseSwitch({ connectionReuse: { result, reason } }: KernelBehaviour): WantedSwitch {
  const path = 'net/ipv4/vs/conn_reuse_mode';
  switch (result) {
    case 'served':
      return {
        ...row(path, '1', `${reason}; with 0 it would go to its old server even if that is being removed`),
        alsoFine: (value) => value !== '0',
      };
    case 'dropped':
      return row(path, '0', `${reason}; with 0 it goes to its old server, even if that is being removed`);
    case 'sticks':
      return row(path, null, `${reason}; no value helps`);
    case 'unknown':
      return row(path, null, `left as it is, because the behaviour of this kernel is not known: ${reason}`);
  }
}

/**
 * With the switch at 0, counters of virtual and real servers stand still and `ipvsadm --rate` shows zeros, so Auto switches it off only
 * where the timer would hurt. Auto never switches it on: it cannot tell its own 0 from an operator's.
 */
function estimationSwitch(
  mode: EstimationMode,
  { result, reason, canSwitchOff, possibleCpus }: KernelBehaviour['estimation'],
  objects: number,
): WantedSwitch {
  const path = 'net/ipv4/vs/run_estimation';
  if (mode === 'On') return row(path, '1', 'pointsman.estimation: On');
  if (mode === 'Off')
    return row(path, '0', 'pointsman.estimation: Off: counters stand still, ipvsadm --rate shows zeros');
  if (result === 'unknown')
    return row(path, null, `left as it is: where this kernel estimates is not known: ${reason}`);
  if (result === 'threads') return row(path, null, `left as it is: ${reason}, which holds no CPU`);
  if (!canSwitchOff) return row(path, null, `${reason}, and it cannot be switched off`);
  const counters = objects * possibleCpus;
  const size = `${objects} virtual and real servers x ${possibleCpus} CPUs`;
  if (counters <= MAX_ESTIMATED_COUNTERS)
    return row(
      path,
      null,
      `left as it is: ${size} are at most ${MAX_ESTIMATED_COUNTERS}, which the timer goes through quickly`,
    );
  const effect = 'counters stand still, ipvsadm --rate shows zeros; pointsman.estimation: On keeps them';
  return row(
    path,
    '0',
    `${size} are above ${MAX_ESTIMATED_COUNTERS}: the timer would delay packets every 2 s; ${effect}`,
  );
}

/**
 * Reads every switch of the table and writes those that are not as wanted; they come back, with the error where writing failed. A switch
 * that this kernel does not have comes back only if it is needed. Cheap enough for every few seconds. Does not throw for refusals.
 */
export function checkSwitches(
  port: SwitchPort,
  options: SwitchOptions,
  facts: SwitchFacts = NO_FACTS,
): SwitchChange[] {
  const changes: SwitchChange[] = [];
  for (const each of wantedSwitches(options, facts)) {
    const { path, wanted, why, isNeeded } = each;
    if (wanted === null) continue;
    let found: string | null = null;
    let error: PointsmanError | null = null;
    try {
      found = port.sysctl(path);
      if (isFine(each, found) || (found === null && !isNeeded)) continue;
      port.writeSysctl(path, wanted);
    } catch (thrown) {
      if (!(thrown instanceof PointsmanError)) throw thrown;
      error = thrown;
    }
    changes.push({ path, found, wanted, why, isNeeded, error });
  }
  return changes;
}

function isFine({ wanted, alsoFine }: WantedSwitch, value: string | null): boolean {
  return value !== null && (value === wanted || alsoFine?.(value) === true);
}

/** How many switches were written. Throws the refusal of one without which IPVS mode cannot work; others show in the report. */
export function requireNeeded(changes: readonly SwitchChange[]): number {
  for (const { isNeeded, error } of changes) if (isNeeded && error !== null) throw error;
  return changes.filter(({ error }) => error === null).length;
}

/**
 * Every switch of the table with its present value, for status; and forwarding of IPv6 where that is served and off, which is
 * reported and not written. Throws KernelError when a switch cannot be read.
 */
export function reportSwitches(
  port: IpvsKernelPort,
  options: SwitchOptions,
  facts: SwitchFacts = NO_FACTS,
): SwitchState[] {
  const states = wantedSwitches(options, facts).map((each): SwitchState => {
    const value = port.sysctl(each.path);
    const { path, wanted, why } = each;
    if (value === null) return { path, value, wanted, why: `this kernel does not have it (${why})` };
    return { path, value, wanted: wanted !== null && isFine(each, value) ? value : wanted, why };
  });
  const path = 'net/ipv6/conf/all/forwarding';
  if (facts.servesIPv6 && port.sysctl(path) === '0')
    states.push({
      path,
      value: '0',
      wanted: '1',
      why: 'IPv6 Services need forwarding; it is left to you, as kube-proxy leaves it: set it to 1',
    });
  return states;
}

/** What a kernel has where nobody set it. Source: ip_vs_proto_tcp.c. */
export const KERNEL_TCP_TIMEOUT_SECONDS = 900;
/**
 * How long idle TCP connections live where neither configuration nor operator says otherwise: longer than the two hours after which TCP's
 * keepalive shows that they are wanted. The kernel's 900 s cut idle connection pools without a word.
 */
export const DEFAULT_TCP_TIMEOUT_SECONDS = 9000;

/** The timeouts to set: what is configured, and for idle TCP the default, if the kernel still has its own. Pure. */
export function wantedTimeouts(
  configured: Partial<IpvsTimeouts>,
  current: IpvsTimeouts,
): Partial<IpvsTimeouts> {
  if (configured.tcpSeconds !== undefined || current.tcpSeconds !== KERNEL_TCP_TIMEOUT_SECONDS)
    return configured;
  return { ...configured, tcpSeconds: DEFAULT_TCP_TIMEOUT_SECONDS };
}

/** Sets the wanted connection timeouts where they differ; returns the number of writes. Throws the kernel's refusal. */
export async function applyTimeouts(
  port: IpvsKernelPort,
  configured: Partial<IpvsTimeouts>,
): Promise<number> {
  const current = port.timeouts();
  const timeouts = wantedTimeouts(configured, current);
  if (!timeoutsDiffer(timeouts, current)) return 0;
  const [failure] = await port.applyIpvs([{ op: 'SET_CONFIG', timeouts }]);
  if (failure !== undefined) throw failure.error;
  return 1;
}

function timeoutsDiffer(wanted: Partial<IpvsTimeouts>, current: IpvsTimeouts): boolean {
  return (['tcpSeconds', 'tcpFinSeconds', 'udpSeconds'] as const).some(
    (name) => wanted[name] !== undefined && wanted[name] !== current[name],
  );
}
