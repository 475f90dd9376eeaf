// The log's way out, with readers that do not read, leave, and disks that are full.

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { endHelpers, HelperProcess, startProgram } from '../../test/helper-process.ts';
import { makeFileWriter, makeStreamWriter } from './line-writer.ts';

const PROGRAM = new URL('../../test/log-program.ts', import.meta.url);

afterEach(endHelpers);

describe('lines to a stream', () => {
  it('are written while it takes them, counted while it does not, and the loss is said when it does again', () => {
    const got: string[] = [];
    const stream = { writableLength: 0, write: (text: string) => got.push(text) > 0 };
    const write = makeStreamWriter(stream, 10);
    write('one');
    stream.writableLength = 8;
    write('two');
    write('three');
    write('four');
    expect(got).toEqual(['one\n']);
    stream.writableLength = 0;
    const wide = makeStreamWriter(stream, 1000);
    stream.writableLength = 999;
    wide('lost');
    stream.writableLength = 0;
    wide('five');
    wide('six');
    expect(got.slice(1)).toEqual([
      '... 1 lines of this log were lost: they could not be written\nfive\n',
      'six\n',
    ]);
  });
});

it('what was lost is said in the words of the log', () => {
  const got: string[] = [];
  const stream = { writableLength: 1000, write: (text: string) => got.push(text) > 0 };
  const write = makeStreamWriter(stream, 100, (lines) => JSON.stringify({ lines }));
  write('{}');
  write('{}');
  stream.writableLength = 0;
  write('{"last":true}');
  expect(got).toEqual(['{"lines":2}\n{"last":true}\n']);
});

describe('lines to a file', () => {
  it('that cannot be written are counted, and it goes on when they can', () => {
    const folder = mkdtempSync(join(tmpdir(), 'line-writer-'));
    const fd = openSync(join(folder, 'log'), 'w');
    const write = makeFileWriter(fd);
    write('one');
    const full = makeFileWriter(openSync('/dev/full', 'w'));
    expect(() => full('lost')).not.toThrow();
    closeSync(fd);
    write('two');
    const again = openSync(join(folder, 'log'), 'a');
    expect(again).toBe(fd);
    write('three');
    closeSync(again);
    expect(readFileSync(join(folder, 'log'), 'utf8')).toBe(
      'one\n... 1 lines of this log were lost: they could not be written\nthree\n',
    );
    rmSync(folder, { recursive: true });
  });
});

// The program writes 64 MiB of log and prints "done MEGABYTES" (its memory) on standard output.
describe('a process whose log', () => {
  it('nobody reads goes on, with little memory', async () => {
    const program = startProgram(PROGRAM, []);
    program.child.stderr?.removeAllListeners('data').pause();
    await program.until('done');
    expect(Number(program.stdout.split(' ')[1])).toBeLessThan(250);
  });

  it.each<[string, string]>([
    ['goes into a pipe that is closed', 'exec 3>&1; "$@" 2>&1 >&3 | true'],
    ['goes nowhere', '"$@" 2>&-'],
    ['goes to a full disk', '"$@" 2>/dev/full'],
  ])('%s goes on', async (_, line) => {
    const program = new HelperProcess('sh', ['-c', line, 'sh', process.execPath, PROGRAM.pathname]);
    expect(await program.ended).toBe(0);
    expect(program.stdout).toMatch(/^done/);
  });
});
