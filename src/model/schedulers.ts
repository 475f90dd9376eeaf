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

/**
 * The names of the three flags that the kernel hands to a scheduler, by scheduler and in the order of their bits, as `ipvsadm -b` takes
 * them; '' for those without names of their own. fallback: try another server when the chosen one takes no connections; port: the
 * client's port counts in the hash, too.
 */
export const FLAG_NAMES_BY_SCHEDULER = {
  '': ['flag-1', 'flag-2', 'flag-3'],
  sh: ['sh-fallback', 'sh-port', 'flag-3'],
  mh: ['mh-fallback', 'mh-port', 'flag-3'],
} as const;
/** One of the three flags. */
export type SchedulerFlag = (typeof FLAG_NAMES_BY_SCHEDULER)[''][number];
/** Any name of a flag. */
export type SchedulerFlagName =
  (typeof FLAG_NAMES_BY_SCHEDULER)[keyof typeof FLAG_NAMES_BY_SCHEDULER][number];

/** What each name means. `scheduler` is the only one for which it means something; null: any. */
export const SCHEDULER_FLAG_NAMES = meaningsOf();

function meaningsOf(): Readonly<
  Record<SchedulerFlagName, { readonly flag: SchedulerFlag; readonly scheduler: 'sh' | 'mh' | null }>
> {
  const { '': plain, ...named } = FLAG_NAMES_BY_SCHEDULER;
  const meanings = new Map(plain.map((flag) => [flag as string, { flag, scheduler: null as string | null }]));
  for (const [scheduler, names] of Object.entries(named))
    names.forEach((name, index) => {
      const flag = plain[index];
      if (flag !== undefined && !meanings.has(name)) meanings.set(name, { flag, scheduler });
    });
  return Object.fromEntries(meanings) as ReturnType<typeof meaningsOf>;
}

/** True for a name in SCHEDULER_FLAG_NAMES. */
export function isSchedulerFlagName(text: string): text is SchedulerFlagName {
  return Object.hasOwn(SCHEDULER_FLAG_NAMES, text);
}

/** "sh flag-2 persistent 60": how a virtual server chooses, as plans and status show it. */
export function formatScheduling(
  scheduler: string,
  flags: readonly string[],
  affinitySeconds: number,
): string {
  return [scheduler, ...flags, ...(affinitySeconds > 0 ? [`persistent ${affinitySeconds}`] : [])].join(' ');
}
