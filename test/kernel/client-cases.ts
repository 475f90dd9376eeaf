// Cases for the kernel clients, run by runInNamespace in a fresh network namespace. Each returns what our client says (ours) and what
// the usual program says (theirs); the tests compare them.

import { execFileSync } from 'node:child_process';
import { ConntrackClient } from '../../src/kernel/conntrack.ts';
import { IpsetClient } from '../../src/kernel/ipset.ts';
import {
  formatMember,
  parseMember,
  SET_TYPES,
  type SetMember,
  type SetType,
} from '../../src/kernel/ipset-codec.ts';
import { NetlinkSocket } from '../../src/kernel/netlink.ts';
import { openTransport } from '../../src/kernel/netlink-transport.ts';
import { NETLINK_ROUTE, RtnetlinkClient } from '../../src/kernel/rtnetlink.ts';
import { RTM, writeAddressQuery, localRoute } from '../../src/kernel/rtnetlink-codec.ts';
import { watchRtnetlink, type RtnetlinkEvent } from '../../src/kernel/rtnetlink-watch.ts';
import { protocolError } from '../../src/kernel/wire.ts';
import { PointsmanError } from '../../src/model/errors.ts';
import type { Family, IpAddress } from '../../src/model/ip.ts';
import { ip } from '../fixtures/netlink/scenarios.ts';
import { serveCases } from './in-namespace.ts';

function shell(script: string, input = ''): string {
  return execFileSync('sh', ['-c', script], {
    encoding: 'utf8',
    input,
    timeout: 120_000,
    maxBuffer: 64 << 20,
  });
}

/** Members that `ipset list` prints, sorted. */
function printedMembers(set: string): string[] {
  const lines = shell(`ipset list ${set}`).trim().split('\n');
  return lines.slice(lines.indexOf('Members:') + 1).toSorted();
}

function memberTexts(type: SetType, family: Family, count: number): string[] {
  const at = (i: number): string =>
    family === 'IPv4' ? `10.96.${i >> 8}.${i & 255}` : `fd96::${(i + 1).toString(16)}`;
  const protocol = ['tcp', 'udp', 'sctp'];
  return Array.from({ length: count }, (_, i) => {
    const portal = `${at(i)},${protocol[i % 3]}:${i}`;
    switch (type) {
      case 'hash:ip':
        return at(i + 1);
      case 'hash:ip,port':
        return portal;
      case 'hash:ip,port,ip':
        return `${portal},${at(i)}`;
      case 'hash:ip,port,net':
        return `${portal},${family === 'IPv4' ? '172.16.0.0/12' : 'fd00::/8'}`;
      case 'bitmap:port':
        return String(i);
    }
  });
}

async function everySetType(): Promise<unknown> {
  const sets = IpsetClient.open();
  const results = [];
  for (const type of SET_TYPES) {
    for (const family of ['IPv4', 'IPv6'] as const) {
      const name = `S-${type}-${family}`;
      const members = memberTexts(type, family, 1000).map((text) => parseMember(type, family, text));
      sets.create({ name, type, family });
      const failures = [...(await sets.add(name, members)), ...(await sets.add(name, members))];
      const list = await sets.list(name);
      const all = { ours: list?.members?.map(formatMember).toSorted(), theirs: printedMembers(name) };
      failures.push(
        ...(await sets.delete(name, members.slice(0, 600))),
        ...(await sets.delete(name, members.slice(0, 600))),
      );
      const rest = {
        ours: (await sets.list(name))?.members?.map(formatMember).toSorted(),
        theirs: printedMembers(name),
      };
      results.push({ name, failures: failures.length, entries: list?.set.entries, all, rest });
    }
  }
  return results;
}

/** A set that ipset made, with members that ipset added, is read by us; ours is saved and restored by ipset. */
async function exchangeWithIpset(): Promise<unknown> {
  const sets = IpsetClient.open();
  shell(
    'ipset create T hash:ip,port family inet hashsize 1024 maxelem 65536 -exist; ipset add T 10.0.0.1,tcp:80',
  );
  sets.create({ name: 'T', type: 'hash:ip,port', family: 'IPv4' });
  sets.create({ name: 'O', type: 'hash:ip,port', family: 'IPv4' });
  shell(
    'ipset create O hash:ip,port family inet hashsize 1024 maxelem 65536 -exist; ipset add O 10.0.0.2,udp:53',
  );
  const saved = shell('ipset save O');
  shell('ipset destroy O; ipset restore', saved);
  return {
    theirs: (await sets.list('T'))?.members?.map(formatMember),
    ours: (await sets.list('O'))?.members?.map(formatMember),
    names: (await sets.headers()).map(({ name }) => name).toSorted(),
  };
}

