// One measurement of the flows bench: `node bench/flows-run.ts ENTRIES`, in a network namespace of its own that ends with the process.
// Fills conntrack with balanced UDP flows of 2,000 portals and times what a pass is made of. Prints one JSON object.

import { execFileSync } from 'node:child_process';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { FlowKeeper } from '../src/backends/flow-keeper.ts';
import { flowFilters, isStaleFlow, portalId, type FlowChange } from '../src/backends/stale-flows.ts';
import { ConntrackClient } from '../src/kernel/conntrack.ts';
import { CONNTRACK_CMD, encodeTuple, STATUS, TUPLE_ATTR } from '../src/kernel/conntrack-codec.ts';
import { NetlinkSocket, nextTurn, NLM_F_CREATE, NLM_F_EXCL } from '../src/kernel/netlink.ts';
import { openTransport } from '../src/kernel/netlink-transport.ts';
import { NETLINK_NETFILTER, nfnetlinkType, SUBSYSTEM, writeNfgenmsg } from '../src/kernel/nfnetlink.ts';
import { AF_INET } from '../src/kernel/libc.ts';
import { readSysctl } from '../src/kernel/sysctl.ts';
import type { IpAddress } from '../src/model/ip.ts';

const ROUNDS = 15;
const PORTALS = 2000;
const UDP = 17;
/** CTA_STATUS, CTA_TIMEOUT */
const ATTR_STATUS = 3;
const ATTR_TIMEOUT = 7;

const entries = Number(process.argv[2]);

const at = (network: number, index: number): IpAddress =>
  `10.${network}.${(index >> 8) & 255}.${index & 255}` as IpAddress;
const serverOf = (portal: number): { address: IpAddress; port: number } => ({
  address: at(244, portal),
  port: 5353,
});

/** The portals `from` up to `to`; of every hundredth the server is another one than its flows have. */
function changes(from: number, to: number): Map<string, FlowChange> {
  const made = new Map<string, FlowChange>();
  for (let i = from; i < to; i++) {
    const portal = { protocol: UDP, address: at(96, i), port: 53 };
    made.set(portalId(portal.address, portal.port), {
      portal,
      realServers: [serverOf(i % 100 === 99 ? i + PORTALS : i)],
    });
  }
  return made;
}

function fill(): void {
  const socket = new NetlinkSocket(openTransport(NETLINK_NETFILTER));
  for (let i = 0; i < entries; i++) {
    const type = nfnetlinkType(SUBSYSTEM.CTNETLINK, CONNTRACK_CMD.NEW);
    const writer = socket.begin(type, NLM_F_CREATE | NLM_F_EXCL);
    const client = { source: at(1, i), sourcePort: 1024 + (i >> 16) };
    const server = serverOf(i % PORTALS);
    writeNfgenmsg(writer, AF_INET);
    encodeTuple(writer, TUPLE_ATTR.ORIGINAL, {
      ...client,
      destination: at(96, i % PORTALS),
      destinationPort: 53,
      protocol: UDP,
    });
    encodeTuple(writer, TUPLE_ATTR.REPLY, {
      source: server.address,
      sourcePort: server.port,
      destination: client.source,
      destinationPort: client.sourcePort,
      protocol: UDP,
    });
    writer.attrU32Be(ATTR_STATUS, STATUS.CONFIRMED | STATUS.SEEN_REPLY);
    writer.attrU32Be(ATTR_TIMEOUT, 600);
    socket.end();
    if (socket.isFull || i === entries - 1)
      for (const { errno } of socket.flush()) throw new Error(`an entry was refused with errno ${errno}`);
  }
  socket.close();
}

async function median(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const startMs = performance.now();
    await work();
    times.push(performance.now() - startMs);
    await nextTurn();
  }
  return times.sort((a, b) => a - b)[ROUNDS >> 1] ?? Number.NaN;
}

execFileSync('ip', ['link', 'set', 'lo', 'up']);
fill();
const table = ConntrackClient.open();
const look = async (portals: ReadonlyMap<string, FlowChange>, maxFilters: number): Promise<void> => {
  for (const filter of flowFilters('IPv4', portals, maxFilters))
    await table.list(filter, (entry) => isStaleFlow(entry, portals));
};
const one = changes(0, 1);
const all = changes(0, PORTALS);
await look(one, 1);
await look(all, 0);
const oneMs = await median(() => look(one, 1));
const allMs = await median(() => look(all, 0));

const keeper = new FlowKeeper({
  table,
  now: () => performance.now(),
  onError: (message) => {
    throw new Error(message);
  },
});
for (const change of all.values()) keeper.note(change);
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
await nextTurn();
const [pass] = await keeper.pass();
await nextTurn();
delay.disable();
process.stdout.write(
  JSON.stringify({
    oneMs,
    allMs,
    passMs: pass?.durationMs,
    deleted: pass?.deleted,
    loopMaxMs: delay.max / 1e6,
    buckets: Number(readSysctl('net/netfilter/nf_conntrack_buckets')),
  }),
);
process.exit(0);
