// What `top` writes: a block of text under a pipe, a screen on a terminal, an object per line for programs. Pure. Columns in the words
// of `ipvsadm --rate` and of its default listing. Nothing that comes from the kernel or from name services can reach the terminal as a
// control character: text is reduced to printable ASCII. Escape sequences: ECMA-48.

import { formatProtocol, type IpvsServiceState } from '../kernel/ipvs-codec.ts';
import { protocolOf, type EndpointFormatter } from './endpoint-text.ts';
import { formatJsonLine, roundForJson } from './json.ts';
import { formatLargeNumber } from './large-number.ts';
import type { Rates } from './top-rates.ts';
import type { TopService, TopSort } from './top-rows.ts';

/** Hides the cursor and clears the screen. */
export const SCREEN_START = '\x1b[?25l\x1b[H\x1b[2J';
/** Shows the cursor again, below what is on the screen. */
export const SCREEN_END = '\x1b[?25h\r\n';

const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** Of a name column, as in listings, and the least that a narrow terminal leaves of it. */
const NAME_LENGTH = 33;
const MIN_NAME_LENGTH = 24;

const RATE_TITLES = ['CPS', 'InPPS', 'OutPPS', 'InBPS', 'OutBPS'];
const RATE_WIDTH = 9;
const SERVER_TITLES = ' Weight ActiveConn InActConn';
const WEIGHT_WIDTH = 7;
const ACTIVE_WIDTH = 11;
const INACTIVE_WIDTH = 10;
const COLUMNS_LENGTH = RATE_TITLES.length * RATE_WIDTH + SERVER_TITLES.length;

/** What stands in the first line of a screen. */
export interface ScreenHead {
  readonly program: string;
  readonly sort: TopSort;
  /** What the rates are over; null while there are none. */
  readonly seconds: number | null;
  /** As in TopReading. */
  readonly isFrozen: boolean;
  readonly total: Rates | null;
  /** How many virtual servers there are, shown or not. */
  readonly services: number;
}

/** What an administrator has to know while the kernel's counters stand still. */
export const FROZEN_NOTE =
  'net.ipv4.vs.run_estimation=0 stops the counters of virtual and real servers; set it to 1 to have their rates';

/** Titles, the total and a line per service and server, none of them cut, with line feeds. */
export function formatTopBlock(
  total: Rates | null,
  rows: readonly TopService[],
  endpoints: EndpointFormatter,
): string {
  return `${formatLines(total, rows, endpoints, Infinity).join('\n')}\n`;
}

/** One frame: as many lines as the terminal holds, none longer than it is wide. */
export function formatTopScreen(
  head: ScreenHead,
  rows: readonly TopService[],
  endpoints: EndpointFormatter,
  terminal: { readonly columns: number; readonly rows: number },
): string {
  const { columns } = terminal;
  const nameRoom = Math.max(columns - COLUMNS_LENGTH, MIN_NAME_LENGTH);
  const lines = [formatHead(head), ...formatLines(head.total, rows, endpoints, nameRoom)].slice(
    0,
    terminal.rows,
  );
  const text = lines.map((line) => `${line.slice(0, columns)}${CLEAR_LINE}`).join('\r\n');
  return `${HOME}${text}${CLEAR_BELOW}`;
}

function formatHead({ program, sort, seconds, services, isFrozen }: ScreenHead): string {
  if (isFrozen) return printable(`${program} top: ${FROZEN_NOTE}; Ctrl-C ends`);
  const what = services === 1 ? '1 virtual server' : `${services} virtual servers`;
  const time = seconds === null ? 'no rates yet' : `over ${seconds.toFixed(1)} s`;
  return printable(`${program} top: ${what}, by ${sort}, ${time}; Ctrl-C ends`);
}

