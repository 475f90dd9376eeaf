// One command line from its arguments to its exit code: what works without the kernel, what is said without it, and the JSON listings.

import { beforeEach, describe, expect, it } from 'vitest';
import { FakeIpvsadmIo } from '../../test/fake-ipvsadm-io.ts';
import { serviceKey } from '../../test/fake-ipvs-table.ts';
import { KernelError, PointsmanError } from '../model/errors.ts';
import { withChanges, type IpvsadmIo } from './io.ts';
import { ipvsadm } from './ipvsadm.ts';

let io = new FakeIpvsadmIo();
const again = (changes: Partial<IpvsadmIo> = {}): IpvsadmIo => {
  io.table.isClosed = false;
  return withChanges(io, changes);
};
const restore = (rules: string): Promise<number> => ipvsadm(['-R'], again({ stdin: () => [rules] }));

beforeEach(() => {
  io = new FakeIpvsadmIo();
});

describe('without IPVS in the kernel', () => {
  const missing = again({
    openTable() {
      throw new PointsmanError('MISSING_MODULE', 'this kernel has no IPVS');
    },
  });
  const forbidden = again({
    openTable() {
      throw new KernelError('GET_INFO', '', 1, 'EPERM', '');
    },
  });

  it.each([
    ['-h', /^ipvsadm v1\.31 .*\nUsage:\n/],
    ['--help', /^ipvsadm v1\.31 .*\nUsage:\n/],
    ['-v', /^ipvsadm v1\.31 2019\/12\/24 \(compiled with popt and IPVS v1\.2\.1\)\n$/],
    ['--version', /^ipvsadm v1\.31 2019\/12\/24 \(compiled with popt and IPVS v1\.2\.1\)\n$/],
  ])('%s works all the same', async (arg, text) => {
    let out = '';
    expect(await ipvsadm([arg], withChanges(missing, { out: (piece) => void (out += piece) }))).toBe(0);
    expect(out).toMatch(text);
  });

  it.each([
    ['the module is missing', missing, 'Protocol not available'],
    ['the user may not', forbidden, 'Permission denied (you must be root)'],
  ])('every other command says so in two lines and exits 2 when %s', async (_case, world, reason) => {
    for (const args of [['-Ln'], [], ['-A', '-t', 'nonsense'], ['--bogus'], ['diff', 'x']]) {
      let err = '';
      expect(await ipvsadm(args, withChanges(world, { err: (piece) => void (err += piece) }))).toBe(2);
      expect(err).toBe(
        `Can't initialize ipvs: ${reason}\nAre you sure that IP Virtual Server is built in the kernel or as module?\n`,
      );
    }
  });
});

describe('a restore', () => {
  it('applies lines in order across pieces, and exits as its last line did', async () => {
    const pieces = ['-A -t 10.0.0.1:80 -s rr\n-A -t 10.0.', '0.1:80\n-A -u 10.0.0.1:53 -s rr'];
    expect(await ipvsadm(['-R'], again({ stdin: () => pieces }))).toBe(0);
    expect(io.errors).toBe('Service already exists\n');
    expect(io.table.writes).toHaveLength(3);
  });

  it('goes on after what the kernel refuses, and ends at a mistake with what came before in place', async () => {
    expect(await restore('-D -t 9.9.9.9:9\n-A -t 10.0.0.1:80\n-A -t nowhere\n-A -t 10.0.0.2:80\n')).toBe(2);
    expect(io.errors).toBe('No such service\nillegal virtual server address[:port] specified\n');
    expect(io.table.writes).toEqual(['DEL_SERVICE TCP 9.9.9.9:9', 'NEW_SERVICE TCP 10.0.0.1:80']);
  });

  it('lists in the middle what was there by then', async () => {
    expect(await restore('-A -t 10.0.0.1:80\n-Sn\n-A -t 10.0.0.2:80\n-Sn\n')).toBe(0);
    expect(io.stdout).toBe('-A -t 10.0.0.1:80 -s wlc\n-A -t 10.0.0.1:80 -s wlc\n-A -t 10.0.0.2:80 -s wlc\n');
  });

  it('does not restore inside a restore', async () => {
    expect(await restore('-C\n-R\n')).toBe(255);
    expect(io.errors).toBe("Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n");
  });

  it('says what went wrong when the kernel does not answer', async () => {
    io.table.beforeRead = (read) => {
      if (read === 'services') throw new PointsmanError('KERNEL_TIMEOUT', 'the kernel did not answer');
    };
    expect(await ipvsadm(['-Ln'], again())).toBe(255);
    expect(io.errors).toBe('the kernel did not answer\n');
  });
});

