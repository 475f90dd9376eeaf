// Finds out what the running kernel does where IPVS kernels differ, by real connections over loopback in a scratch network namespace:
// the node's own table, addresses and switches see nothing of it. Blocks the thread: its waits for connections add up to 2.5 s at the very most, on a
// machine that hardly answers.
// Source: net/netfilter/ipvs/ip_vs_core.c (ip_vs_in), Documentation/networking/ipvs-sysctl.rst; seen on Linux 6.1 in the lab.

import { errorLine } from '../../model/errors.ts';
import { countListed } from '../../kernel/cpu-count.ts';
import { inScratchNamespace, raiseLoopback } from '../../kernel/scratch-namespace.ts';
import { readSysctl, writeSysctl } from '../../kernel/sysctl.ts';
import type { ConnectionReuse, Finding, KernelBehaviour, RemovedServer } from './kernel-behaviour.ts';
import { loopback, realServer, ScratchIpvs, ScratchSockets, virtualServer } from './scratch-ipvs.ts';

/** Values other than the ones probed, and a step before the second connection, so that tests can make this kernel behave like another. */
export interface ProbeVariant {
  /** Default '1'. */
  readonly connReuseMode?: string;
  /** Default '1'. */
  readonly expireNodestConn?: string;
  /** Called in the scratch namespace once everything stands, before the first connection. */
  readonly prepare?: () => void;
}

const VIRTUAL = loopback(10);
const OLD_SERVER = loopback(20);
const NEW_SERVER = loopback(21);
const CLIENT = loopback(30);
const SERVER_PORT = 8080;
const REUSE_PORT = 80;
const REMOVAL_PORT = 81;
/** IPVS switches conntrack on in a namespace for this port alone; on a node the NAT rules do it. */
const FTP_PORT = 21;
const CLIENT_PORT = 40_000;
/** The kernel answers at once; this is for a machine that does not get round to it. */
const ANSWER_MS = 300;
/** How long a client of a removed server goes on sending, and the pause between packets: the kernel forgets a connection at its next tick. */
const REMOVAL_MS = 400;
const PACKET_PAUSE_MS = 15;
const POSSIBLE_CPUS = '/sys/devices/system/cpu/possible';

/** Everything at once. Never throws: what cannot be found out is 'unknown', with the reason. */
export function probeKernelBehaviour(variant: ProbeVariant = {}): KernelBehaviour {
  const start = performance.now();
  const traffic = probeTraffic(variant);
  return {
    ...traffic,
    estimation: observeEstimation(),
    tookMs: Math.round((performance.now() - start) * 10) / 10,
  };
}

function probeTraffic(variant: ProbeVariant): Pick<KernelBehaviour, 'connectionReuse' | 'removedServer'> {
  try {
    return inScratchNamespace(() => {
      raiseLoopback();
      const ipvs = new ScratchIpvs(ANSWER_MS);
      try {
        writeSysctl('net/ipv4/vs/conntrack', '1');
        ipvs.apply({ op: 'NEW_SERVICE', service: virtualServer(VIRTUAL, FTP_PORT) });
        addServer(ipvs, FTP_PORT, realServer(OLD_SERVER, FTP_PORT));
        variant.prepare?.();
        return {
          connectionReuse: attempt((sockets) => probeReuse(ipvs, sockets, variant.connReuseMode ?? '1')),
          removedServer: attempt((sockets) => probeRemoval(ipvs, sockets, variant.expireNodestConn ?? '1')),
        };
      } finally {
        ipvs.close();
      }
    });
  } catch (error) {
    const unknown = { result: 'unknown', reason: errorLine(error) } as const;
    return { connectionReuse: unknown, removedServer: unknown };
  }
}

/** Runs one probe with sockets of its own; what it throws is why nothing is known. */
function attempt<Result extends string>(
  probe: (sockets: ScratchSockets) => Finding<Result>,
): Finding<Result | 'unknown'> {
  const sockets = new ScratchSockets();
  try {
    return probe(sockets);
  } catch (error) {
    return { result: 'unknown', reason: errorLine(error) };
  } finally {
    sockets.closeAll();
  }
}

/**
 * The server ends a connection, which IPVS then remembers in TIME_WAIT; it takes no new ones any more, another server does; the client
 * comes again from the same port. Who gets that connection tells the cases apart.
 */
