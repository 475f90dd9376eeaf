// The command lines of the verbs: what reaches whom, and what is a mistake.

import { beforeEach, describe, expect, it } from 'vitest';
import { FakeIpvsadmIo } from '../../test/fake-ipvsadm-io.ts';
import { realServer, serviceKey } from '../../test/fake-ipvs-table.ts';
import { VerbArguments } from './verb-arguments.ts';
import { VERB_USAGES } from './verb-usages.ts';
import { PointsmanError } from '../model/errors.ts';
import { withChanges } from './io.ts';
import { ipvsadm } from './ipvsadm.ts';

const RULES = `-A -t 10.0.0.1:80 -s rr
-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 3
-A -f 7 -6 -s rr
-a -f 7 -6 -r fd00::1 -m
`;

let io = new FakeIpvsadmIo();
async function run(...args: string[]): Promise<number> {
  io.table.isClosed = false;
  io.pieces.length = 0;
  io.errors = '';
  return ipvsadm(args, io);
}

beforeEach(async () => {
  io = new FakeIpvsadmIo();
  await ipvsadm(['-R'], withChanges(io, { stdin: () => [RULES] }));
  io.table.writes = [];
});

describe('a mistake', () => {
  it.each([
    [['drain'], 'drain: name the server with -r ADDRESS[:PORT]'],
    [
      ['drain', '-r', '10.0.0.1:x'],
      'drain: "10.0.0.1:x" is no real server; write ADDRESS:PORT or [ADDRESS]:PORT',
    ],
    [['drain', '-r', '10.0.0.1', 'x'], 'drain: unexpected argument x'],
    [['drain', '-t', 'x', '-r', '10.0.0.1'], 'drain: illegal virtual server address[:port] specified'],
    [
      ['drain', '-t', '1.1.1.1:1', '-u', '1.1.1.1:1', '-r', '1.1.1.1'],
      "drain: multiple 'service-address' options specified",
    ],
    [['drain', '-6', '-r', 'fd00::1'], 'drain: -6 goes with -f'],
    [
      ['drain', '--deadline', 'soon', '-r', '1.1.1.1'],
      'drain: --deadline takes a time like 15m, 1.5s or 0ms, at least that, not "soon"',
    ],
    [['drain', '--deadline', '-5', '-r', '1.1.1.1'], "drain: Option '--deadline' argument is ambiguous"],
    [
      ['drain', '--interval', '1ms', '-r', '1.1.1.1'],
      'drain: --interval takes a time like 15m, 1.5s or 100ms, at least that, not "1ms"',
    ],
    [
      ['undrain', '--weight', '0', '-r', '1.1.1.1'],
      'undrain: --weight takes a number from 1 to 2147483647, not "0"',
    ],
    [
      ['top', '--sort', 'luck'],
      'top: --sort takes one of cps, inpps, outpps, inbps, outbps, active, inactive, address, not "luck"',
    ],
    [['top', '--iterations', '0'], 'top: --iterations takes a number from 1 to 1000000000, not "0"'],
    [['top', 'a', 'b'], 'top: unexpected argument b'],
    [['completion'], 'completion: name bash, zsh or fish'],
    [['completion', 'csh'], 'completion: there is no completion for "csh"'],
    [['completion', '--json'], "completion: Unknown option '--json'"],
  ])('%j is told in one line and changes nothing', async (args, message) => {
    expect(await run(...args)).toBe(2);
    expect(io.errors).toMatch(new RegExp(`^ipvsadm ${escape(message)}.*; usage: ipvsadm ${args[0]}.*\n$`));
    expect(io.table.writes).toEqual([]);
  });
});

const escape = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');

describe('values', () => {
  it.each([
    ['15m', 900_000],
    ['1.5s', 1500],
    ['250ms', 250],
    ['30', 30_000],
    ['0.5', 500],
    ['1h30m', 5_400_000],
  ])('%s is %d ms', (text, ms) => {
    expect(new VerbArguments('drain', ['--deadline', text]).durationMs('deadline', 0)).toBe(ms);
  });

  it.each([
    [['-t', '10.0.0.1:80', '-r', '10.0.1.1:8080'], 'TCP 10.0.0.1:80', '10.0.1.1', 8080],
    [['-r', '10.0.1.1', '-u10.0.0.1:53'], 'UDP 10.0.0.1:53', '10.0.1.1', null],
    [['--sctp-service=10.0.0.1:9', '--real-server=[fd00::1]:80'], 'SCTP 10.0.0.1:9', 'fd00::1', 80],
    [['-f', '7', '-6', '-r', 'fd00::1'], 'FWM 7', 'fd00::1', null],
    [['-r', '10.0.1.1:8080'], null, '10.0.1.1', 8080],
  ])('%j names a server', (args, service, address, port) => {
    const choice = new VerbArguments('drain', args).server(io.names);
    const key = choice.service;
    const name =
      key === null
        ? null
        : key.fwmark === undefined
          ? `${{ 6: 'TCP', 17: 'UDP', 132: 'SCTP' }[key.protocol] ?? ''} ${key.address}:${key.port}`
          : `FWM ${key.fwmark}`;
    expect({ name, address: choice.address, port: choice.port }).toEqual({ name: service, address, port });
  });
});

describe('a command line', () => {
  it('drains and undrains the server that it names', async () => {
    expect(await run('drain', '-t', '10.0.0.1:80', '-r', '10.0.1.1:8080', '--no-wait')).toBe(0);
    expect(io.table.writes).toEqual(['SET_DEST TCP 10.0.0.1:80 -> 10.0.1.1:8080']);
    expect(await run('undrain', '-t', '10.0.0.1:80', '-r', '10.0.1.1:8080', '-w', '9')).toBe(0);
    const server = io.table.destination(serviceKey('10.0.0.1', 80), realServer('10.0.1.1', 8080));
    expect(server.weight).toBe(9);
  });

  it.each([
    ['diff', 'rules'],
    ['restore', '--merge', 'rules'],
    ['drain', '-r', '10.0.1.1'],
    ['undrain', '-r', '10.0.1.1'],
    ['top'],
  ])('%s says in one line that the kernel does not answer, and exits 1', async (...args) => {
    io.files.set('rules', RULES);
    io.table.beforeRead = (read) => {
      if (read === 'services') throw new PointsmanError('KERNEL_TIMEOUT', 'the kernel did not answer');
    };
    expect(await run(...args)).toBe(1);
    expect(io.errors).toBe(`ipvsadm ${args[0]}: the kernel did not answer\n`);
    expect(io.table.isClosed).toBe(true);
  });

  it('shows rates once under a pipe', async () => {
    expect(await run('top', '-n', '--no-servers')).toBe(0);
    expect(io.stdout).toContain('10.0.0.1:80');
    expect(io.stdout).not.toContain('10.0.1.1:8080');
  });

  it.each(VERB_USAGES.map(({ verb, options }) => [verb, options.map(({ long }) => `--${long}`)] as const))(
    'explains %s and its options, whatever else is said',
    async (verb, options) => {
      expect(await run(verb, '--bogus', '--help')).toBe(0);
      for (const text of [`Usage: ipvsadm ${verb}`, ...options]) expect(io.stdout).toContain(text);
    },
  );

  it('prints each completion', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      expect(await run('completion', shell)).toBe(0);
      expect(io.stdout).toContain('ipvsadm');
    }
  });
});
