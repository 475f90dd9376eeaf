// Reading what a guest writes, on files that this test writes in its place: nothing is cut, followed, waited for or without a limit.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  followText,
  MAX_RESULT_BYTES,
  MAX_RESULT_ENTRIES,
  readResults,
  readText,
  requireWithinLimits,
} from './uml-results.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lab-results-test-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What the guest's root can put in the place of a file. */
const NOT_PLAIN: Readonly<Record<string, (path: string) => void>> = {
  'a link to a file': (path) => symlinkSync('/etc/passwd', path),
  'a link to nowhere': (path) => symlinkSync('/nowhere', path),
  'a link to itself': (path) => symlinkSync(path, path),
  'a folder': (path) => mkdirSync(path),
  // Waits for a writer when it is opened in the ordinary way.
  'a pipe': (path) => void execFileSync('mkfifo', [path]),
  'a device': (path) => void execFileSync('mknod', [path, 'c', '1', '5']),
  'a socket': (path) => {
    // Killed, it leaves the socket's name behind.
    const script =
      'require("net").createServer().listen(process.argv[1], () => process.kill(process.pid, 9))';
    spawnSync(process.execPath, ['-e', script, path]);
    if (!existsSync(path)) throw new Error('the socket was not made');
  },
  nothing: () => undefined,
};

describe('text that is followed', () => {
  it('comes in pieces of whole characters, wherever the writer stopped', () => {
    const path = join(folder, '.stdout');
    const pieces: string[] = [];
    const follower = followText(path, (text) => pieces.push(text));
    follower.read();
    for (const byte of Buffer.from('aü€😀\n')) {
      appendFileSync(path, Buffer.from([byte]));
      follower.read();
    }
    follower.end();
    expect(pieces).toEqual(['a', 'ü', '€', '😀', '\n']);
  });

  it('ends with what is no whole character', () => {
    const path = join(folder, '.stdout');
    const pieces: string[] = [];
    const follower = followText(path, (text) => pieces.push(text));
    writeFileSync(path, Buffer.from([0x61, 0xe2, 0x82]));
    follower.read();
    follower.end();
    expect(pieces).toEqual(['a', '\uFFFD']);
  });
});

// Only root makes devices.
const isRoot = process.getuid?.() === 0;

describe.each(Object.entries(NOT_PLAIN))('%s in the place of a file', (what, make) => {
  it.skipIf(what === 'a device' && !isRoot)('reads as nothing', () => {
    const path = join(folder, '.stdout');
    make(path);
    make(join(folder, 'result'));
    writeFileSync(join(folder, 'z'), 'z');
    const pieces: string[] = [];
    const follower = followText(path, (text) => pieces.push(text));
    follower.read();
    follower.end();
    expect(pieces).toEqual([]);
    expect(readText(path)).toBe('');
    expect([...readResults(folder)]).toEqual([['z', Buffer.from('z')]]);
    expect(() => requireWithinLimits(folder)).not.toThrow();
  });
});

describe('the limit', () => {
  const sparse = (path: string, bytes: number): void => {
    writeFileSync(path, '');
    truncateSync(path, bytes);
  };

  it('counts outputs, results and what stands in folders together, to the byte', () => {
    mkdirSync(join(folder, 'a', 'b'), { recursive: true });
    writeFileSync(join(folder, '.stdout'), 'out');
    writeFileSync(join(folder, '.stderr'), 'err');
    writeFileSync(join(folder, 'a', 'b', 'result'), 'four');
    sparse(join(folder, 'large'), MAX_RESULT_BYTES - 10);
    expect(() => requireWithinLimits(folder)).not.toThrow();
    appendFileSync(join(folder, 'a', 'b', 'result'), '5');
    expect(() => requireWithinLimits(folder)).toThrow(
      expect.objectContaining({
        code: 'LIMIT_EXCEEDED',
        message: expect.stringContaining('more than 67108864 bytes'),
      }),
    );
  });

  it('does not count what a link leads to, and follows none in a circle', () => {
    const outside = mkdtempSync(join(tmpdir(), 'lab-results-test-'));
    try {
      sparse(join(outside, 'large'), MAX_RESULT_BYTES + 1);
      symlinkSync(outside, join(folder, 'folder'));
      symlinkSync(join(outside, 'large'), join(folder, 'file'));
      symlinkSync(folder, join(folder, 'circle'));
      expect(() => requireWithinLimits(folder)).not.toThrow();
    } finally {
      rmSync(outside, { recursive: true });
    }
  });

  it('counts names too, so that the walk over them has an end', () => {
    mkdirSync(join(folder, 'many'));
    for (let i = 1; i < MAX_RESULT_ENTRIES; i++) writeFileSync(join(folder, 'many', String(i)), '');
    expect(() => requireWithinLimits(folder)).not.toThrow();
    writeFileSync(join(folder, 'one more'), '');
    expect(() => requireWithinLimits(folder)).toThrow('more than 1000 files');
  });
});