function probeReuse(ipvs: ScratchIpvs, sockets: ScratchSockets, mode: string): Finding<ConnectionReuse> {
  const path = 'net/ipv4/vs/conn_reuse_mode';
  if (readSysctl(path) === null) return { result: 'unknown', reason: `this kernel has no switch ${path}` };
  writeSysctl(path, mode);
  ipvs.apply({ op: 'NEW_SERVICE', service: virtualServer(VIRTUAL, REUSE_PORT) });
  addServer(ipvs, REUSE_PORT, realServer(OLD_SERVER, SERVER_PORT));
  const oldServer = sockets.listen(OLD_SERVER, SERVER_PORT);
  const newServer = sockets.listen(NEW_SERVER, SERVER_PORT);

  const first = sockets.connect(CLIENT, CLIENT_PORT, VIRTUAL, REUSE_PORT);
  if (first === 'silent') return { result: 'unknown', reason: 'the first connection got no answer' };
  const served = sockets.accept(oldServer, ANSWER_MS);
  if (served === null) return { result: 'unknown', reason: 'the first connection reached no server' };
  const isTracked = Number(readSysctl('net/netfilter/nf_conntrack_count') ?? 0) > 0;
  sockets.close(served);
  if (sockets.waitForEnd(first, ANSWER_MS) !== 'closed')
    return { result: 'unknown', reason: 'the first connection did not end' };
  sockets.close(first);

  const service = virtualServer(VIRTUAL, REUSE_PORT);
  ipvs.apply({ op: 'SET_DEST', service, destination: realServer(OLD_SERVER, SERVER_PORT, 0) });
  addServer(ipvs, REUSE_PORT, realServer(NEW_SERVER, SERVER_PORT));
  const seen = `with conn_reuse_mode ${mode}, a new connection from a port in TIME_WAIT`;
  if (sockets.connect(CLIENT, CLIENT_PORT, VIRTUAL, REUSE_PORT) === 'silent') {
    // A machine that is too busy to answer looks the same, but then other ports fare no better.
    if (sockets.connect(CLIENT, CLIENT_PORT + 1, VIRTUAL, REUSE_PORT) === 'silent')
      return { result: 'unknown', reason: 'connections from fresh ports got no answer either' };
    return { result: 'dropped', reason: `${seen} lost its first packet` };
  }
  if (sockets.accept(newServer, 0) !== null) {
    if (!isTracked)
      return { result: 'unknown', reason: 'conntrack did not see the connections of the probe' };
    return { result: 'served', reason: `${seen} was served at once` };
  }
  if (sockets.accept(oldServer, 0) !== null)
    return { result: 'sticks', reason: `${seen} went to a server of weight 0` };
  return { result: 'unknown', reason: `${seen} reached no server` };
}

/** A client goes on sending while its server is deleted. */
function probeRemoval(ipvs: ScratchIpvs, sockets: ScratchSockets, value: string): Finding<RemovedServer> {
  const path = 'net/ipv4/vs/expire_nodest_conn';
  if (readSysctl(path) === null) return { result: 'absent', reason: `this kernel has no switch ${path}` };
  writeSysctl(path, value);
  const service = virtualServer(VIRTUAL, REMOVAL_PORT);
  ipvs.apply({ op: 'NEW_SERVICE', service });
  addServer(ipvs, REMOVAL_PORT, realServer(OLD_SERVER, SERVER_PORT));
  const server = sockets.listen(OLD_SERVER, SERVER_PORT);
  const client = sockets.connect(CLIENT, CLIENT_PORT + 2, VIRTUAL, REMOVAL_PORT);
  if (client === 'silent' || sockets.accept(server, ANSWER_MS) === null)
    return { result: 'unknown', reason: 'the connection got no answer' };
  ipvs.apply({ op: 'DEL_DEST', service, destination: realServer(OLD_SERVER, SERVER_PORT) });
  const seen = `with expire_nodest_conn ${value}, a client whose server was removed`;
  const deadline = performance.now() + REMOVAL_MS;
  for (let packets = 1; performance.now() < deadline; packets++) {
    const errno = sockets.sendByte(client);
    const end = errno === 0 ? sockets.waitForEnd(client, PACKET_PAUSE_MS) : errno;
    if (end !== 'silent') return { result: 'ends', reason: `${seen} was told after ${packets} packets` };
  }
  return { result: 'silent', reason: `${seen} heard nothing for ${REMOVAL_MS} ms` };
}

function addServer(ipvs: ScratchIpvs, port: number, destination: ReturnType<typeof realServer>): void {
  ipvs.apply({ op: 'NEW_DEST', service: virtualServer(VIRTUAL, port), destination });
}

/** By what the kernel offers: its switches differ with where it estimates. */
function observeEstimation(): KernelBehaviour['estimation'] {
  const possibleCpus = countListed(POSSIBLE_CPUS) ?? 1;
  try {
    const canSwitchOff = readSysctl('net/ipv4/vs/run_estimation') !== null;
    const facts = { canSwitchOff, possibleCpus };
    const threads = ['est_cpulist', 'est_nice'].filter((name) => readSysctl(`net/ipv4/vs/${name}`) !== null);
    if (threads.length > 0)
      return {
        result: 'threads',
        reason: `it has ${threads.join(' and ')}: kernel threads keep the rates`,
        ...facts,
      };
    if (readSysctl('net/ipv4/vs/conntrack') === null)
      return { result: 'unknown', reason: 'this kernel has no IPVS switches', ...facts };
    return {
      result: 'timer',
      reason: 'it has neither est_cpulist nor est_nice: a timer keeps the rates',
      ...facts,
    };
  } catch (error) {
    return { result: 'unknown', reason: errorLine(error), canSwitchOff: false, possibleCpus };
  }
}
