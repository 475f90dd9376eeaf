// The addresses of this machine, followed live, because NodePorts answer on them; and what happens to the Services' own link, because
// its addresses are verified. Subscribes before it reads, then applies events; reads everything again only when some were lost, at
// most once a second. Decides nothing: what the addresses mean is the planner's, which of the link's are wanted the backend's.

import { SERVICE_LINK } from '../backends/ipvs/kernel-port.ts';
import { RtnetlinkClient } from '../kernel/rtnetlink.ts';
import type { Link, LinkAddress } from '../kernel/rtnetlink-codec.ts';
import { watchRtnetlink, type RtnetlinkEvent } from '../kernel/rtnetlink-watch.ts';
import type { IpAddress } from '../model/ip.ts';
import { AddressMirror, type ServiceLinkEvent } from './address-mirror.ts';
import type { Timers } from './sync-loop.ts';

/** Changes come in bursts (an interface that appears brings several addresses); they are told once, this much later. */
const SETTLE_MS = 50;
/** Between the end of a full read and the next: a burst larger than the receive buffer loses events again and again. */
const READ_PAUSE_MS = 1000;
/** The pause doubles with each read that fails, up to this. */
const READ_PAUSE_MAX_MS = 30_000;
/** Events kept during a full read, to be applied to what was read; with more of them another read follows. */
const MAX_JOURNAL = 10_000;

/** Where links and addresses come from: the kernel, or in tests of time and loss a stand-in. */
export interface AddressSource {
  /** All links, and the addresses of all but the Services' link (whose may be left out). */
  read(): Promise<{ readonly links: readonly Link[]; readonly addresses: readonly LinkAddress[] }>;
  /** Calls `onEvent` for each change of a link or an address from here on, `onLost` when some went missing. */
  watch(onEvent: (event: RtnetlinkEvent) => void, onLost: () => void): { close(): void };
  close(): void;
}

/** Who is told. None may throw. */
export interface AddressListeners {
  /** `current()` differs as a set from the last time; at most once per 50 ms. */
  onChange(): void;
  /** One event of the Services' link; also of what the agent itself removed. Cheap, please: there may be tens of thousands at once. */
  onServiceLink(event: ServiceLinkEvent): void;
  /** Reading again failed: what is known may be outdated. It is tried again by itself, after 1 s to 30 s. */
  onError(error: unknown): void;
}

/** This machine's links and addresses through rtnetlink, in this thread's network namespace. */
function kernelAddresses(): AddressSource {
  const client = RtnetlinkClient.open();
  return {
    async read() {
      const links = await client.links();
      const others = links.filter(({ name }) => name !== SERVICE_LINK);
      // A dump of all would run over the Services' addresses, and start over whenever one of them is bound meanwhile.
      const addresses =
        others.length === links.length
          ? await client.addresses()
          : await client.addressesOf(others.map(({ index }) => index));
      return { links, addresses };
    },
    watch: (onEvent, onLost) => watchRtnetlink(['LINK', 'IPV4_IFADDR', 'IPV6_IFADDR'], onEvent, onLost),
    close: () => client.close(),
  };
}

