import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { realServer, serviceKey } from '../../test/fake-ipvs-table.ts';
import { formatServiceKey, type ServiceKey } from '../kernel/ipvs-codec.ts';
import type { NameService } from '../kernel/name-service.ts';
import { EndpointFormatter } from './endpoint-text.ts';
import type { Rates } from './top-rates.ts';
import { sumConnections, type TopServer, type TopService } from './top-rows.ts';
import { formatTopBlock, formatTopJson, formatTopScreen } from './top-view.ts';

const NUMBERS = new EndpointFormatter(null);
const RATES: Rates = {
  connections: 1.4,
  inPackets: 2.5,
  outPackets: 0,
  inBytes: 123_456_789,
  outBytes: 1e15,
};

function server(address: string, port: number, rates: Rates | null, weight = 1): TopServer {
  return {
    server: {
      ...realServer(address, port, { weight }),
      activeConnections: 3,
      inactiveConnections: 40,
      persistentConnections: 0,
      stats: null,
    },
    rates,
  };
}

function row(key: ServiceKey, rates: Rates | null, servers: readonly TopServer[] | null): TopService {
  return {
    id: formatServiceKey(key),
    service: { ...key, scheduler: 'rr', flags: 0, timeoutSeconds: 0, netmask: 0, stats: null },
    rates,
    servers,
    connections: servers === null ? null : sumConnections(servers),
  };
}

const ROWS = [
  row(serviceKey('10.96.0.10', 80), RATES, [
    server('10.0.0.1', 8080, null),
    server('10.0.0.2', 8080, RATES, 65535),
  ]),
  row({ family: 'IPv6', fwmark: 4_294_967_295 }, null, null),
  row(serviceKey('10.96.0.11', 53, 17), RATES, []),
];

const HEAD = {
  program: 'ipvsadm',
  sort: 'cps',
  seconds: 1.04,
  services: 3,
  isFrozen: false,
  total: RATES,
} as const;

/** Whoever names hosts may write what he likes. */
function names(name: string): EndpointFormatter {
  const service: NameService = {
    addressOfHost: () => null,
    hostOfAddress: () => name,
    portOfService: () => null,
    serviceOfPort: () => name,
  };
  return new EndpointFormatter(service);
}

describe('the text block', () => {
  it('has the columns of `ipvsadm --rate` and then those of a server', () => {
    expect(formatTopBlock(RATES, ROWS, NUMBERS)).toBe(
      `Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS Weight ActiveConn InActConn
  -> RemoteAddress:Port
Total                                    1        3        0  123456K    1000T
TCP  10.96.0.10:80                       1        3        0  123456K    1000T                 6        80
  -> 10.0.0.1:8080                       -        -        -        -        -      1          3        40
  -> 10.0.0.2:8080                       1        3        0  123456K    1000T  65535          3        40
FWM  4294967295 IPv6                     -        -        -        -        -
UDP  10.96.0.11:53                       1        3        0  123456K    1000T                 0         0
`,
    );
  });

  it('is as wide as its longest name', () => {
    const long = row(serviceKey('fd96:1111:2222:3333:4444:5555:6666:7777', 65535), null, []);
    const [title = '', , , line = ''] = formatTopBlock(null, [long], NUMBERS).split('\n');
    expect(line).toContain('TCP  [fd96:1111:2222:3333:4444:5555:6666:7777]:65535        -');
    expect(title.indexOf('CPS') + 3).toBe(line.indexOf('-') + 1);
  });
});

describe('the screen', () => {
  const frame = (columns: number, rows: number, endpoints = NUMBERS): string[] =>
    formatTopScreen(HEAD, ROWS, endpoints, { columns, rows })
      // oxlint-disable-next-line no-control-regex -- the escape sequences are what is taken apart here
      .replaceAll(/\x1b\[[HKJ]/g, '')
      .split('\r\n');

  it('says above the columns what it shows', () => {
    expect(frame(120, 24)[0]).toBe('ipvsadm top: 3 virtual servers, by cps, over 1.0 s; Ctrl-C ends');
    const first = formatTopScreen({ ...HEAD, seconds: null, services: 1 }, [], NUMBERS, {
      columns: 99,
      rows: 1,
    });
    expect(first).toBe('\x1b[Hipvsadm top: 1 virtual server, by cps, no rates yet; Ctrl-C ends\x1b[K\x1b[J');
    expect(formatTopScreen({ ...HEAD, isFrozen: true }, [], NUMBERS, { columns: 200, rows: 1 })).toContain(
      'net.ipv4.vs.run_estimation=0 stops the counters',
    );
  });

  it('shortens names before it cuts columns', () => {
    expect(frame(107, 24)[5]).toBe(
      '  -> 10.0.0.1:8080                       -        -        -        -        -      1          3        40',
    );
    expect(frame(100, 24, names('a-rather-long-name'))[5]).toBe(
      '  -> a-rather-long-name:a-+        -        -        -        -        -      1          3        40',
    );
  });

  it('fits every terminal, and no byte of a name is a control character', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 200 }),
        fc.integer({ min: 1, max: 30 }),
        fc.string({ unit: 'binary', maxLength: 80 }),
        (columns, rows, name) => {
          const text = formatTopScreen(HEAD, ROWS, names(`\x1b]0;${name}\x07\u202e`), { columns, rows });
          const lines = text.slice('\x1b[H'.length, -'\x1b[J'.length).split('\r\n');
          expect(lines.length).toBeLessThanOrEqual(rows);
          for (const line of lines) {
            expect(line.endsWith('\x1b[K')).toBe(true);
            expect(line.slice(0, -'\x1b[K'.length)).toMatch(/^[ -~]*$/);
            expect(line.length - '\x1b[K'.length).toBeLessThanOrEqual(columns);
          }
        },
      ),
    );
  });
});

describe('the JSON line', () => {
  it('has names and units that stay', () => {
    const text = formatTopJson({ seconds: 1.23456, isFrozen: false, total: null }, ROWS);
    expect(text.indexOf('\n')).toBe(text.length - 1);
    const rates = { connections: 1.4, inPackets: 2.5, outPackets: 0, inBytes: 123_456_789, outBytes: 1e15 };
    const counts = { activeConnections: 3, inactiveConnections: 40 };
    expect(JSON.parse(text)).toEqual({
      seconds: 1.235,
      countersStandStill: false,
      total: { ratesPerSecond: null },
      virtualServers: [
        {
          protocol: 'TCP',
          address: '10.96.0.10',
          port: 80,
          ratesPerSecond: rates,
          activeConnections: 6,
          inactiveConnections: 80,
          realServers: [
            { address: '10.0.0.1', port: 8080, weight: 1, ...counts, ratesPerSecond: null },
            { address: '10.0.0.2', port: 8080, weight: 65535, ...counts, ratesPerSecond: rates },
          ],
        },
        { fwmark: 4_294_967_295, family: 'IPv6', ratesPerSecond: null, realServers: [] },
        {
          protocol: 'UDP',
          address: '10.96.0.11',
          port: 53,
          ratesPerSecond: rates,
          activeConnections: 0,
          inactiveConnections: 0,
          realServers: [],
        },
      ],
    });
  });

  it('rounds to a thousandth', () => {
    const [first] = JSON.parse(
      formatTopJson({ seconds: null, isFrozen: true, total: null }, [
        row(serviceKey('10.96.0.1', 1), { ...RATES, connections: 1 / 3 }, null),
      ]),
    ).virtualServers;
    expect(first.ratesPerSecond.connections).toBe(0.333);
  });
});
