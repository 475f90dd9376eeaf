// Rules as text: what is saved comes back, all of it.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { destination, service } from '../../test/ipvsadm-tables.ts';
import type { IpvsDestination, IpvsService } from '../kernel/ipvs-codec.ts';
import type { NameService } from '../kernel/name-service.ts';
import type { IpAddress } from '../model/ip.ts';
import { EndpointFormatter } from './endpoint-text.ts';
import { parseCommandLine } from './parse.ts';
import { formatAddServer, formatAddService } from './saving.ts';
import { keyOfService } from './table.ts';
import { splitWords } from './words.ts';

const noNames: NameService = {
  addressOfHost: () => null,
  hostOfAddress: () => null,
  portOfService: () => null,
  serviceOfPort: () => null,
};
const numbers = new EndpointFormatter(null);

function read(line: string): unknown {
  const request = parseCommandLine(splitWords(line.trimEnd(), 'ipvsadm'), 'ipvsadm', noNames);
  return request.kind === 'operation' ? request.operation : request;
}

const SERVICE: IpvsService = {
  family: 'IPv4',
  protocol: 6,
  address: '10.0.0.1' as IpAddress,
  port: 80,
  scheduler: 'rr',
  flags: 0,
  timeoutSeconds: 0,
  netmask: 0xffffffff,
};
const SERVER: IpvsDestination = {
  address: '10.0.0.2' as IpAddress,
  port: 80,
  forwarding: 'masquerade',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
};
const TUNNEL = { type: 'ipip', port: 0, flags: 0 } as const;

describe('a saved service', () => {
  it('comes back as it was, whatever the kernel holds', () => {
    fc.assert(
      fc.property(service, (each) => {
        const line = formatAddService(each, numbers, false);
        expect(read(line)).toEqual({ op: 'NEW_SERVICE', service: each });
      }),
      { numRuns: 2000 },
    );
  });

  it.each<[what: string, settings: Partial<IpvsService>, ours: string, compatible: string]>([
    ['nothing special', {}, '', ''],
    ['persistence', { flags: 1, timeoutSeconds: 360 }, ' -p 360', ' -p 360'],
    [
      'a mask',
      { flags: 1, timeoutSeconds: 9, netmask: 0xffffff00 },
      ' -p 9 -M 255.255.255.0',
      ' -p 9 -M 255.255.255.0',
    ],
    ['a mask without persistence', { netmask: 24 }, ' -M 0.0.0.24', ''],
    [
      'two flags of sh',
      { scheduler: 'sh', flags: 0x18 },
      ' -b sh-fallback,sh-port',
      ' -b sh-fallback,sh-port',
    ],
    ['the third flag of sh', { scheduler: 'sh', flags: 0x20 }, ' --flags 0x20', ' -b '],
    ['an unknown flag', { flags: 0x80 }, ' --flags 0x80', ''],
    ['a persistence engine', { persistenceEngine: 'sip' }, ' --pe sip', ' --pe sip'],
  ])('with %s', (_what, settings, ours, compatible) => {
    const each = { ...SERVICE, ...settings } as IpvsService;
    const head = `-A -t 10.0.0.1:80 -s ${each.scheduler}`;
    expect(formatAddService(each, numbers, false)).toBe(`${head}${ours}\n`);
    expect(formatAddService(each, numbers, true)).toBe(`${head}${compatible}\n`);
  });
});

describe('a saved real server', () => {
  it('comes back as it was, whatever the kernel holds', () => {
    const pair = service.chain((each) => fc.tuple(fc.constant(each), destination(each.family)));
    fc.assert(
      fc.property(pair, ([each, server]) => {
        const line = formatAddServer(each, server, numbers, false);
        expect(read(line)).toEqual({
          op: 'NEW_DEST',
          service: keyOfService({ ...each, stats: null }),
          destination: server,
        });
      }),
      { numRuns: 3000 },
    );
  });

  it.each<[what: string, settings: Partial<IpvsDestination>, ours: string, compatible: string]>([
    ['masquerading', {}, '-m -w 1', '-m -w 1'],
    ['thresholds', { upperThreshold: 100, lowerThreshold: 50 }, '-m -w 1 -x 100 -y 50', '-m -w 1'],
    ['local forwarding', { forwarding: 'localnode' }, '--forward local -w 1', '-g -w 1'],
    [
      'a tunnel',
      { forwarding: 'tunnel', tunnel: TUNNEL },
      '-i -w 1 --tun-type ipip',
      '-i -w 1 --tun-type ipip',
    ],
    [
      'a gue tunnel',
      { forwarding: 'tunnel', tunnel: { type: 'gue', port: 6080, flags: 2 } },
      '-i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum',
      '-i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum',
    ],
    [
      'a tunnel with both flags',
      { forwarding: 'tunnel', tunnel: { type: 'gre', port: 0, flags: 3 } },
      '-i -w 1 --tun-type gre --tun-flags 0x3',
      '-i -w 1 --tun-type gre',
    ],
    [
      'a port of its own behind direct routing',
      { forwarding: 'directRoute', port: 81 },
      '-g -w 1 --keep-port',
      '-g -w 1',
    ],
  ])('with %s', (_what, settings, ours, compatible) => {
    const server = { ...SERVER, ...settings } as IpvsDestination;
    const head = `-a -t 10.0.0.1:80 -r 10.0.0.2:${server.port}`;
    expect(formatAddServer(SERVICE, server, numbers, false)).toBe(`${head} ${ours}\n`);
    expect(formatAddServer(SERVICE, server, numbers, true)).toBe(`${head} ${compatible}\n`);
  });
});
