// The health-check ports of Services between the agent, which knows them, and a server, which answers on them: changes gather while plans are
// taken in and are handed out at the end of each sync, also when there are none, because a port that could not be had is tried again then.

import type { PlanChange } from '../backends/backend.ts';
import type { ServiceKey } from '../model/names.ts';
import {
  ServiceHealthTable,
  type HealthCheckAddresses,
  type ServiceHealthChanges,
  type ServiceHealthCheck,
} from './service-health.ts';
import type { SyncObserver } from './sync-observer.ts';

/** Who answers on the ports. What it is told never waits for it and never fails. */
export interface HealthCheckListener {
  onChanges(changes: ServiceHealthChanges): void;
  onAddresses(addresses: HealthCheckAddresses): void;
}

/** See above. */
export class HealthChecks implements SyncObserver {
  private readonly table = new ServiceHealthTable();
  private pending = new Map<ServiceKey, ServiceHealthCheck | null>();
  private listener: HealthCheckListener | null = null;

  /** From here on the listener hears of everything, beginning with what there is already. */
  listen(listener: HealthCheckListener, addresses: HealthCheckAddresses): void {
    this.listener = listener;
    listener.onAddresses(addresses);
    this.handOut();
  }

  onApplied(change: PlanChange): void {
    for (const [key, check] of this.table.take(change)) this.pending.set(key, check);
  }

  /** At the end of each sync. */
  handOut(): void {
    if (this.listener === null) return;
    const changes = this.pending;
    this.pending = new Map();
    this.listener.onChanges(changes);
  }

  /** Where NodePorts answer may have changed. */
  setAddresses(addresses: HealthCheckAddresses): void {
    this.listener?.onAddresses(addresses);
  }
}
