// Abstract names and peer credentials on the real kernel, with real processes.

import { openSync } from 'node:fs';
import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { endHelpers, HelperProcess, startProgram } from '../../test/helper-process.ts';
import { AF_UNIX, close, SOCK_DGRAM, SOCK_STREAM, socket } from './libc.ts';
import { abstractNameHolder, peerCredentials, takeAbstractName } from './unix-socket.ts';

const PROGRAM = new URL('../../test/lock-program.ts', import.meta.url);
const IS_ROOT = process.getuid?.() === 0;

let counter = 0;
const freshName = (): string => `pointsman-test-${process.pid}-${counter++}`;

afterEach(endHelpers);

describe('an abstract name', () => {
  it('is for one at a time, says who has it, and is free again after release', () => {
    const name = freshName();
    const held = takeAbstractName(name);
    expect(held).not.toBeNull();
    expect(takeAbstractName(name)).toBeNull();
    expect(abstractNameHolder(name)).toEqual({
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
    held?.release();
    expect(abstractNameHolder(name)).toBeNull();
    takeAbstractName(name)?.release();
  });

  it('says who has it however often it is asked', () => {
    const name = freshName();
    const held = takeAbstractName(name);
    for (let i = 0; i < 10_000; i++) {
      if (i % 100 === 0) held?.dismissVisitors();
      expect(abstractNameHolder(name)?.pid).toBe(process.pid);
    }
    held?.release();
  });

  it('is free as soon as its process was killed', async () => {
    const name = freshName();
    const other = startProgram(PROGRAM, ['bare', name]);
    await other.until('held');
    expect(takeAbstractName(name)).toBeNull();
    expect(abstractNameHolder(name)?.pid).toBe(other.pid);
    other.child.kill('SIGKILL');
    await other.ended;
    const held = takeAbstractName(name);
    expect(held).not.toBeNull();
    held?.release();
  });

  it.skipIf(!IS_ROOT)('is another one in another network namespace', async () => {
    const name = freshName();
    const held = takeAbstractName(name);
    const other = new HelperProcess('unshare', ['-n', process.execPath, PROGRAM.pathname, 'bare', name]);
    await other.until('held');
    held?.release();
  });

  it.skipIf(!IS_ROOT)('of another user says so', async () => {
    const name = freshName();
    const other = startProgram(PROGRAM, ['bare', name], 65534);
    await other.until('held');
    expect(abstractNameHolder(name)).toMatchObject({ uid: 65534, gid: 65534 });
  });

  it.each(['', 'x'.repeat(108)])('%j is none', (name) => {
    expect(() => takeAbstractName(name)).toThrow(/no abstract name/);
  });
});

describe('peer credentials', () => {
  it.each([
    ['a socket that is not connected', socket(AF_UNIX, SOCK_STREAM, 0).value],
    ['a datagram socket', socket(AF_UNIX, SOCK_DGRAM, 0).value],
    ['no socket', openSync('/dev/null', 'r')],
    ['nothing', 99_999],
  ])('are null for %s', (_, fd) => {
    expect(peerCredentials(fd)).toBeNull();
    close(fd);
  });

  it('are null for a TCP connection', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
    expect(peerCredentials(fd)).toBeNull();
    server.close();
  });
});
