// Cases for the addresses of this machine, run by runInNamespace in a fresh network namespace: ip(8) changes links and addresses, and
// what the follower says is compared with it. A bridge stands in for the dummy link: only its name matters.

import { execFileSync } from 'node:child_process';
import { LocalAddresses } from '../../src/daemon/local-addresses.ts';
import { RtnetlinkClient } from '../../src/kernel/rtnetlink.ts';
import { serveCases } from './in-namespace.ts';

function ip(...commands: string[]): void {
  execFileSync('ip', ['-batch', '-'], {
    input: commands.map((one) => `${one}\n`).join(''),
    timeout: 120_000,
  });
}

async function until(condition: () => boolean, timeoutMs = 8000): Promise<boolean> {
  for (const endMs = performance.now() + timeoutMs; performance.now() < endMs;) {
    if (condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return condition();
}

/** A namespace with lo, a pair of links and kube-ipvs0, followed; `says` waits until the addresses are these. */
async function follow() {
  ip(
    'link set lo up',
    'link add eth0 type veth peer name eth1',
    'link add kube-ipvs0 type bridge',
    'addr add 192.168.50.11/24 dev eth0',
    'addr add 10.96.0.1/32 dev kube-ipvs0',
  );
  const addresses = new LocalAddresses();
  const service: string[] = [];
  let changes = 0;
  await addresses.follow({
    onChange: () => changes++,
    onServiceLink: (event) =>
      service.push(event.kind === 'address-gone' ? `gone ${event.address}` : event.kind),
    onError: (error) => service.push(String(error)),
  });
  const text = (): string =>
    addresses
      .current()
      .filter((one) => !/^(127|fe80|::1)/.test(one))
      .join(' ');
  /** Waits for this list and for the word that there is one; the list and how often there was a word. */
  const says = async (expected: string): Promise<string> => {
    const before = changes;
    await until(() => text() === expected && changes > before);
    return `${changes - before} ${text()}`;
  };
  return { addresses, service, text, says, changes: () => changes };
}

async function everyChange(): Promise<unknown> {
  const { addresses, service, text, says, changes } = await follow();
  const steps: Record<string, unknown> = { first: addresses.current(), once: await addresses.read() };
  ip('addr add 192.0.2.1/24 dev eth0', 'addr add fd00::1/64 dev eth0 nodad');
  steps['added'] = await says('192.0.2.1 192.168.50.11 fd00::1');
  ip(
    'addr add 192.0.2.1/32 dev eth1',
    'addr add 192.0.2.1/32 dev eth0',
    'addr add 192.0.2.1 peer 192.0.2.9/32 dev eth0',
  );
  ip('addr del 192.0.2.1/24 dev eth0', 'addr del 192.0.2.1/32 dev eth0', 'addr del 192.0.2.1/32 dev eth1');
  ip('addr add 198.51.100.1/32 dev eth1');
  steps['withPeerOnly'] = await says('192.0.2.1 192.168.50.11 198.51.100.1 fd00::1');
  ip('addr del 192.0.2.1 peer 192.0.2.9/32 dev eth0');
  steps['without'] = await says('192.168.50.11 198.51.100.1 fd00::1');
  // A bridge says RTM_DELLINK when a port leaves it; the port and its addresses stay.
  ip(
    'link add br0 type bridge',
    'link set eth0 master br0',
    'link set eth0 nomaster',
    'link set eth0 name wan',
    'addr add 192.0.2.2/32 dev wan',
  );
  steps['renamed'] = await says('192.0.2.2 192.168.50.11 198.51.100.1 fd00::1');
  ip('addr add 10.96.0.1/32 dev br0');
  steps['shared'] = await says('10.96.0.1 192.0.2.2 192.168.50.11 198.51.100.1 fd00::1');
  ip('addr add 10.96.0.2/32 dev kube-ipvs0', 'addr del 10.96.0.1/32 dev kube-ipvs0');
  await until(() => service.length === 1);
  ip(
    'link del kube-ipvs0',
    'link add kube-ipvs0 type bridge',
    'addr add 10.96.0.3/32 dev kube-ipvs0',
    'addr del 10.96.0.3/32 dev kube-ipvs0',
  );
  await until(() => service.length === 4);
  steps['service'] = [...service];
  ip('link del wan');
  steps['deleted'] = await says('10.96.0.1');
  const before = changes();
  ip('addr add 10.96.0.4/32 dev kube-ipvs0', 'link set kube-ipvs0 name other');
  // The kernel tells of IPv4 addresses again when their link is renamed, so the list is right before the read is.
  await until(() => text().includes('10.96.0.4') && changes() > before && service.includes('lost'));
  steps['renamedService'] = [text(), ...service.slice(4)];
  steps['isAsRead'] = (await addresses.read()).join() === addresses.current().join();
  addresses.close();
  return steps;
}

/** Two ends of one cable with the same IPv6 address: the second one's detection fails. */
async function duplicate(): Promise<unknown> {
  const { addresses, text, says } = await follow();
  const flagsOn = (link: string): string =>
    execFileSync('ip', ['-6', '-o', 'addr', 'show', 'dev', link, 'to', 'fd00::1'], { encoding: 'utf8' });
  ip('link set eth0 up', 'link set eth1 up', 'addr add fd00::1/64 dev eth0');
  const tentative = await says('192.168.50.11 fd00::1');
  await until(() => !flagsOn('eth0').includes('tentative'));
  ip('addr add fd00::1/64 dev eth1');
  await until(() => flagsOn('eth1').includes('dadfailed'));
  const whileOwned = text();
  ip('addr del fd00::1/64 dev eth0');
  const failed = await says('192.168.50.11');
  const result = {
    tentative,
    whileOwned,
    failed,
    isFailedThere: flagsOn('eth1').includes('dadfailed'),
    localRoutes: execFileSync('ip', ['-6', 'route', 'show', 'table', 'local', 'fd00::1'], {
      encoding: 'utf8',
    }),
  };
  addresses.close();
  return result;
}

/** More events than the receive buffer holds, while Node's loop stands still: the loss is found, told, and put right by few reads. */
async function storm(): Promise<unknown> {
  const { addresses, service, text } = await follow();
  const many = Array.from({ length: 12_000 }, (_, i) => `10.97.${i >> 8}.${i & 255}`);
  ip(...many.map((one) => `addr add ${one}/32 dev kube-ipvs0`), 'addr add 192.0.2.1/32 dev eth0');
  const isFound = await until(() => text() === '192.0.2.1 192.168.50.11');
  const afterAdd = [...service];
  ip('addr del 192.0.2.1/32 dev eth0');
  const isAlive = await until(() => text() === '192.168.50.11');
  service.length = 0;
  ip('link del kube-ipvs0');
  await until(() => service.includes('lost') || service.includes('link-gone'));
  const afterDelete = service.filter((one) => !one.startsWith('gone'));
  addresses.close();
  return { isFound, isAlive, afterAdd, afterDelete };
}

/** Our own bind, read and drained in turn: nothing is lost, nothing is told, and a read meanwhile is not disturbed. */
async function ownBind(): Promise<unknown> {
  const { addresses, service, text, changes } = await follow();
  const client = RtnetlinkClient.open();
  const serviceIndex = client.link('kube-ipvs0')?.index ?? 0;
  const many = Array.from({ length: 5000 }, (_, i) => `10.97.${i >> 8}.${i & 255}` as never);
  const [{ failures }, ...reads] = await Promise.all([
    client.addAddresses(serviceIndex, many),
    ...Array.from({ length: 20 }, () => addresses.read()),
  ]);
  const afterBind = [...service];
  await client.deleteAddresses(serviceIndex, many);
  await until(() => service.length >= many.length);
  const of = await client.addressesOf([1, serviceIndex, 9999]);
  client.close();
  addresses.close();
  return {
    failures: failures.length,
    reads: [...new Set(reads.map((one) => one.join(' ')))],
    afterBind,
    gone: new Set(service).size,
    changes: changes(),
    text: text(),
    of: of.map(({ address }) => address),
  };
}

await serveCases({ everyChange, duplicate, storm, ownBind });
