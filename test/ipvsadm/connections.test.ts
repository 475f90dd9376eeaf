// The list of connections, printed from the kernel's file that was recorded beside it: every row as ipvsadm 1.31 printed it. Only the
// seconds that passed between the two recordings may differ.

import { describe, expect, it } from 'vitest';
import type { IpvsadmIo, IpvsTable } from '../../src/ipvsadm/io.ts';
import { ipvsadm } from '../../src/ipvsadm/ipvsadm.ts';
import { readTranscript } from './transcript-file.ts';

const recorded = (command: string): string => {
  const entry = readTranscript('traffic').find((each) => each.command === command);
  if (entry === undefined) throw new Error(`nothing recorded of ${command}`);
  return entry.stdout;
};

const SERVICES: Readonly<Record<number, string>> = { 80: 'http', 53: 'domain', 8080: 'http-alt' };

const untouched = (): never => {
  throw new Error('a list of connections needs nothing of the table');
};
const table: IpvsTable = {
  apply: untouched,
  services: untouched,
  service: untouched,
  destinations: untouched,
  daemons: untouched,
  timeouts: untouched,
  info: () => ({ version: 0x010201, connectionTableSize: 4096 }),
  close: () => {},
};

async function print(args: readonly string[]): Promise<string> {
  let printed = '';
  const io: IpvsadmIo = {
    program: 'ipvsadm',
    out: (text) => void (printed += text),
    err: (text) => void (printed += text),
    stdin: () => [],
    readFile: untouched,
    openTable: () => table,
    readConnections: () => recorded('cat /proc/net/ip_vs_conn'),
    names: {
      addressOfHost: () => null,
      hostOfAddress: () => null,
      portOfService: () => null,
      serviceOfPort: (port) => SERVICES[port] ?? null,
    },
    nowMs: () => 0,
    wait: () => Promise.resolve(),
    terminal: () => null,
    signal: new AbortController().signal,
  };
  expect(await ipvsadm(args, io)).toBe(0);
  return printed;
}

const EXPIRE = /(?<=^(?:TCP|UDP) )(\d+):(\d\d)/gm;

/** Rows with their expire times taken out, and these in seconds. */
function split(text: string): { rows: string; seconds: number[] } {
  const seconds: number[] = [];
  const rows = text.replaceAll(EXPIRE, (time: string, minutes: string, rest: string) => {
    seconds.push(Number(minutes) * 60 + Number(rest));
    return time.replaceAll(/\d/g, '0');
  });
  return { rows, seconds };
}

describe('a list of connections', () => {
  it.each(['ipvsadm -Lnc', 'ipvsadm -Lc', 'ipvsadm -Lnc --persistent-conn', 'ipvsadm -Lnc --sort'])(
    '%s prints what was recorded, from the file that was recorded',
    async (command) => {
      const theirs = split(recorded(command));
      const ours = split(await print(command.split(' ').slice(1)));
      expect(ours.rows).toBe(theirs.rows);
      expect(ours.seconds).toHaveLength(14);
      // The file was recorded after the first three lists and before the last.
      for (const [index, seconds] of theirs.seconds.entries())
        expect(Math.abs(seconds - (ours.seconds[index] ?? NaN))).toBeLessThanOrEqual(3);
    },
  );

  it('prints the seconds that the file has', async () => {
    expect(split(await print(['-Lnc'])).seconds).toEqual([
      108, 111, 112, 48, 354, 10_796, 111, 106, 50, 53, 114, 112, 296, 111,
    ]);
  });
});
