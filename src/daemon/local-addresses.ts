// The addresses of this machine, followed live: NodePorts answer on them. kube-ipvs0's own are left out.

import { SERVICE_LINK } from '../backends/ipvs/kernel-port.ts';
import { RtnetlinkClient } from '../kernel/rtnetlink.ts';
import { watchRtnetlink, type RtnetlinkEvent } from '../kernel/rtnetlink-watch.ts';
import type { IpAddress } from '../model/ip.ts';

/** Changes come in bursts (an interface that appears brings several addresses); they are read once, this much later. */
const SETTLE_MS = 50;

export class LocalAddresses {
  private readonly client = RtnetlinkClient.open();
  private watcher: { close(): void } | null = null;
  private timer: NodeJS.Timeout | null = null;

  /** All addresses now, sorted by link and order of the kernel. */
  async read(): Promise<IpAddress[]> {
    const serviceLink = this.client.link(SERVICE_LINK)?.index;
    const addresses = await this.client.addresses();
    return addresses.filter(({ linkIndex }) => linkIndex !== serviceLink).map(({ address }) => address);
  }

  /** Calls back when addresses may have changed; what they are is read again then. */
  watch(onChange: () => void): void {
    let serviceLink = this.client.link(SERVICE_LINK)?.index;
    const later = (): void => {
      this.timer ??= setTimeout(() => {
        this.timer = null;
        onChange();
      }, SETTLE_MS);
      this.timer.unref();
    };
    const onEvent = (event: RtnetlinkEvent): void => {
      if (event.kind === 'link' && event.link.name === SERVICE_LINK) serviceLink = event.link.index;
      // Our own work on kube-ipvs0 is most of the traffic here and means nothing.
      else if (event.kind === 'address' && event.address.linkIndex !== serviceLink) later();
    };
    this.watcher = watchRtnetlink(['LINK', 'IPV4_IFADDR', 'IPV6_IFADDR'], onEvent, later);
  }

  close(): void {
    this.watcher?.close();
    if (this.timer !== null) clearTimeout(this.timer);
    this.client.close();
  }
}