async function fullSet(): Promise<unknown> {
  const sets = IpsetClient.open();
  sets.create({ name: 'F', type: 'hash:ip', family: 'IPv4', maxElements: 1000 });
  const addresses = Array.from({ length: 2000 }, (_, i): SetMember => ({
    address: ip(`10.1.${i >> 8}.${i & 255}`),
  }));
  // In the middle of every slice stands one that no set takes.
  const members = addresses.flatMap((member, i) =>
    i % 100 === 50 ? [{ address: ip('0.0.0.0') }, member] : [member],
  );
  const failures = await sets.add('F', members);
  return {
    zeros: failures.filter(({ error }) => error.errnoName === 'IPSET_ERR_HASH_ELEM').length,
    full: failures.filter(({ error }) => error.errnoName === 'IPSET_ERR_HASH_FULL').length,
    others: failures.filter(({ error }) => !error.errnoName.startsWith('IPSET_ERR_HASH')).length,
    present: printedMembers('F').length,
  };
}

/** Every third member is there, put by ipset or by us, and in the middle stands one that no hash takes. */
async function presentMembers(): Promise<unknown> {
  const sets = IpsetClient.open();
  const results = [];
  for (const type of SET_TYPES) {
    for (const family of ['IPv4', 'IPv6'] as const) {
      const name = `P-${type}-${family}`;
      const texts = memberTexts(type, family, 1000);
      const members = texts.map((text) => parseMember(type, family, text));
      sets.create({ name, type, family });
      const there = texts.filter((_, i) => i % 3 === 1);
      shell('ipset restore', there.map((text) => `add ${name} ${text}\n`).join(''));
      const outcome = await sets.addNew(name, members);
      const again = await sets.addNew(name, members);
      results.push({
        name,
        failures: outcome.failures.length + again.failures.length,
        isExact:
          outcome.present.map(formatMember).join() ===
          there.map((text) => formatMember(parseMember(type, family, text))).join(),
        again: again.present.length,
        entries: (await sets.list(name))?.set.entries,
      });
    }
  }
  sets.create({ name: 'Z', type: 'hash:ip', family: 'IPv4', maxElements: 3 });
  const four = ['10.0.0.1', '0.0.0.0', '10.0.0.2', '10.0.0.3', '10.0.0.1'].map((text) => ({
    address: ip(text),
  }));
  await sets.add('Z', four.slice(2, 3));
  const mixed = await sets.addNew('Z', four);
  return {
    results,
    mixed: [mixed.present.map(formatMember), mixed.failures.map(({ error }) => error.errnoName)],
  };
}

/** Sets that we do not make: other types and all extensions. */
async function foreignHeaders(): Promise<unknown> {
  const sets = IpsetClient.open();
  shell(`for type in hash:net hash:net,port hash:net,iface; do ipset create $type $type; done
    ipset create hash:ip hash:ip family inet6 timeout 1000 counters comment skbinfo; ipset add hash:ip fd00::1 timeout 500; ipset add hash:ip fd00::2
    ipset create gone hash:ip timeout 1; ipset create bitmap:ip bitmap:ip range 10.0.0.0/24; ipset add bitmap:ip 10.0.0.7; ipset create bitmap:ip,mac bitmap:ip,mac range 10.0.0.0/24 timeout 9
    ipset create list:set list:set size 4; ipset add list:set hash:net; ipset add list:set bitmap:ip; ipset create S hash:ip,port maxelem 70000; ipset add S 10.0.0.1,tcp:1-300`);
  const ours = (await sets.headers()).map(
    ({ name, type, family, entries, maxElements }) => `${name} ${type} ${family} ${entries} ${maxElements}`,
  );
  const theirs = shell('ipset list -terse')
    .trim()
    .split('\n\n')
    .map((block) => {
      const of = (pattern: RegExp): string | undefined => pattern.exec(block)?.[1];
      // A bitmap of addresses is one of IPv4, which ipset does not print.
      const inet = of(/ family (inet6?)\b/) ?? (block.includes('Type: bitmap:ip') ? 'inet' : undefined);
      const family = inet === undefined ? null : inet === 'inet' ? 'IPv4' : 'IPv6';
      return `${of(/^Name: (.*)/m)} ${of(/^Type: (.*)/m)} ${family} ${of(/^Number of entries: (.*)/m)} ${of(/ maxelem (\d+)/)}`;
    });
  return { ours: ours.toSorted(), theirs: theirs.toSorted() };
}

async function busySet(): Promise<unknown> {
  const sets = IpsetClient.open();
  sets.create({ name: 'B', type: 'hash:ip', family: 'IPv4' });
  shell('iptables-legacy -A INPUT -m set --match-set B src -j ACCEPT');
  const outcomes: string[] = [];
  for (const call of [() => sets.destroy('B'), () => sets.rename('B', 'C')]) {
    try {
      call();
      outcomes.push('ok');
    } catch (error) {
      outcomes.push(error instanceof PointsmanError ? error.message : `not typed: ${String(error)}`);
    }
  }
  shell('iptables-legacy -F INPUT');
  return { outcomes, references: (await sets.headers())[0]?.references, isDestroyed: sets.destroy('B') };
}