const NODE_TIMERS: Timers = {
  now: () => performance.now(),
  set: (callback, delayMs) => setTimeout(callback, delayMs).unref(),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/** Reads, or follows, the addresses of this machine. Keeps the process alive at no time. */
export class LocalAddresses {
  private readonly source: AddressSource;
  private readonly timers: Timers;
  private readonly mirror = new AddressMirror(SERVICE_LINK);
  private listeners: AddressListeners | null = null;
  private watcher: { close(): void } | null = null;
  /** Events since the running read began; null while none runs. */
  private journal: RtnetlinkEvent[] | null = null;
  private isReady = false;
  private isClosed = false;
  private needsRead = false;
  private failedReads = 0;
  private lastReadMs = Number.NEGATIVE_INFINITY;
  private readTimer: unknown = null;
  private settleTimer: unknown = null;

  constructor(source: AddressSource = kernelAddresses(), timers: Timers = NODE_TIMERS) {
    this.source = source;
    this.timers = timers;
  }

  /** The addresses once, as `current()` gives them; follows nothing. Throws KernelError, DUMP_INTERRUPTED. */
  async read(): Promise<readonly IpAddress[]> {
    const mirror = new AddressMirror(SERVICE_LINK);
    const { links, addresses } = await this.source.read();
    mirror.reset(links, addresses);
    return mirror.current();
  }

  /**
   * Starts to follow, once. When it resolves, `current()` is complete, and every change from then on is told. Rejects when the first
   * read fails (KernelError, DUMP_INTERRUPTED, KERNEL_REFUSED); it may be called again then.
   */
  async follow(listeners: AddressListeners): Promise<void> {
    if (this.listeners !== null) throw new Error('the addresses are followed already');
    this.listeners = listeners;
    try {
      this.watcher = this.source.watch(
        (event) => this.onEvent(event),
        () => this.requestRead(),
      );
      await this.readAll();
    } catch (error) {
      this.watcher?.close();
      this.watcher = null;
      this.listeners = null;
      this.needsRead = false;
      throw error;
    }
    this.isReady = true;
    this.mirror.takeChange();
    if (this.needsRead) this.requestRead();
  }

  /**
   * The addresses of all links but kube-ipvs0, each once, in order of `compareIp`; one that is on kube-ipvs0 and elsewhere is among
   * them. Loopback and link-local ones are, IPv6 ones that failed duplicate address detection are not. The same array until one
   * changes; empty before `follow`.
   */
  current(): readonly IpAddress[] {
    return this.mirror.current();
  }

  /** Ends everything; no listener is called any more. */
  close(): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.watcher?.close();
    this.timers.clear(this.readTimer);
    this.timers.clear(this.settleTimer);
    this.source.close();
  }

  private onEvent(event: RtnetlinkEvent): void {
    if (this.isClosed) return;
    if (this.journal !== null) this.keep(this.journal, event);
    if (!this.isReady || this.listeners === null) return;
    const { listeners } = this;
    if (this.mirror.apply(event, (what) => listeners.onServiceLink(what)) === 'contradiction')
      this.requestRead();
    this.settle();
  }

  private keep(journal: RtnetlinkEvent[], event: RtnetlinkEvent): void {
    // Of the Services' link no address is kept, so none has to be brought up to date.
    if (event.kind === 'address' && event.address.linkIndex === this.mirror.serviceLinkIndex) return;
    if (journal.length < MAX_JOURNAL) journal.push(event);
    else this.needsRead = true;
  }

  private settle(): void {
    if (!this.mirror.isChanged || this.settleTimer !== null) return;
    this.settleTimer = this.timers.set(() => {
      this.settleTimer = null;
      if (this.mirror.takeChange()) this.listeners?.onChange();
    }, SETTLE_MS);
  }

  private requestRead(): void {
    this.needsRead = true;
    if (this.isClosed || !this.isReady || this.journal !== null || this.readTimer !== null) return;
    const pauseMs = Math.min(READ_PAUSE_MS * 2 ** this.failedReads, READ_PAUSE_MAX_MS);
    const delayMs = Math.max(SETTLE_MS, this.lastReadMs + pauseMs - this.timers.now());
    this.readTimer = this.timers.set(() => {
      this.readTimer = null;
      void this.readAgain();
    }, delayMs);
  }

  private async readAgain(): Promise<void> {
    this.needsRead = false;
    // Told before the read and not when the loss was noticed: whatever was lost until here, a look at the kernel from here on sees.
    this.listeners?.onServiceLink({ kind: 'lost' });
    try {
      await this.readAll();
      this.failedReads = 0;
    } catch (error) {
      if (this.isClosed) return;
      this.failedReads++;
      this.needsRead = true;
      this.listeners?.onError(error);
    }
    if (this.isClosed) return;
    this.settle();
    if (this.needsRead) this.requestRead();
  }

  /** Reads everything and applies what came meanwhile: an event the read has seen already changes nothing when applied again. */
  private async readAll(): Promise<void> {
    const journal: RtnetlinkEvent[] = [];
    this.journal = journal;
    try {
      const { links, addresses } = await this.source.read();
      if (this.isClosed) return;
      this.mirror.reset(links, addresses);
      for (const event of journal) if (this.mirror.apply(event) === 'contradiction') this.needsRead = true;
    } finally {
      this.journal = null;
      this.lastReadMs = this.timers.now();
    }
  }
}