function formatLines(
  total: Rates | null,
  rows: readonly TopService[],
  endpoints: EndpointFormatter,
  nameRoom: number,
): string[] {
  const lines: { readonly name: string; readonly columns: string }[] = [
    { name: 'Prot LocalAddress:Port', columns: titles() },
    { name: '  -> RemoteAddress:Port', columns: '' },
    { name: 'Total', columns: rateColumns(total) },
  ];
  for (const { service, rates, connections, servers } of rows) {
    const { active = '', inactive = '' } = connections ?? {};
    lines.push({
      name: serviceName(service, endpoints),
      columns: rateColumns(rates) + serverColumns('', active, inactive),
    });
    const protocol = protocolOf(service);
    for (const { server, rates: serverRates } of servers ?? []) {
      const { weight, activeConnections, inactiveConnections } = server;
      lines.push({
        name: `  -> ${endpoints.format(server.address, server.port, protocol)}`,
        columns: rateColumns(serverRates) + serverColumns(weight, activeConnections, inactiveConnections),
      });
    }
  }
  const longest = lines.reduce((length, { name }) => Math.max(length, name.length), NAME_LENGTH);
  const width = Math.min(longest, nameRoom);
  return lines.map(({ name, columns }) => {
    const shown = printable(name);
    const cut = shown.length > width ? `${shown.slice(0, width - 1)}+` : shown;
    return `${cut.padEnd(width)}${columns}`.trimEnd();
  });
}

function titles(): string {
  return RATE_TITLES.map((title) => title.padStart(RATE_WIDTH)).join('') + SERVER_TITLES;
}

function rateColumns(rates: Rates | null): string {
  if (rates === null) return '-'.padStart(RATE_WIDTH).repeat(RATE_TITLES.length);
  const { connections, inPackets, outPackets, inBytes, outBytes } = rates;
  return [connections, inPackets, outPackets, inBytes, outBytes]
    .map((rate) => formatLargeNumber(BigInt(Math.round(rate)), false))
    .join('');
}

function serverColumns(weight: number | '', active: number | '', inactive: number | ''): string {
  const right = (value: number | '', width: number): string => ` ${value}`.padStart(width);
  return right(weight, WEIGHT_WIDTH) + right(active, ACTIVE_WIDTH) + right(inactive, INACTIVE_WIDTH);
}

function serviceName(service: IpvsServiceState, endpoints: EndpointFormatter): string {
  if (service.fwmark !== undefined)
    return `FWM  ${service.fwmark}${service.family === 'IPv6' ? ' IPv6' : ''}`;
  const { protocol, address, port } = service;
  return `${formatProtocol(protocol).padEnd(4)} ${endpoints.format(address, port, protocol)}`;
}

/** Everything but printable ASCII becomes a question mark. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?');
}

/** One object and a line feed; names as in the command's other JSON, rates with at most three decimals. */
export function formatTopJson(
  { seconds, isFrozen, total }: Pick<ScreenHead, 'seconds' | 'isFrozen' | 'total'>,
  rows: readonly TopService[],
): string {
  const virtualServers = rows.map(({ service, rates, connections, servers }) => ({
    ...(service.fwmark === undefined
      ? { protocol: formatProtocol(service.protocol), address: service.address, port: service.port }
      : { fwmark: service.fwmark, family: service.family }),
    ratesPerSecond: roundRates(rates),
    ...(connections === null
      ? {}
      : { activeConnections: connections.active, inactiveConnections: connections.inactive }),
    realServers: (servers ?? []).map(({ server, rates: serverRates }) => ({
      address: server.address,
      port: server.port,
      weight: server.weight,
      activeConnections: server.activeConnections,
      inactiveConnections: server.inactiveConnections,
      ratesPerSecond: roundRates(serverRates),
    })),
  }));
  const head = {
    seconds: seconds === null ? null : roundForJson(seconds),
    countersStandStill: isFrozen,
    total: { ratesPerSecond: roundRates(total) },
  };
  return formatJsonLine({ ...head, virtualServers });
}

function roundRates(rates: Rates | null): Rates | null {
  if (rates === null) return null;
  const { connections, inPackets, outPackets, inBytes, outBytes } = rates;
  return {
    connections: roundForJson(connections),
    inPackets: roundForJson(inPackets),
    outPackets: roundForJson(outPackets),
    inBytes: roundForJson(inBytes),
    outBytes: roundForJson(outBytes),
  };
}
