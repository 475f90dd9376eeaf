// Carries requests out on the kernel's table: one, or the many lines of a restore in batches. What it prints and returns is the
// original's; the kernel's state after it too. Source: ipvsadm 1.31 by behaviour (test/ipvsadm).

import type { IpvsFailure, IpvsOperation } from '../kernel/ipvs.ts';
import {
  CONNECTIONS_FILE,
  formatConnection,
  formatConnectionTitles,
  parseConnections,
} from './connections.ts';
import { EndpointFormatter } from './endpoint-text.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import * as json from './json.ts';
import { formatKernelError } from './kernel-errors.ts';
import { formatDestination, formatHeader, formatService, formatTitles } from './listing.ts';
import { sortDestinations, sortServices } from './order.ts';
import { parseCommandLine, tryHelp } from './parse.ts';
import { EXIT } from './refusal.ts';
import type { Refusal, Request } from './request.ts';
import { formatAddServer, formatAddService } from './saving.ts';
import { formatAbout } from './help.ts';
import { loadTable, type TableEntry } from './table.ts';
import { splitLines, splitWords } from './words.ts';

/** What a step of a restore gave: its exit code, and whether the restore ends there. */
interface Outcome {
  readonly exitCode: number;
  readonly endsRestore: boolean;
}

/** Text is handed over in pieces of about this size, so that a large table is not held twice. */
const PIECE_CHARACTERS = 1 << 16;

/** Runs one request; resolves to the exit code. */
export async function runRequest(
  request: Request | Refusal,
  table: IpvsTable,
  io: IpvsadmIo,
): Promise<number> {
  if (request.kind === 'restore') return restore(table, io);
  return (await runStep(request, table, io)).exitCode;
}

async function runStep(request: Request | Refusal, table: IpvsTable, io: IpvsadmIo): Promise<Outcome> {
  switch (request.kind) {
    case 'refused':
      io.err(request.text);
      return request;
    case 'help':
    case 'version':
      io.out(formatAbout(request.kind));
      return { exitCode: EXIT.GOOD, endsRestore: true };
    case 'operation': {
      const failed = await applyAndReport([request.operation], table, io);
      return { exitCode: failed.size > 0 ? EXIT.FAILED : EXIT.GOOD, endsRestore: false };
    }
    case 'list':
      return list(request, table, io);
    case 'save':
      await save(request, table, io);
      return { exitCode: EXIT.GOOD, endsRestore: false };
    case 'restore': {
      const { refusal } = tryHelp(io.program);
      io.err(refusal.text);
      return refusal;
    }
  }
}

/** Applies operations in order and prints a line per refusal; gives the operations that were refused. */
async function applyAndReport(
  operations: readonly IpvsOperation[],
  table: IpvsTable,
  io: IpvsadmIo,
): Promise<Set<IpvsOperation>> {
  const failures: readonly IpvsFailure[] = await table.apply(operations);
  for (const { operation, error } of failures)
    io.err(`${formatKernelError(operation.op, error.errno, error.errnoName)}\n`);
  return new Set(failures.map(({ operation }) => operation));
}

/**
 * Reads rules from standard input. Operations that follow one another are sent together; everything takes effect in the order of the
 * lines. A mistake in a line ends it, what the kernel refuses does not. The exit code is that of the last line.
 */
async function restore(table: IpvsTable, io: IpvsadmIo): Promise<number> {
  let waiting: IpvsOperation[] = [];
  let exitCode: number = EXIT.GOOD;
  const flush = async (): Promise<void> => {
    const last = waiting.at(-1);
    if (last === undefined) return;
    const failed = await applyAndReport(waiting, table, io);
    exitCode = failed.has(last) ? EXIT.FAILED : EXIT.GOOD;
    waiting = [];
  };
  for (const line of splitLines(io.stdin())) {
    if (line === null) {
      await flush();
      continue;
    }
    const words = splitWords(line.text, io.program);
    if (words.length === 0) continue;
    const request = parseCommandLine(words, io.program, io.names);
    if (request.kind === 'operation') {
      waiting.push(request.operation);
      continue;
    }
    await flush();
    const outcome = await runStep(request, table, io);
    exitCode = outcome.exitCode;
    if (outcome.endsRestore) return exitCode;
  }
  await flush();
  return exitCode;
}

