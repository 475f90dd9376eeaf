// One measurement of `npm run bench -- addresses`: N service addresses made in one way, in the namespace it is started in, inside a guest or
// in an empty one of this machine. Its result goes as JSON into the results folder.
//   node bench/addresses-guest.ts WAY N FAMILY

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeSocketAddress } from '../lab/socket-address.ts';
import { AF_INET, AF_INET6, close, connect, SOCK_CLOEXEC, SOCK_DGRAM, socket } from '../src/kernel/libc.ts';
import { RtnetlinkClient } from '../src/kernel/rtnetlink.ts';
import { PointsmanError } from '../src/model/errors.ts';
import type { Family, IpAddress } from '../src/model/ip.ts';
import { benchAddress, makeDevice, openWay, WAYS, type OpenWay, type Way } from './addresses-ways.ts';

/** What a measurement gives; times in milliseconds unless the name says otherwise. */
export interface AddressesResult {
  readonly addMs: number;
  /** The longest time between two slices of additions: how long Node's loop was held. Of one device and of routes only. */
  readonly longestAddBlockMs: number;
  readonly addOneMs: number;
  readonly removeOneMs: number;
  readonly listMs: number;
  readonly ipListMs: number;
  readonly removeMs: number;
  /** CPU time of this process, the kernel's work for it included; what is left of addMs where nobody else needs the machine. */
  readonly addCpuMs: number;
  readonly removeCpuMs: number;
  /** CPU time of one connect() of a UDP socket to the LAN: the kernel looks up a route and chooses a source address. */
  readonly connectCpuUs: number;
  /** What the kernel's own memory (slab) grew by. */
  readonly kernelMb: number;
  /** Deleting the device or devices with everything on them; null where it was not measured. */
  readonly deleteDevicesMs: number | null;
}

const ROUNDS = 15;
/** Added and removed beforehand, so that what Node does for the first time does not count. */
const WARM_UP = 256;
const CONNECTS = 500;
const QUIET_ATTEMPTS = 20;
/** A prime: rounds go all over the addresses. */
const STRIDE = 7919;
/** Above this adding everything a second time, for its removal by device, takes too long. */
const MAX_ADDED_TWICE = 10_000;
const OUTSIDE = {
  IPv4: { own: '192.168.50.11/24', other: '192.168.50.99' },
  IPv6: { own: 'fd00:50::11/64', other: 'fd00:50::99' },
} as const;

const [wayText = '', countText = '', familyText = ''] = process.argv.slice(2);
const count = Number(countText);

async function measure(way: Way, family: Family): Promise<AddressesResult> {
  // A LAN, so that there is a source address to choose.
  const links = RtnetlinkClient.open();
  makeDevice(links, 'lan0');
  ip(['link', 'set', 'lan0', 'up']);
  ip(['addr', 'add', OUTSIDE[family].own, 'dev', 'lan0', ...(family === 'IPv6' ? ['nodad'] : [])]);
  const open = await openWay(way, family, links);
  const addresses = Array.from({ length: count }, (_, i) => benchAddress(family, i));
  await open.add(addresses.slice(0, WARM_UP));
  await open.remove(addresses.slice(0, WARM_UP));
  const slabBefore = slabBytes();
  const blocks = new LongestGap();
  const adding = await timedCpu(() => open.add(blocks.watch(addresses)));
  const kernelMb = (slabBytes() - slabBefore) / 1e6;
  await quiet(open);
  const listed: number[] = [];
  const listMs = await medianOf(3, async () => {
    listed.push(await open.list());
  });
  const expected = way === 'one route' ? 1 : count;
  if (listed.some((entries) => entries < expected))
    throw new Error(`${listed.join()} of ${expected} entries are there`);
  const ipListMs = await medianOf(3, async () => ip(open.listArguments));
  const connecting = await timedCpu(async () => connectAll(family));
  const addTimes: number[] = [];
  const removeTimes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const one = [benchAddress(family, (round * STRIDE) % count)];
    removeTimes.push(await timed(() => open.remove(one)));
    addTimes.push(await timed(() => open.add(one)));
  }
  const removing = await timedCpu(() => open.remove(addresses));
  let deleteDevicesMs: number | null = null;
  if (count <= MAX_ADDED_TWICE) {
    await open.add(addresses);
    deleteDevicesMs = await timed(async () => open.deleteDevices());
  }
  return {
    addMs: adding.wallMs,
    addCpuMs: adding.cpuMs,
    longestAddBlockMs: blocks.longestMs,
    addOneMs: median(addTimes),
    removeOneMs: median(removeTimes),
    listMs,
    ipListMs,
    removeMs: removing.wallMs,
    removeCpuMs: removing.cpuMs,
    connectCpuUs: (connecting.cpuMs * 1000) / CONNECTS,
    kernelMb,
    deleteDevicesMs,
  };
}

/** Waits until the kernel has done what an IPv6 address leaves to its own threads: until then each listing is interrupted. */
async function quiet(open: OpenWay): Promise<void> {
  for (let attempt = 0; attempt < QUIET_ATTEMPTS; attempt++) {
    try {
      await open.list();
      return;
    } catch (error) {
      if (!(error instanceof PointsmanError) || error.code !== 'DUMP_INTERRUPTED') throw error;
    }
  }
}

/** Sees how long the one who takes the values stays away. */
class LongestGap {
  longestMs = 0;

  *watch(values: readonly IpAddress[]): Generator<IpAddress> {
    let beforeMs = performance.now();
    for (const value of values) {
      const nowMs = performance.now();
      this.longestMs = Math.max(this.longestMs, nowMs - beforeMs);
      beforeMs = nowMs;
      yield value;
    }
  }
}

function connectAll(family: Family): void {
  const destination = encodeSocketAddress(OUTSIDE[family].other, 9);
  for (let i = 0; i < CONNECTS; i++) {
    const { value: fd } = socket(family === 'IPv4' ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    const { errno } = connect(fd, destination);
    close(fd);
    if (errno !== 0) throw new Error(`connect: errno ${errno}`);
  }
}

function slabBytes(): number {
  return Number(/^Slab:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'ascii'))?.[1] ?? 0) * 1024;
}

function ip(args: readonly string[]): void {
  const familyFlag = familyText === 'IPv6' ? '-6' : '-4';
  const done = spawnSync('/sbin/ip', [familyFlag, ...args], { maxBuffer: 1 << 26 });
  if (done.status !== 0) throw new Error(`ip ${args.join(' ')}: ${done.stderr.toString().slice(0, 500)}`);
}

async function timed(work: () => Promise<void>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

async function timedCpu(work: () => Promise<void>): Promise<{ wallMs: number; cpuMs: number }> {
  const cpuAtStart = process.cpuUsage();
  const wallMs = await timed(work);
  const { user, system } = process.cpuUsage(cpuAtStart);
  return { wallMs, cpuMs: (user + system) / 1000 };
}

async function medianOf(runs: number, work: () => Promise<void>): Promise<number> {
  const times: number[] = [];
  for (let run = 0; run < runs; run++) times.push(await timed(work));
  return median(times);
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

const way = WAYS.find((name) => name === wayText);
if (way === undefined || !(count > 0) || (familyText !== 'IPv4' && familyText !== 'IPv6'))
  throw new Error(`no such measurement: ${process.argv.slice(2).join(' ')}`);
const result = await measure(way, familyText);
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(result));
process.exit(0);
