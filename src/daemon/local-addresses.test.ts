import { describe, expect, it } from 'vitest';
import { FakeTimers } from '../../test/fake-timers.ts';
import { added, deleted, link, on } from '../../test/kernel/link-events.ts';
import type { Link, LinkAddress } from '../kernel/rtnetlink-codec.ts';
import type { RtnetlinkEvent } from '../kernel/rtnetlink-watch.ts';
import { LocalAddresses, type AddressSource } from './local-addresses.ts';

/** A kernel whose reads last until they are let go, and which loses events when told. */
class StandIn implements AddressSource {
  links = [link(2, 'eth0'), link(3, 'kube-ipvs0')];
  addresses = [on(2, '192.168.50.11/32')];
  reads = 0;
  /** Reads wait for this. */
  gate: Promise<void> = Promise.resolve();
  isFailing = false;
  isWatched = false;
  isClosed = false;
  emit: (event: RtnetlinkEvent) => void = () => {};
  lose: () => void = () => {};

  async read(): Promise<{ links: Link[]; addresses: LinkAddress[] }> {
    this.reads++;
    const answer = { links: this.links, addresses: [...this.addresses] };
    await this.gate;
    if (this.isFailing) throw new Error('no');
    return answer;
  }

  watch(onEvent: (event: RtnetlinkEvent) => void, onLost: () => void): { close(): void } {
    this.emit = onEvent;
    this.lose = onLost;
    this.isWatched = true;
    return { close: () => (this.isWatched = false) };
  }

  close(): void {
    this.isClosed = true;
  }
}

async function followed(kernel = new StandIn()) {
  const timers = new FakeTimers();
  const told: string[] = [];
  const addresses = new LocalAddresses(kernel, timers);
  const follow = () =>
    addresses.follow({
      onChange: () => told.push(`change ${addresses.current().join(' ')}`),
      onServiceLink: (event) =>
        told.push(event.kind === 'address-gone' ? `gone ${event.address}` : event.kind),
      onError: (error) => told.push(`error ${(error as Error).message}`),
    });
  await follow();
  return { kernel, timers, told, addresses, follow };
}

describe('following addresses', () => {
  it('has all addresses when it starts, and tells nothing of them', async () => {
    const { addresses, timers, told } = await followed();
    expect(addresses.current()).toEqual(['192.168.50.11']);
    await timers.advance(5000);
    expect(told).toEqual([]);
  });

  it('tells of a burst once, 50 ms after its first event', async () => {
    const { kernel, timers, told } = await followed();
    kernel.emit(added(2, '192.0.2.1/32'));
    await timers.advance(40);
    kernel.emit(added(2, '192.0.2.2/32'));
    await timers.advance(9);
    expect(told).toEqual([]);
    await timers.advance(1);
    expect(told).toEqual(['change 192.0.2.1 192.0.2.2 192.168.50.11']);
    await timers.advance(5000);
    expect([told.length, kernel.reads]).toEqual([1, 1]);
  });

  it('tells nothing of an address that came and went within a burst', async () => {
    const { kernel, timers, told } = await followed();
    kernel.emit(added(2, '192.0.2.1/32'));
    await timers.advance(10);
    kernel.emit(deleted(2, '192.0.2.1/32'));
    await timers.advance(5000);
    expect(told).toEqual([]);
  });

  it('passes on at once what goes from kube-ipvs0, without a timer or a read', async () => {
    const { kernel, timers, told } = await followed();
    for (let i = 0; i < 3; i++) kernel.emit(added(3, `10.96.0.${i}/32`));
    kernel.emit(deleted(3, '10.96.0.1/32'));
    kernel.emit({ kind: 'link', change: 'deleted', link: link(3, 'kube-ipvs0') });
    expect([told, timers.delaysMs.length, kernel.reads]).toEqual([['gone 10.96.0.1', 'link-gone'], 0, 1]);
  });

  it('misses nothing that happens during the first read', async () => {
    const kernel = new StandIn();
    let open = (): void => {};
    kernel.gate = new Promise((resolve) => (open = resolve));
    const starting = followed(kernel);
    kernel.emit(added(2, '192.0.2.1/32'));
    kernel.emit(deleted(2, '192.168.50.11/32'));
    open();
    const { addresses } = await starting;
    expect(addresses.current()).toEqual(['192.0.2.1']);
  });

  it('reads again after a loss within the first read', async () => {
    const kernel = new StandIn();
    let open = (): void => {};
    kernel.gate = new Promise((resolve) => (open = resolve));
    const starting = followed(kernel);
    kernel.addresses = [on(2, '192.0.2.1/32')];
    kernel.lose();
    open();
    const { timers, told } = await starting;
    await timers.advance(1000);
    expect(told).toEqual(['lost']);
    await timers.advance(50);
    expect(told).toEqual(['lost', 'change 192.0.2.1']);
  });

  it('can be started again when its first read failed', async () => {
    const kernel = new StandIn();
    kernel.isFailing = true;
    const addresses = new LocalAddresses(kernel, new FakeTimers());
    const listeners = { onChange() {}, onServiceLink() {}, onError() {} };
    await expect(addresses.follow(listeners)).rejects.toThrow('no');
    expect(kernel.isWatched).toBe(false);
    kernel.isFailing = false;
    await addresses.follow(listeners);
    expect(addresses.current()).toEqual(['192.168.50.11']);
    await expect(addresses.follow(listeners)).rejects.toThrow('followed already');
  });

  it('tells nobody and starts nothing after close', async () => {
    const { kernel, timers, told, addresses } = await followed();
    kernel.emit(added(2, '192.0.2.1/32'));
    kernel.lose();
    addresses.close();
    addresses.close();
    kernel.emit(deleted(3, '10.96.0.1/32'));
    kernel.lose();
    await timers.advance(5000);
    expect([told, timers.delaysMs.length, kernel.reads, kernel.isWatched, kernel.isClosed]).toEqual([
      [],
      0,
      1,
      false,
      true,
    ]);
  });
});

