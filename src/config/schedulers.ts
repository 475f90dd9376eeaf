// The schedulers of the kernel. Source: net/netfilter/ipvs/Kconfig (Linux 6.1 and later). Pure.

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
