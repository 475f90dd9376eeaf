// In the guest: the reads that verification makes, on a kernel with IPVS and with legacy iptables, and the port where something is missing. Prints one
// JSON object.

import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { readdirSync, readFileSync } from 'node:fs';
import { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import { openLegacyFingerprint, openNftFingerprint } from '../../src/kernel/iptables-fingerprint.ts';
import { IpvsClient, type IpvsOperation } from '../../src/kernel/ipvs.ts';
import { formatServiceKey, type IpvsService } from '../../src/kernel/ipvs-codec.ts';
import { ip } from '../fixtures/netlink/ipvs-scenarios.ts';

const SERVICES = 3000;
const plain = { flags: 0, timeoutSeconds: 0, netmask: 0xffffffff, scheduler: 'rr' } as const;

function shell(script: string): string {
  return execFileSync('sh', ['-c', script], { encoding: 'utf8', timeout: 120_000 });
}

const descriptors = (): number => readdirSync('/proc/self/fd').length;

function serviceOf(i: number): IpvsService {
  if (i < 2) return { family: 'IPv4', fwmark: 7 + i, ...plain };
  if (i % 2 === 0)
    return {
      family: 'IPv6',
      protocol: 17,
      address: ip(`fd96::${i.toString(16)}`),
      port: 53,
      ...plain,
      netmask: 128,
    };
  return { family: 'IPv4', protocol: 6, address: ip(`10.96.${i >> 8}.${i & 255}`), port: 80, ...plain };
}

async function pieces(): Promise<unknown> {
  const ipvs = IpvsClient.open();
  const keys = (services: readonly IpvsService[]): string[] => services.map(formatServiceKey).toSorted();
  const before = descriptors();
  const ofNone: unknown[] = [];
  for await (const piece of ipvs.servicePieces()) ofNone.push(piece);

  const wanted = Array.from({ length: SERVICES }, (_, i) => serviceOf(i));
  await ipvs.apply(wanted.map((service): IpvsOperation => ({ op: 'NEW_SERVICE', service })));
  const all: IpvsService[] = [];
  const sizes: number[] = [];
  const others: boolean[] = [];
  for await (const piece of ipvs.servicePieces()) {
    sizes.push(piece.length);
    all.push(...piece);
    if (sizes.length !== 2) continue;
    // While the listing stands still, everything else goes on, other listings included.
    const [first = serviceOf(0)] = piece;
    others.push(ipvs.service(first)?.scheduler === 'rr');
    others.push(
      (await ipvs.apply([{ op: 'SET_SERVICE', service: { ...first, scheduler: 'rr', timeoutSeconds: 5 } }]))
        .length === 0,
    );
    others.push((await ipvs.services()).length === SERVICES);
    let inner = 0;
    for await (const other of ipvs.servicePieces()) inner += other.length;
    others.push(inner === SERVICES);
  }
  const isSame = JSON.stringify(keys(all)) === JSON.stringify(keys(wanted));

  let sizeOfFirst = 0;
  for await (const piece of ipvs.servicePieces()) {
    sizeOfFirst = piece.length;
    break;
  }
  const afterEarlyEnd = descriptors();

  // The kernel fills one datagram ahead, so what is deleted behind the first piece may still be in the second.
  const seen: number[] = [];
  for await (const piece of ipvs.servicePieces()) {
    seen.push(piece.length);
    if (seen.length === 1)
      await ipvs.apply(wanted.map((service): IpvsOperation => ({ op: 'DEL_SERVICE', service })));
  }
  const result = {
    ofNone,
    all: [all.length, isSame],
    marks: all.flatMap((service) => ('fwmark' in service ? [service.fwmark] : [])).toSorted(),
    others,
    sizes: { pieces: sizes.length, largest: Math.max(...sizes), isSomeEmpty: sizes.includes(0) },
    sizeOfFirst: sizeOfFirst > 0,
    descriptors: [afterEarlyEnd - before, descriptors() - before],
    piecesAfterFlush: seen.length,
  };
  ipvs.close();
  return result;
}

/** Sends a datagram to this machine and waits until the stack took it. */
function sendOne(type: 'udp4' | 'udp6', address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(type);
    socket.send('x', 9, address, (error) => {
      socket.close();
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}

async function legacy(): Promise<unknown> {
  const results: unknown[] = [];
  shell('ip link set lo up');
  for (const [family, tool, address, type] of [
    ['IPv4', 'iptables-legacy', '127.0.0.1', 'udp4'],
    ['IPv6', 'ip6tables-legacy', '::1', 'udp6'],
  ] as const) {
    const list = `/proc/net/${family === 'IPv4' ? 'ip' : 'ip6'}_tables_names`;
    const fingerprint = openLegacyFingerprint(family);
    const texts: (string | null)[] = [];
    const changes: string[] = [];
    const look = (what: string): void => {
      const text = fingerprint.read();
      if (text !== texts.at(-1)) changes.push(what);
      texts.push(text);
    };
    look('start');
    const created = readFileSync(list, 'latin1');
    look('nothing');
    const changed = (what: string, script: string): void => {
      shell(script);
      look(what);
    };
    changed('chain', `${tool} -t nat -N X`);
    changed('rule', `${tool} -t nat -A X -d ${address} -j ACCEPT`);
    changed('listed', `${tool}-save -c; ${tool} -t nat -L`);
    changed('other table', `${tool} -A OUTPUT -p udp -j ACCEPT`);
    await sendOne(type, address);
    look('packets');
    const isCounted = /^\[1:\d+\] -A OUTPUT/m.test(shell(`${tool}-save -c`));
    changed('rule of the same size', `${tool} -R OUTPUT 1 -p tcp -j ACCEPT`);
    changed('same rule', `${tool} -R OUTPUT 1 -p tcp -j ACCEPT`);
    changed('policy', `${tool} -P FORWARD DROP`);
    changed('flushed', `${tool} -F; ${tool} -P FORWARD ACCEPT`);
    changed('mangle', `${tool} -t mangle -A OUTPUT -j ACCEPT`);
    fingerprint.close();
    results.push({ family, first: texts[0], created, changes, isCounted, last: texts.at(-1) });
  }
  return results;
}

/** The same through the port that the backend has. */
async function port(): Promise<unknown> {
  // Node keeps a descriptor of its own once it has waited for a program.
  (await KernelPort.open(['IPv4', 'IPv6'])).close();
  const before = descriptors();
  const kernel = await KernelPort.open(['IPv4', 'IPv6']);
  const texts = [kernel.rulesFingerprint('IPv4'), kernel.rulesFingerprint('IPv6')];
  shell('ip6tables-legacy -t nat -N Y');
  const isChanged = (['IPv4', 'IPv6'] as const).map(
    (family, i) => kernel.rulesFingerprint(family) !== texts[i],
  );
  const grown: unknown[] = [];
  for (const [set, family, member] of [
    [
      'KUBE-LOAD-BALANCER-SOURCE-CIDR',
      'IPv6',
      { address: ip('fd96::1'), protocol: 6, port: 80, address2: ip('fd00::'), prefixLength2: 8 },
    ],
    ['KUBE-NODE-PORT-TCP', 'IPv4', { port: 30080 }],
  ] as const) {
    await kernel.createSet(set, family);
    await kernel.addMembers([{ set, family, members: [member] }]);
    const headersBefore = await kernel.setHeaders();
    await kernel.growSet(set, family, 1 << 17);
    const members = await kernel.setMembers(set, family);
    grown.push({
      before: [...headersBefore],
      after: [...(await kernel.setHeaders())],
      isSame: JSON.stringify(members) === JSON.stringify([member]),
    });
    shell('ipset destroy');
  }
  const pieces: unknown[] = [];
  await kernel.applyIpvs([{ op: 'NEW_SERVICE', service: serviceOf(2) }]);
  for await (const piece of kernel.servicePieces()) pieces.push(piece.map(formatServiceKey));
  kernel.close();
  return {
    isText: texts.every((text) => text !== null),
    isChanged,
    grown,
    pieces,
    descriptors: descriptors() - before,
  };
}

/** What is not there: iptables at the start, the link later. */
async function missing(): Promise<unknown> {
  const before = descriptors();
  shell('mount -t tmpfs tmpfs /usr/sbin');
  const refusal = await KernelPort.open(['IPv4']).then(
    () => null,
    ({ code }: { code?: unknown }) => code,
  );
  shell('umount /usr/sbin');
  const kernel = await KernelPort.open(['IPv4']);
  const failures = await kernel.unbind([ip('10.96.0.1')]);
  const boundAddresses = await kernel.boundAddresses();
  kernel.close();
  return { refusal, failures, boundAddresses, descriptors: descriptors() - before };
}

function nft(): unknown {
  const fingerprint = openNftFingerprint();
  const text = fingerprint.read();
  fingerprint.close();
  return text;
}

process.stdout.write(
  JSON.stringify({
    ...{ pieces: await pieces(), legacy: await legacy(), port: await port() },
    ...{ missing: await missing(), nft: nft() },
  }),
);