describe('--json', () => {
  const parsed = async (...args: string[]): Promise<unknown> => {
    io.pieces.length = 0;
    expect(await ipvsadm(args, again())).toBe(0);
    return JSON.parse(io.stdout);
  };

  it('gives the table under stable names', async () => {
    await restore(`-A -t 10.0.0.1:80 -s sh -b sh-port -p 60 -M 255.255.255.0
-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 3 -x 9 -y 5
-a -t 10.0.0.1:80 -r [fd00::1]:80 -i --tun-type gue --tun-port 6080 --tun-csum
-A -f 7 -6 -s rr
`);
    const counters = { connections: 0, inPackets: 0, outPackets: 0, inBytes: 0, outBytes: 0 };
    const rest = {
      activeConnections: 0,
      inactiveConnections: 0,
      persistentConnections: 0,
      counters,
      ratesPerSecond: counters,
    };
    const service = {
      protocol: 'TCP',
      address: '10.0.0.1',
      port: 80,
      scheduler: 'sh',
      schedulerFlags: ['sh-port'],
      persistenceSeconds: 60,
      persistenceNetmask: '255.255.255.0',
      persistenceEngine: null,
      onePacket: false,
      counters,
      ratesPerSecond: counters,
      realServers: [
        {
          address: 'fd00::1',
          port: 80,
          forwarding: 'tunnel',
          weight: 1,
          upperThreshold: 0,
          lowerThreshold: 0,
          tunnel: { type: 'gue', port: 6080, flags: 1 },
          ...rest,
        },
        {
          address: '10.0.1.1',
          port: 8080,
          forwarding: 'masquerade',
          weight: 3,
          upperThreshold: 9,
          lowerThreshold: 5,
          tunnel: null,
          ...rest,
        },
      ],
    };
    const marked = {
      fwmark: 7,
      family: 'IPv6',
      scheduler: 'rr',
      schedulerFlags: [],
      persistenceSeconds: null,
      persistenceNetmask: null,
      persistenceEngine: null,
      onePacket: false,
      counters,
      ratesPerSecond: counters,
      realServers: [],
    };
    expect(await parsed('-L', '--json')).toEqual({
      version: '1.2.1',
      connectionTableSize: 4096,
      virtualServers: [service, marked],
    });
    expect(await parsed('-L', '-t', '10.0.0.1:80', '--json')).toEqual({ virtualServers: [service] });
  });

  it('gives timeouts, daemons and connections', async () => {
    expect(await parsed('-L', '--timeout', '--json')).toEqual({
      timeouts: { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 },
    });
    expect(await parsed('-L', '--daemon', '--json')).toEqual({ daemons: [] });
    expect(await parsed('-L', '-c', '--json')).toEqual({ connections: [] });
  });

  it('writes counters with all their digits', async () => {
    await restore('-A -t 10.0.0.1:80\n');
    io.table.count(serviceKey('10.0.0.1', 80), null, { inBytes: 2n ** 63n });
    await ipvsadm(['-L', '--json'], again());
    expect(io.stdout).toContain('"inBytes": 9223372036854775808');
  });

  it('goes with -L only', async () => {
    expect(await ipvsadm(['-S', '--json'], again())).toBe(2);
    expect(io.errors).toBe("Illegal 'json' option with the 'save' command\n");
    io.errors = '';
    expect(await ipvsadm(['-L', '--compat'], again())).toBe(2);
    expect(io.errors).toBe("Illegal 'compat' option with the 'list' command\n");
  });
});
