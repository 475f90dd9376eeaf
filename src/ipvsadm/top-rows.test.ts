import { describe, expect, it } from 'vitest';
import { realServer, serviceKey } from '../../test/fake-ipvs-table.ts';
import { formatEndpoint, formatServiceKey, type ServiceKey } from '../kernel/ipvs-codec.ts';
import type { Rates } from './top-rates.ts';
import {
  arrangeRows,
  compileFilter,
  servicesToRead,
  sumConnections,
  type Arrangement,
  type TopServer,
  type TopService,
  type TopSort,
} from './top-rows.ts';

const rates = (connections: number, more: Partial<Rates> = {}): Rates => ({
  connections,
  inPackets: 0,
  outPackets: 0,
  inBytes: 0,
  outBytes: 0,
  ...more,
});

function server(address: string, port: number, each: Rates | null, active = 0, inactive = 0): TopServer {
  return {
    server: {
      ...realServer(address, port),
      activeConnections: active,
      inactiveConnections: inactive,
      persistentConnections: 0,
      stats: null,
    },
    rates: each,
  };
}

function service(key: ServiceKey, each: Rates | null, servers: readonly TopServer[] | null): TopService {
  return {
    id: formatServiceKey(key),
    service: { ...key, scheduler: 'rr', flags: 0, timeoutSeconds: 0, netmask: 0xffffffff, stats: null },
    rates: each,
    servers,
    connections: servers === null ? null : sumConnections(servers),
  };
}

const ROWS: readonly TopService[] = [
  service(serviceKey('10.96.0.2', 80), rates(5, { inBytes: 1 }), [
    server('10.0.0.1', 8080, rates(1), 7, 1),
    server('10.0.0.10', 8080, rates(4), 2, 9),
  ]),
  service(serviceKey('10.96.0.10', 443), rates(9, { outPackets: 2 }), [
    server('10.0.0.1', 80, rates(9), 1, 100),
  ]),
  service(serviceKey('10.96.0.1', 53, 17), rates(5, { inPackets: 8, outBytes: 7 }), []),
  service(serviceKey('fd96::a', 80), null, null),
  service({ family: 'IPv4', fwmark: 7 }, rates(0), [server('10.0.0.3', 0, null)]),
];

const PLAIN: Arrangement = { sort: 'cps', filter: null, hasServers: true, limit: Infinity };

/** "TCP 10.96.0.2:80 > 10.0.0.10:8080 10.0.0.1:8080" per service. */
function shown(arrangement: Partial<Arrangement>, rows = ROWS): string[] {
  return arrangeRows(rows, { ...PLAIN, ...arrangement }).map(({ id, servers }) =>
    [id, ...(servers ?? []).map(({ server: each }) => `> ${formatEndpoint(each.address, each.port)}`)].join(
      ' ',
    ),
  );
}

describe('the order', () => {
  it.each<[TopSort, string]>([
    ['cps', '10.96.0.10 10.96.0.2 10.96.0.1 7 fd96::a'],
    ['inpps', '10.96.0.1 10.96.0.2 10.96.0.10 7 fd96::a'],
    ['outpps', '10.96.0.10 10.96.0.2 10.96.0.1 7 fd96::a'],
    ['inbps', '10.96.0.2 10.96.0.10 10.96.0.1 7 fd96::a'],
    ['outbps', '10.96.0.1 10.96.0.2 10.96.0.10 7 fd96::a'],
    ['active', '10.96.0.2 10.96.0.10 10.96.0.1 7 fd96::a'],
    ['inactive', '10.96.0.10 10.96.0.2 10.96.0.1 7 fd96::a'],
    ['address', '10.96.0.2 10.96.0.10 10.96.0.1 fd96::a 7'],
  ])('by %s is the largest first, unknown last, equals as listings have them', (sort, expected) => {
    const names = arrangeRows(ROWS, { ...PLAIN, sort }).map(({ service: each }) =>
      each.fwmark === undefined ? each.address : String(each.fwmark),
    );
    expect(names.join(' ')).toBe(expected);
  });

  it('by address is that of listings', () => {
    expect(shown({ sort: 'address', hasServers: false })).toEqual([
      'TCP 10.96.0.2:80',
      'TCP 10.96.0.10:443',
      'UDP 10.96.0.1:53',
      'TCP [fd96::a]:80',
      'FWM 7',
    ]);
  });

  it('holds for servers inside their service too', () => {
    expect(shown({})[1]).toBe('TCP 10.96.0.2:80 > 10.0.0.10:8080 > 10.0.0.1:8080');
    expect(shown({ sort: 'active' })[0]).toBe('TCP 10.96.0.2:80 > 10.0.0.1:8080 > 10.0.0.10:8080');
    expect(shown({ sort: 'inactive' })[1]).toBe('TCP 10.96.0.2:80 > 10.0.0.10:8080 > 10.0.0.1:8080');
  });

  it('of equals is by address, so that rows do not jump', () => {
    const idle = [3, 1, 2].map((each) => service(serviceKey(`10.96.0.${each}`, 80), rates(0), []));
    expect(shown({}, idle)).toEqual(['TCP 10.96.0.1:80', 'TCP 10.96.0.2:80', 'TCP 10.96.0.3:80']);
  });
});

