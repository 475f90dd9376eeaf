// Keeps the kernel switches as wanted while the table grows and shrinks, and tells what somebody else changed from what is newly wanted.

import type { IpvsKernelPort } from './port.ts';
import type { IpvsSettings } from './settings.ts';
import {
  checkSwitches,
  requireNeeded,
  wantedSwitches,
  type SwitchChange,
  type SwitchFacts,
} from './switches.ts';
import type { Table } from './table.ts';

export class SwitchKeeper {
  private readonly port: IpvsKernelPort;
  private readonly table: Table;
  private readonly settings: () => IpvsSettings;
  private readonly facts: () => SwitchFacts;
  /** By path, as they were last written or found right. */
  private wanted = new Map<string, string | null>();
  /** Paths that could not be written at the last check. */
  private readonly failed = new Set<string>();

  constructor(port: IpvsKernelPort, table: Table, settings: () => IpvsSettings, facts: () => SwitchFacts) {
    this.port = port;
    this.table = table;
    this.settings = settings;
    this.facts = facts;
  }

  /** Writes what differs; returns the number of writes. Everything is tried; then what could not be written and is needed is thrown. */
  apply(): number {
    const changes = checkSwitches(this.port, this.settings(), this.facts());
    this.remember(changes);
    return requireNeeded(changes);
  }

  /** Puts right what differs; returns what somebody else had changed. What cannot be written counts as a failure of the node. */
  check(): SwitchChange[] {
    const changes = checkSwitches(this.port, this.settings(), this.facts());
    const { failures } = this.table;
    for (const path of this.failed) failures.settleNode(path);
    this.failed.clear();
    for (const { path, error } of changes) {
      if (error === null) continue;
      failures.noteNode(path, error);
      this.failed.add(path);
    }
    const drifted = changes.filter(
      ({ path, wanted, error }) => error === null && this.wanted.get(path) === wanted,
    );
    this.remember(changes);
    return drifted;
  }

  /** What could not be written is as wanted only if it was before. */
  private remember(changes: readonly SwitchChange[]): void {
    const before = this.wanted;
    const rows = wantedSwitches(this.settings(), this.facts());
    this.wanted = new Map(rows.map(({ path, wanted }) => [path, wanted]));
    for (const { path, wanted, error } of changes)
      if (error !== null && before.get(path) !== wanted) this.wanted.delete(path);
  }
}