describe('after lost events', () => {
  it('reads everything once, says so before the read, and tells the true change', async () => {
    const { kernel, timers, told } = await followed();
    await timers.advance(2000);
    kernel.addresses = [on(2, '192.0.2.1/32')];
    for (let i = 0; i < 100; i++) kernel.lose();
    await timers.advance(49);
    expect([told, kernel.reads]).toEqual([[], 1]);
    await timers.advance(1);
    expect([told, kernel.reads]).toEqual([['lost'], 2]);
    await timers.advance(5000);
    expect([told, kernel.reads]).toEqual([['lost', 'change 192.0.2.1'], 2]);
  });

  it('reads at most once a second under a storm without end, and once more behind it', async () => {
    const { kernel, timers, told } = await followed();
    for (let ms = 0; ms < 10_000; ms += 10) {
      kernel.lose();
      await timers.advance(10);
    }
    const duringStorm = kernel.reads;
    await timers.advance(5000);
    expect(duringStorm).toBeLessThanOrEqual(11);
    expect(duringStorm).toBeGreaterThanOrEqual(9);
    expect(kernel.reads).toBeLessThanOrEqual(duringStorm + 1);
    expect(told.filter((one) => one === 'lost')).toHaveLength(kernel.reads - 1);
  });

  it('applies what happened during the read to what was read', async () => {
    const { kernel, timers, told, addresses } = await followed();
    let open = (): void => {};
    kernel.gate = new Promise((resolve) => (open = resolve));
    kernel.lose();
    await timers.advance(1000);
    expect(kernel.reads).toBe(2);
    kernel.emit(added(2, '192.0.2.1/32'));
    kernel.emit(deleted(3, '10.96.0.1/32'));
    open();
    await timers.advance(50);
    expect(told).toEqual(['lost', 'gone 10.96.0.1', 'change 192.0.2.1 192.168.50.11']);
    expect(addresses.current()).toEqual(['192.0.2.1', '192.168.50.11']);
  });

  it('reads once more when more happened during the read than it keeps, kube-ipvs0 left out', async () => {
    const { kernel, timers } = await followed();
    for (const [index, reads] of [
      [3, 2],
      [2, 4],
    ] as const) {
      let open = (): void => {};
      kernel.gate = new Promise((resolve) => (open = resolve));
      kernel.lose();
      await timers.advance(1000);
      for (let i = 0; i < 10_001; i++) kernel.emit(added(index, `10.96.${i >> 8}.${i & 255}/32`));
      kernel.gate = Promise.resolve();
      open();
      await timers.advance(5000);
      expect(kernel.reads).toBe(reads);
    }
  });

  it('starts no read while one runs, however long that takes', async () => {
    const { kernel, timers } = await followed();
    let open = (): void => {};
    kernel.gate = new Promise((resolve) => (open = resolve));
    kernel.lose();
    await timers.advance(1000);
    kernel.lose();
    await timers.advance(5000);
    expect(kernel.reads).toBe(2);
    open();
    await timers.advance(999);
    expect(kernel.reads).toBe(2);
    await timers.advance(1);
    expect(kernel.reads).toBe(3);
  });

  it('reads again when kube-ipvs0 was renamed, because its addresses count then', async () => {
    const { kernel, timers, told } = await followed();
    kernel.links = [link(2, 'eth0'), link(3, 'dummy0')];
    kernel.addresses.push(on(3, '10.96.0.1/32'));
    kernel.emit({ kind: 'link', change: 'new', link: link(3, 'dummy0') });
    await timers.advance(1050);
    expect(told).toEqual(['link-gone', 'lost', 'change 10.96.0.1 192.168.50.11']);
  });

  it('tries a read that failed again, with pauses that double up to 30 s, and keeps what it knew', async () => {
    const { kernel, timers, told, addresses } = await followed();
    kernel.isFailing = true;
    kernel.lose();
    await timers.advance(1000 + 2000 + 4000 + 8000 + 16_000 + 30_000);
    expect(told.filter((one) => one === 'error no')).toHaveLength(6);
    await timers.advance(29_000);
    expect(kernel.reads).toBe(7);
    expect(addresses.current()).toEqual(['192.168.50.11']);
    kernel.isFailing = false;
    kernel.addresses = [on(2, '192.0.2.1/32')];
    await timers.advance(1050);
    expect(told.at(-1)).toBe('change 192.0.2.1');
    kernel.lose();
    await timers.advance(1000);
    expect(kernel.reads).toBe(9);
  });
});

describe('reading once', () => {
  it('gives each address once, without those of kube-ipvs0, and follows nothing', async () => {
    const kernel = new StandIn();
    kernel.addresses.push(on(2, '192.168.50.11/32'), on(3, '10.96.0.1/32'), on(2, '10.0.0.1/32'));
    const addresses = new LocalAddresses(kernel, new FakeTimers());
    expect(await addresses.read()).toEqual(['10.0.0.1', '192.168.50.11']);
    expect([addresses.current(), kernel.isWatched]).toEqual([[], false]);
  });
});
