// The schedulers of the kernel and what is known of them before any kernel is asked: names, flags, whether weights count. Pure.
// Source: net/netfilter/ipvs/Kconfig and ip_vs_{sh,mh}.c (Linux 6.1 and later); include/uapi/linux/ip_vs.h.

/** Names as the kernel takes them; the module of each is ip_vs_NAME. */
export const SCHEDULERS = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'dh',
  'sh',
  'mh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'twos',
] as const;
/** One of SCHEDULERS. */
export type Scheduler = (typeof SCHEDULERS)[number];

/** True for the name of a scheduler. */
export function isScheduler(text: string): text is Scheduler {
  return (SCHEDULERS as readonly string[]).includes(text);
}

/** False for schedulers that use all real servers alike, whatever their weights (only 0 counts: no new connections). */
export function honoursWeights(scheduler: Scheduler): boolean {
  return scheduler !== 'rr' && scheduler !== 'lc' && scheduler !== 'dh';
}

/** The three flags that the kernel hands to a scheduler, in its order. */
export type SchedulerFlag = 'flag-1' | 'flag-2' | 'flag-3';

/**
 * The names of flags as `ipvsadm -b` takes them. `scheduler` is the only one for which the name means something; null: any.
 * fallback: try another server when the chosen one takes no connections; port: the client's port counts in the hash, too.
 */
export const SCHEDULER_FLAG_NAMES = {
  'flag-1': { flag: 'flag-1', scheduler: null },
  'flag-2': { flag: 'flag-2', scheduler: null },
  'flag-3': { flag: 'flag-3', scheduler: null },
  'sh-fallback': { flag: 'flag-1', scheduler: 'sh' },
  'sh-port': { flag: 'flag-2', scheduler: 'sh' },
  'mh-fallback': { flag: 'flag-1', scheduler: 'mh' },
  'mh-port': { flag: 'flag-2', scheduler: 'mh' },
} as const satisfies Record<string, { readonly flag: SchedulerFlag; readonly scheduler: Scheduler | null }>;
/** One of the names in SCHEDULER_FLAG_NAMES. */
export type SchedulerFlagName = keyof typeof SCHEDULER_FLAG_NAMES;

/** True for a name in SCHEDULER_FLAG_NAMES. */
export function isSchedulerFlagName(text: string): text is SchedulerFlagName {
  return Object.hasOwn(SCHEDULER_FLAG_NAMES, text);
}
