// A table in memory that takes the operations of rules as the kernel does, with its refusals: what a file of rules would leave. Pure.
// Source: net/netfilter/ipvs/ip_vs_ctl.c by behaviour (the differential test compares it with the kernel).

import { formatServiceKey, type IpvsDestination, type IpvsService } from '../kernel/ipvs-codec.ts';
import type { IpvsTimeouts } from '../kernel/ipvs-daemon-codec.ts';
import type { IpvsOperation } from '../kernel/ipvs.ts';

/** A service as configured, with its servers by "address port"; the servers' order is that of their lines. */
export interface RuleEntry {
  service: IpvsService;
  readonly servers: Map<string, IpvsDestination>;
}

/** The errno with which the kernel would refuse, by name. */
export type RuleRefusal = 'EEXIST' | 'ESRCH' | 'ENOENT';

/** The identity of a server inside its service. */
export function serverKey({ address, port }: { readonly address: string; readonly port: number }): string {
  return `${address} ${port}`;
}

export class RuleTable {
  readonly entries = new Map<string, RuleEntry>();
  /** What --set lines asked for; a timeout that is undefined is left alone. */
  timeouts: Partial<IpvsTimeouts> = {};

  /** The same content; neither changes with the other. */
  copy(): RuleTable {
    const copy = new RuleTable();
    copy.timeouts = this.timeouts;
    for (const [key, { service, servers }] of this.entries)
      copy.entries.set(key, { service, servers: new Map(servers) });
    return copy;
  }

  /** Carries one operation out, or gives the errno and changes nothing. Counters and daemons are no rules: nothing happens. */
  apply(operation: IpvsOperation): RuleRefusal | null {
    switch (operation.op) {
      case 'NEW_SERVICE':
      case 'SET_SERVICE': {
        const key = formatServiceKey(operation.service);
        const entry = this.entries.get(key);
        if (operation.op === 'NEW_SERVICE') {
          if (entry !== undefined) return 'EEXIST';
          this.entries.set(key, { service: operation.service, servers: new Map() });
        } else {
          if (entry === undefined) return 'ESRCH';
          entry.service = operation.service;
        }
        return null;
      }
      case 'DEL_SERVICE':
        return this.entries.delete(formatServiceKey(operation.service)) ? null : 'ESRCH';
      case 'NEW_DEST':
      case 'SET_DEST':
      case 'DEL_DEST': {
        const servers = this.entries.get(formatServiceKey(operation.service))?.servers;
        if (servers === undefined) return 'ESRCH';
        const key = serverKey(operation.destination);
        const isThere = servers.has(key);
        if (operation.op === 'NEW_DEST' && isThere) return 'EEXIST';
        if (operation.op !== 'NEW_DEST' && !isThere) return 'ENOENT';
        if (operation.op === 'DEL_DEST') servers.delete(key);
        else servers.set(key, operation.destination);
        return null;
      }
      case 'FLUSH':
        this.entries.clear();
        return null;
      case 'SET_CONFIG':
        // Zero keeps what is there.
        for (const [name, seconds] of Object.entries(operation.timeouts))
          if (seconds > 0) this.timeouts = { ...this.timeouts, [name]: seconds };
        return null;
      case 'ZERO':
      case 'NEW_DAEMON':
      case 'DEL_DAEMON':
        return null;
    }
  }
}
