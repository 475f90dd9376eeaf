// What an administrator should know before a drain: one line each, for what holds of the servers that are drained. Pure.
// Sources: net/netfilter/ipvs/ip_vs_sh.c and ip_vs_dh.c by behaviour; Documentation/networking/ipvs-sysctl.rst.

import { formatServiceKey, SERVICE_FLAG, type IpvsServiceState } from '../kernel/ipvs-codec.ts';
import { kindsToWaitFor, type WaitRule } from './drain-target.ts';
import { joinNames, type SelectedServer } from './server-selection.ts';

const MAX_NAMED = 3;

/** The notes, in a fixed order; those on what is waited for only with `waits`. */
export function drainNotes(selected: readonly SelectedServer[], rule: WaitRule, waits: boolean): string[] {
  const byService = Map.groupBy(selected, ({ service }) => formatServiceKey(service));
  const groups = [...byService.values()].flatMap((all) =>
    all[0] === undefined ? [] : [{ first: all[0], all }],
  );
  const namesOf = (applies: (group: (typeof groups)[number]) => boolean): string | null =>
    listServices(groups.filter(applies).map(({ first }) => first.service));
  const notes: string[] = [];
  const say = (names: string | null, text: (names: string) => string): void => {
    if (names !== null) notes.push(`note: ${text(names)}`);
  };
  say(
    namesOf(({ first, all }) =>
      first.siblings.every((each) => each.weight === 0 || all.some(({ server }) => server === each)),
    ),
    (names) => `${names}: no other server has a weight above 0, so new connections are refused`,
  );
  say(
    namesOf(({ first }) => refusesClientsOfWeightZero(first.service)),
    (names) =>
      `${names}: the scheduler goes on choosing a server of weight 0 for its share of clients, who are refused (sh: set the flag sh-fallback)`,
  );
  const isPersistent = ({ flags }: IpvsServiceState): boolean => (flags & SERVICE_FLAG.PERSISTENT) !== 0;
  say(
    namesOf(({ first }) => isPersistent(first.service)),
    (names) =>
      rule.expiresTemplates
        ? `${names}: persistent clients go to another server with their next connection (net.ipv4.vs.expire_quiescent_template=1)`
        : `${names}: persistent clients keep coming to a server of weight 0 (net.ipv4.vs.expire_quiescent_template=0)${waits ? waitedFor(rule) : ''}`,
  );
  say(
    namesOf(({ first }) => waits && kindsToWaitFor(first.service, rule).includes('inactive')),
    (names) => `${names}: inactive connections are waited for too, because UDP has no others`,
  );
  return notes;
}

function waitedFor({ ignoresPersistent }: WaitRule): string {
  return ignoresPersistent ? ' and are not waited for, as asked' : ', so they are waited for';
}

/** Both keep a server of weight 0 in their tables. */
function refusesClientsOfWeightZero({ scheduler, flags }: IpvsServiceState): boolean {
  return scheduler === 'dh' || (scheduler === 'sh' && (flags & SERVICE_FLAG.SCHED1) === 0);
}

function listServices(services: readonly IpvsServiceState[]): string | null {
  if (services.length === 0) return null;
  return joinNames(services.map(formatServiceKey), MAX_NAMED);
}