/** The kind of link that this kernel has: dummy where it can, else a bridge, which takes addresses alike. */
function addVipLink(rtnetlink: RtnetlinkClient): number {
  try {
    rtnetlink.addLink('kube-ipvs0');
  } catch {
    rtnetlink.addLink('kube-ipvs0', 'bridge');
  }
  const link = rtnetlink.link('kube-ipvs0');
  if (link === null) throw new Error('the link is not there');
  return link.index;
}

function printedAddresses(): string[] {
  return shell('ip -o addr show dev kube-ipvs0')
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split(/\s+/)[3] ?? '')
    .toSorted();
}

const VIPS: readonly IpAddress[] = [
  ...Array.from({ length: 300 }, (_, i) => ip(`10.96.${i >> 8}.${i & 255}`)),
  ...Array.from({ length: 200 }, (_, i) => ip(`fd96::${(i + 1).toString(16)}`)),
];

async function manyAddresses(): Promise<unknown> {
  const rtnetlink = RtnetlinkClient.open();
  const linkIndex = addVipLink(rtnetlink);
  const listed = async (): Promise<string[]> =>
    (await rtnetlink.addresses({ linkIndex }))
      .map(({ address, prefixLength }) => `${address}/${prefixLength}`)
      .toSorted();
  const failures = [
    ...(await rtnetlink.addAddresses(linkIndex, VIPS)).failures,
    ...(await rtnetlink.addAddresses(linkIndex, VIPS)).failures,
  ];
  const all = { ours: await listed(), theirs: printedAddresses() };
  const half = VIPS.filter((_, i) => i % 2 === 0);
  failures.push(
    ...(await rtnetlink.deleteAddresses(linkIndex, half)),
    ...(await rtnetlink.deleteAddresses(linkIndex, half)),
  );
  const rest = { ours: await listed(), theirs: printedAddresses() };
  const line = shell('ip -o addr show to 10.96.0.1/32').trim();
  const links = (await rtnetlink.links()).map(({ index, name }) => `${index} ${name}`);
  const theirLinks = shell('ip -o link');
  const deleted = [rtnetlink.deleteLink('kube-ipvs0'), rtnetlink.deleteLink('kube-ipvs0')];
  return { failures: failures.length, all, rest, line, links, theirLinks, deleted };
}

async function localRoutes(): Promise<unknown> {
  const rtnetlink = RtnetlinkClient.open();
  const linkIndex = addVipLink(rtnetlink);
  rtnetlink.setLinkUp(linkIndex, true);
  const v4 = localRoute('IPv4', ip('10.96.0.0'), 12, linkIndex);
  const v6 = localRoute('IPv6', ip('fd96::'), 108, linkIndex);
  const failures = [...(await rtnetlink.addRoutes([v4, v6])), ...(await rtnetlink.addRoutes([v4, v6]))];
  const printed = shell(
    'ip route show table local dev kube-ipvs0; ip -6 route show table local dev kube-ipvs0',
  );
  const present = (await rtnetlink.routes({ family: 'IPv4', table: 255 })).some(
    (route) => route.destination === '10.96.0.0',
  );
  failures.push(...(await rtnetlink.deleteRoutes([v4, v6])), ...(await rtnetlink.deleteRoutes([v4, v6])));
  const after = shell(
    'ip route show table local dev kube-ipvs0; ip -6 route show table local dev kube-ipvs0',
  );
  return { failures: failures.length, printed, present, after };
}

/** Waits until `isDone`, at most 5 s. */
async function until(isDone: () => boolean): Promise<boolean> {
  for (let i = 0; i < 500 && !isDone(); i++) await new Promise((resolve) => setTimeout(resolve, 10));
  return isDone();
}

async function events(): Promise<unknown> {
  const seen: string[] = [];
  const describeEvent = (event: RtnetlinkEvent): string => {
    if (event.kind === 'link') return `link ${event.change} ${event.link.name}`;
    if (event.kind === 'address') return `address ${event.change} ${event.address.address}`;
    return `route ${event.change} ${event.route.destination}/${event.route.prefixLength}`;
  };
  const lost: string[] = [];
  const monitor = watchRtnetlink(
    ['LINK', 'IPV4_IFADDR', 'IPV6_IFADDR', 'IPV4_ROUTE', 'IPV6_ROUTE'],
    (event) => seen.push(describeEvent(event)),
    (why) => lost.push(why),
  );
  shell(
    'ip link add br0 type bridge; ip addr add 10.0.0.1/32 dev br0; ip addr add fd00::1/128 dev br0; ip link del br0',
  );
  await until(() => seen.includes('link deleted br0'));
  const quiet = { seen: [...seen], lost: [...lost] };
  // A storm while the loop is blocked: more than the socket's buffer holds.
  shell('ip link add br1 type bridge');
  shell(
    'ip -batch -',
    Array.from({ length: 12_000 }, (_, i) => `addr add 10.8.${i >> 8}.${i & 255}/32 dev br1\n`).join(''),
  );
  const isLost = await until(() => lost.length > 0);
  shell('ip link add after type bridge');
  const seesMore = await until(() => seen.includes('link new after'));
  monitor.close();
  return { quiet, isLost, lost: [...new Set(lost)], seesMore };
}