async function list(
  request: Extract<Request, { kind: 'list' }>,
  table: IpvsTable,
  io: IpvsadmIo,
): Promise<Outcome> {
  const { target, format } = request;
  const endpoints = new EndpointFormatter(format.isNumeric ? null : io.names);
  const print = new Printer(io);
  const done: Outcome = { exitCode: EXIT.GOOD, endsRestore: false };
  switch (target) {
    case 'timeouts': {
      const timeouts = table.timeouts();
      const { tcpSeconds, tcpFinSeconds, udpSeconds } = timeouts;
      io.out(
        format.isJson
          ? json.formatJson({ timeouts })
          : `Timeout (tcp tcpfin udp): ${tcpSeconds} ${tcpFinSeconds} ${udpSeconds}\n`,
      );
      return done;
    }
    case 'daemons': {
      // The kernel gives the master first.
      const daemons = await table.daemons();
      if (format.isJson) io.out(json.formatJson({ daemons }));
      else {
        for (const each of daemons)
          io.out(
            `${each.role} sync daemon (mcast=${each.interfaceName}, syncid=${each.syncId}, maxlen=${each.maxLengthBytes}, group=${each.multicastGroup}, port=${each.multicastPort}, ttl=${each.multicastTtl})\n`,
          );
      }
      return done;
    }
    case 'connections': {
      let text: string;
      try {
        text = io.readConnections();
      } catch {
        io.err(`cannot open file ${CONNECTIONS_FILE}\n`);
        return { exitCode: EXIT.FAILED_LIST, endsRestore: true };
      }
      if (format.isJson) {
        io.out(json.formatJson({ connections: [...parseConnections(text)] }));
        return done;
      }
      const hasPersistenceColumns = format.style === 'persistent-conn';
      print.add(formatConnectionTitles(hasPersistenceColumns));
      for (const each of parseConnections(text))
        print.add(formatConnection(each, hasPersistenceColumns, endpoints));
      print.end();
      return done;
    }
    case 'table':
      return listTable(request, table, io, endpoints);
  }
}

async function listTable(
  { service: key, format }: Extract<Request, { kind: 'list' }>,
  table: IpvsTable,
  io: IpvsadmIo,
  endpoints: EndpointFormatter,
): Promise<Outcome> {
  const withStats = format.style === 'stats' || format.style === 'rate' || format.isJson;
  const print = new Printer(io);
  const arrangeServers = (servers: TableEntry['destinations']): TableEntry['destinations'] =>
    format.isUnsorted ? servers : sortDestinations(servers);
  let entries: AsyncIterable<TableEntry> | Iterable<TableEntry>;
  if (key === null) {
    if (!format.isJson) print.add(formatHeader(table.info()));
    entries = loadTable(table, { withStats, ...(format.isUnsorted ? {} : { arrange: sortServices }) });
  } else {
    const service = table.service(key, withStats);
    if (service === undefined) {
      io.err(`${formatKernelError('GET_SERVICE', 3, 'ESRCH')}\n`);
      return { exitCode: EXIT.FAILED_LIST, endsRestore: true };
    }
    entries = [{ service, destinations: await table.destinations(key, withStats) }];
  }
  if (format.isJson) {
    const listed: TableEntry[] = [];
    for await (const { service, destinations } of entries)
      listed.push({ service, destinations: arrangeServers(destinations) });
    io.out(json.formatTable(key === null ? table.info() : null, listed));
    return { exitCode: EXIT.GOOD, endsRestore: false };
  }
  print.add(formatTitles(format.style));
  for await (const { service, destinations } of entries) {
    print.add(formatService(service, format, endpoints));
    for (const each of arrangeServers(destinations))
      print.add(formatDestination(service, each, format, endpoints));
  }
  print.end();
  return { exitCode: EXIT.GOOD, endsRestore: false };
}

async function save(
  { isNumeric, isCompatible }: Extract<Request, { kind: 'save' }>,
  table: IpvsTable,
  io: IpvsadmIo,
): Promise<void> {
  const endpoints = new EndpointFormatter(isNumeric ? null : io.names);
  const print = new Printer(io);
  for await (const { service, destinations } of loadTable(table, { arrange: sortServices })) {
    print.add(formatAddService(service, endpoints, isCompatible));
    for (const each of sortDestinations(destinations))
      print.add(formatAddServer(service, each, endpoints, isCompatible));
  }
  print.end();
}

/** Gathers text and hands it over in large pieces. */
class Printer {
  private readonly io: IpvsadmIo;
  private text = '';

  constructor(io: IpvsadmIo) {
    this.io = io;
  }

  add(text: string): void {
    this.text += text;
    if (this.text.length >= PIECE_CHARACTERS) this.end();
  }

  end(): void {
    if (this.text !== '') this.io.out(this.text);
    this.text = '';
  }
}
