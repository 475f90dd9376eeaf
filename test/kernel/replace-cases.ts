// Cases for replaceSet, run by runInNamespace in a fresh network namespace: what ipset, rules and packets see of it.

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { IpsetClient } from '../../src/kernel/ipset.ts';
import { formatMember, type SetDefinition, type SetMember } from '../../src/kernel/ipset-codec.ts';
import { replaceSet } from '../../src/kernel/ipset-replace.ts';
import { errorLine } from '../../src/model/errors.ts';
import { ip } from '../fixtures/netlink/scenarios.ts';
import { serveCases } from './in-namespace.ts';

const FULL = 65_536;
const MANY = 70_000;
const TEMPORARY = 'POINTSMAN-TMP';

function shell(script: string): string {
  return execFileSync('sh', ['-c', script], { encoding: 'utf8', timeout: 120_000, maxBuffer: 64 << 20 });
}

function printed(set: string): string[] {
  const lines = shell(`ipset list ${set}`).trim().split('\n');
  return lines.slice(lines.indexOf('Members:') + 1).toSorted();
}

const setNames = (): string[] => shell('ipset list -name').trim().split('\n').toSorted();

/** Sends datagrams to 127.0.0.1:9 until it gets a message, and then tells how many; the first one is told of at once. */
const SENDER = `
  const { parentPort } = require('node:worker_threads');
  const socket = require('node:dgram').createSocket('udp4');
  let sent = 0;
  let isStopped = false;
  parentPort.once('message', () => { isStopped = true; });
  const next = () => socket.send('x', 9, '127.0.0.1', () => {
    sent++;
    if (sent === 1) parentPort.postMessage('first');
    if (isStopped) { socket.close(); parentPort.postMessage(sent); } else setImmediate(next);
  });
  next();
`;

/** A full set of 65,536 grows under a rule that matches packets of another thread, and then takes 70,000. */
async function growUnderRule(): Promise<unknown> {
  const sets = IpsetClient.open();
  const set: SetDefinition = { name: 'S', type: 'hash:ip,port', family: 'IPv4', maxElements: FULL };
  const members = Array.from({ length: MANY }, (_, i): SetMember =>
    i === 0
      ? { address: ip('127.0.0.1'), protocol: 17, port: 9 }
      : { address: ip(`10.96.${(i >> 8) & 255}.${i & 255}`), protocol: 6, port: 1 + (i >> 16) },
  );
  sets.create(set);
  const filled = await sets.add('S', members.slice(0, FULL));
  // The kernel looks at the number of members only where a part of the hash holds more than its share, so it takes some more than it should.
  const refused = await sets.add('S', members.slice(FULL, FULL + 500));
  shell(`ipset create ${TEMPORARY} bitmap:port range 1-10; ipset add ${TEMPORARY} 7; ip link set lo up`);
  shell(
    `iptables-legacy -A OUTPUT -m set --match-set S dst,dst -j ACCEPT; iptables-legacy -A OUTPUT -p udp -j ACCEPT`,
  );
  const sender = new Worker(SENDER, { eval: true });
  await once(sender, 'message');
  await replaceSet(sets, { ...set, maxElements: 2 * FULL }, TEMPORARY);
  const stopped = once(sender, 'message');
  sender.postMessage('stop');
  const [sent] = await stopped;
  const [hits, misses] = [...shell('iptables-legacy-save -c').matchAll(/^\[(\d+):\d+\] -A OUTPUT/gm)].map(
    (match) => Number(match[1]),
  );
  const rest = await sets.add('S', members.slice(FULL));
  const header = (await sets.headers()).find(({ name }) => name === 'S');
  const listed = (await sets.list('S'))?.members?.map(formatMember).toSorted() ?? [];
  const wanted = members.map(formatMember).toSorted();
  return {
    filled: filled.length,
    refused: [...new Set(refused.map(({ error }) => error.errnoName))],
    packets: { isSome: sent > 1, isEveryHit: hits === sent, misses },
    rest: rest.length,
    header: [header?.entries, header?.maxElements, header?.references],
    isComplete: listed.length === MANY && listed.every((text, i) => text === wanted[i]),
    names: setNames(),
  };
}

/** Sets that others created with parameters of their own come to ours, with every kind of member. */
async function foreignParameters(): Promise<unknown> {
  const sets = IpsetClient.open();
  shell(`ipset create small hash:ip,port hashsize 64 maxelem 3 timeout 600 counters comment
    for port in 1 2 3; do ipset add small 10.0.0.1,tcp:$port comment c$port; done
    ipset create nets hash:ip,port,net family inet6 maxelem 3
    ipset add nets fd00::1,tcp:80,fd00:1::/32; ipset add nets fd00::1,tcp:80,fd00:1:2::/48 nomatch
    ipset create ports bitmap:port range 100-200; ipset add ports 100; ipset add ports 200`);
  const definitions: SetDefinition[] = [
    { name: 'small', type: 'hash:ip,port', family: 'IPv4', hashSize: 1024, maxElements: 65536 },
    { name: 'nets', type: 'hash:ip,port,net', family: 'IPv6', hashSize: 1024, maxElements: 65536 },
    { name: 'ports', type: 'bitmap:port', family: 'IPv4' },
  ];
  for (const definition of definitions) {
    await replaceSet(sets, definition, TEMPORARY);
    // The kernel refuses this when the set differs from its definition.
    sets.create(definition);
  }
  return {
    headers: definitions.map(({ name }) =>
      /^Header: (.*)$/m.exec(shell(`ipset list ${name}`))?.[1]?.replace(/ bucketsize.*/, ''),
    ),
    members: definitions.map(({ name }) => printed(name)),
    names: setNames(),
  };
}

async function failures(): Promise<unknown> {
  const sets = IpsetClient.open();
  shell(`ipset create S hash:ip maxelem 100; for i in 1 2 3; do ipset add S 10.0.0.$i; done; ipset create N hash:net; ipset create six hash:ip family inet6
    ipset create KEPT hash:ip; ipset add KEPT 10.9.9.9; iptables-legacy -A INPUT -m set --match-set KEPT src -j ACCEPT`);
  const before = shell('ipset save | sort');
  const outcome = (set: Partial<SetDefinition>, temporary = TEMPORARY): Promise<string> =>
    replaceSet(
      sets,
      { name: 'S', type: 'hash:ip', family: 'IPv4', maxElements: 1000, ...set },
      temporary,
    ).then(() => 'ok', errorLine);
  const lines = [
    await outcome({ name: 'missing' }),
    await outcome({ type: 'hash:ip,port' }),
    await outcome({ name: 'N' }),
    await outcome({ name: 'six' }),
    await outcome({ maxElements: 2 }),
    await outcome({}, 'KEPT'),
  ];
  const isUnchanged = shell('ipset save | sort') === before;
  const two = await Promise.all([outcome({}), outcome({})]);
  return {
    lines,
    isUnchanged,
    two,
    after: [/maxelem \d+/.exec(shell('ipset list S'))?.[0], ...printed('S')],
    names: setNames(),
  };
}

await serveCases({ growUnderRule, foreignParameters, failures });
