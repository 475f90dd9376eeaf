// Changes as a busy cluster makes them, drawn from a seed: endpoints come and go, Services are changed, made, removed, made headless and
// given to another proxy. Made by calls; who calls has the clock.

import type { ApiStore } from './api-store.ts';
import { makeService, makeSlice } from './make-objects.ts';
import { Random } from './random.ts';

/** Names as of `makeService`. */
const keyOfService = (index: number): string => `team-${index % 50}/web-${index}`;
const keyOfSlice = (index: number): string => `${keyOfService(index)}-0`;

/** See above. Begins with a store that `fillStore` filled with `count` Services. */
export class Churn {
  /** How many changes it made. */
  changes = 0;
  private readonly store: ApiStore;
  private readonly count: number;
  private readonly endpoints: number;
  private readonly random: Random;

  constructor(
    store: ApiStore,
    { seed, count, endpoints = 10 }: { seed: number; count: number; endpoints?: number },
  ) {
    this.store = store;
    this.count = count;
    this.endpoints = endpoints;
    this.random = new Random(seed);
  }

  /** One change of one object. */
  step(): void {
    const index = this.random.below(this.count);
    const kind = this.random.below(100);
    this.changes++;
    if (kind < 60) this.putSlice(index);
    else if (kind < 68) this.store.delete('endpointslices', keyOfSlice(index));
    else if (kind < 72) this.labelSlice(index);
    else if (kind < 84) this.putService(index, {});
    else if (kind < 90) this.store.delete('services', keyOfService(index));
    else if (kind < 94)
      this.putService(index, { labels: { 'service.kubernetes.io/service-proxy-name': 'other' } });
    else if (kind < 97) this.putService(index, { spec: { clusterIP: 'None', clusterIPs: ['None'] } });
    // As when objects of other kinds change.
    else this.store.skipVersions(1 + this.random.below(50));
  }

  private putSlice(index: number): void {
    const endpoints = this.random.below(2 * this.endpoints + 1);
    this.store.put('endpointslices', makeSlice(index, { endpoints, generation: this.random.below(1000) }));
  }

  private labelSlice(index: number): void {
    const labels = { 'service.kubernetes.io/headless': '' };
    this.store.put('endpointslices', makeSlice(index, { endpoints: this.endpoints, labels }));
  }

  private putService(index: number, shape: Parameters<typeof makeService>[1]): void {
    const { spec, ...rest } = shape ?? {};
    const port = 1 + this.random.below(60_000);
    this.store.put(
      'services',
      makeService(index, { ...rest, spec: { ports: [{ name: 'http', protocol: 'TCP', port }], ...spec } }),
    );
  }
}