describe('the filter', () => {
  it.each<[string, readonly string[]]>([
    ['10.96.0.1', ['UDP 10.96.0.1:53']],
    ['10.96.0.2:80', ['TCP 10.96.0.2:80 > 10.0.0.10:8080 > 10.0.0.1:8080']],
    ['10.96.0.2:8', []],
    ['fd96:0::a', ['TCP [fd96::a]:80']],
    ['[fd96::a]:80', ['TCP [fd96::a]:80']],
    ['[fd96::a]:81', []],
    [':53', ['UDP 10.96.0.1:53']],
    [
      ':80',
      [
        'TCP 10.96.0.10:443 > 10.0.0.1:80',
        'TCP 10.96.0.2:80 > 10.0.0.10:8080 > 10.0.0.1:8080',
        'TCP [fd96::a]:80',
      ],
    ],
    ['10.0.0.1', ['TCP 10.96.0.10:443 > 10.0.0.1:80', 'TCP 10.96.0.2:80 > 10.0.0.1:8080']],
    ['10.0.0.1:80', ['TCP 10.96.0.10:443 > 10.0.0.1:80']],
    ['0.0.1', ['TCP 10.96.0.10:443 > 10.0.0.1:80', 'TCP 10.96.0.2:80 > 10.0.0.10:8080 > 10.0.0.1:8080']],
    ['udp', ['UDP 10.96.0.1:53']],
    ['fwm 7', ['FWM 7 > 10.0.0.3:0']],
    ['nothing like it', []],
  ])('%s shows %s', (filter, expected) => {
    expect(shown({ filter: compileFilter(filter) })).toEqual(expected);
  });

  it('hides servers without losing those it finds services by', () => {
    expect(shown({ filter: compileFilter('10.0.0.3'), hasServers: false })).toEqual(['FWM 7']);
  });

  it('leaves the sums of a service over all its servers', () => {
    const [row] = arrangeRows(ROWS, { ...PLAIN, filter: compileFilter('10.0.0.10') });
    expect(row?.connections).toEqual({ active: 9, inactive: 10 });
  });
});

describe('the limit', () => {
  it.each([
    [0, []],
    [1, ['TCP 10.96.0.10:443']],
    [2, ['TCP 10.96.0.10:443 > 10.0.0.1:80']],
    [4, ['TCP 10.96.0.10:443 > 10.0.0.1:80', 'TCP 10.96.0.2:80 > 10.0.0.10:8080']],
  ])('of %i counts services and servers alike', (limit, expected) => {
    const busy = [ROWS[0], ROWS[1]] as TopService[];
    expect(shown({ limit }, busy)).toEqual(expected);
  });
});

describe('the servers that are read', () => {
  const read = (arrangement: Partial<Arrangement>, room: number): string[] =>
    servicesToRead(ROWS, { ...PLAIN, ...arrangement }, room).map(({ id }) => id);

  it('are those of the services with room on the screen', () => {
    expect(read({}, 1)).toEqual(['TCP 10.96.0.10:443']);
    expect(read({}, Infinity)).toHaveLength(ROWS.length);
  });

  it('are none when none are shown or needed', () => {
    expect(read({ hasServers: false }, 5)).toEqual([]);
  });

  it.each(['active', 'inactive'] as const)('are all for the order by %s', (sort) => {
    expect(read({ sort, hasServers: false }, 1)).toHaveLength(ROWS.length);
  });

  it('are, with a filter, also those that it may find a service by', () => {
    expect(read({ filter: compileFilter('tcp') }, 1)).toEqual([
      'UDP 10.96.0.1:53',
      'FWM 7',
      'TCP 10.96.0.10:443',
    ]);
    expect(read({ filter: compileFilter('tcp'), hasServers: false }, 1)).toEqual([
      'UDP 10.96.0.1:53',
      'FWM 7',
    ]);
  });
});