/** A decoder that fails in the middle of a dump must not leave the kernel's dump running on the socket. */
async function dumpAfterFailedDump(): Promise<unknown> {
  const rtnetlink = RtnetlinkClient.open();
  const linkIndex = addVipLink(rtnetlink);
  await rtnetlink.addAddresses(
    linkIndex,
    Array.from({ length: 3000 }, (_, i) => ip(`10.7.${i >> 8}.${i & 255}`)),
  );
  const socket = new NetlinkSocket(openTransport(NETLINK_ROUTE));
  const build = (writer: Parameters<typeof writeAddressQuery>[0]): void => writeAddressQuery(writer, 'IPv4');
  const failing = socket.dump(
    RTM.GETADDR,
    build,
    () => {
      throw protocolError('a test');
    },
    'addresses',
  );
  const code = await failing.then(
    () => 'none',
    (error: unknown) => (error instanceof PointsmanError ? error.code : 'not typed'),
  );
  const addresses = await socket.dump(RTM.GETADDR, build, () => 1, 'addresses');
  return { code, count: addresses.length };
}

async function conntrackOfTraffic(): Promise<unknown> {
  shell(`ip link set lo up
iptables-legacy -A OUTPUT -m conntrack --ctstate NEW -j ACCEPT; ip6tables-legacy -A OUTPUT -m conntrack --ctstate NEW -j ACCEPT
iptables-legacy -t raw -A OUTPUT -p udp --dport 5002 -j CT --zone 7
iptables-legacy -t mangle -A POSTROUTING -p udp --dport 5003 -j CONNMARK --set-mark 9
bash -c 'for p in 5001 5002 5003 5004; do echo x > /dev/udp/127.0.0.1/$p; echo x > /dev/udp/127.0.0.2/$p; echo x > /dev/udp/::1/$p; done' 2>&1`);
  const printed = (): string[] =>
    shell('cat /proc/net/nf_conntrack')
      .trim()
      .split('\n')
      .filter((line) => line !== '');
  const conntrack = ConntrackClient.open();
  const entries = [
    ...(await conntrack.list({ family: 'IPv4' })),
    ...(await conntrack.list({ family: 'IPv6' })),
  ];
  const before = printed();
  const some = await conntrack.list({
    family: 'IPv4',
    original: { destination: ip('127.0.0.2'), protocol: 17 },
  });
  const byAddress = await conntrack.list({
    family: 'IPv6',
    original: { destination: ip('::1'), protocol: 17, destinationPort: 5004 },
  });
  const byOtherAddress = await conntrack.list({
    family: 'IPv6',
    original: { destination: ip('::2'), protocol: 17 },
  });
  const outcome = await conntrack.delete(some);
  const after = printed();
  const again = await conntrack.delete(some);
  return {
    ours: entries.map((entry) => [
      entry.family,
      entry.original.sourcePort,
      entry.original.destinationPort,
      entry.zone,
      entry.mark,
    ]),
    before,
    some: some.length,
    ipv6: [byAddress.map(({ original }) => original.destinationPort), byOtherAddress.length],
    outcome,
    after,
    again,
  };
}

/** An entry whose id is another's, as of a later connection with the same tuple, is not deleted in its place. */
async function conntrackTwin(): Promise<unknown> {
  shell('ip link set lo up; iptables-legacy -A OUTPUT -m conntrack --ctstate NEW -j ACCEPT');
  shell("bash -c 'echo x > /dev/udp/127.0.0.1/5001' 2>&1");
  const conntrack = ConntrackClient.open();
  const entries = await conntrack.list({ family: 'IPv4' });
  const twins = await conntrack.delete(entries.map((entry) => ({ ...entry, id: entry.id ^ 1 })));
  return { count: entries.length, twins, left: (await conntrack.list({ family: 'IPv4' })).length };
}

await serveCases({
  everySetType,
  exchangeWithIpset,
  fullSet,
  presentMembers,
  busySet,
  foreignHeaders,
  manyAddresses,
  localRoutes,
  events,
  dumpAfterFailedDump,
  conntrackOfTraffic,
  conntrackTwin,
});
