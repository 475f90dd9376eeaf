// Files with credentials while somebody replaces, cuts and removes them.

import { execFileSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  CredentialFolder,
  credentialErrorOf,
  FakeCredentialClock,
} from '../../test/cluster/credential-world.ts';
import {
  LOOK_AGAIN_AFTER_ERROR_MS,
  LOOK_AGAIN_MS,
  MAX_TOKEN_BYTES,
  readCredentialFile,
  readTokenFile,
  Renewed,
  tokenMistake,
} from './token-file.ts';

const ORIGIN = { where: 'kubeconfig /etc/k', context: { file: '/etc/k' } };
let folder: CredentialFolder;
beforeEach(() => {
  folder = new CredentialFolder();
});
afterEach(() => folder.remove());

describe('a token file', () => {
  it('is read without the blanks around the token', async () => {
    expect(await readTokenFile(folder.write('t', ' abc.def-_~\r\n\n'), ORIGIN)).toBe('abc.def-_~');
    const long = 'a'.repeat(MAX_TOKEN_BYTES);
    expect(await readTokenFile(folder.write('t', long), ORIGIN)).toBe(long);
  });

  it('is refused with its path and without its content', async () => {
    const table: readonly (readonly [content: string | Uint8Array, message: RegExp])[] = [
      ['', /: the token is empty; write the token alone into it/],
      [' \n\n', /: the token is empty; /],
      ['secretone secrettwo', /: the token has blanks, line breaks/],
      ['secretone\nsecrettwo\n', /: the token has blanks, line breaks/],
      [
        Buffer.from([0xff, 0xfe, 0x41]),
        /: the token has blanks, line breaks or characters that no token has; /,
      ],
      ['s'.repeat(MAX_TOKEN_BYTES + 1), /: it has more than 65536 bytes; /],
    ];
    for (const [content, message] of table) {
      const error = await credentialErrorOf(readTokenFile(folder.write('t', content), ORIGIN));
      expect(error.message).toMatch(message);
      expect(error.message).toContain(`kubeconfig /etc/k: ${folder.file('t')}: `);
      expect(error.message).not.toContain('secret');
    }
  });

  it('says how a token cannot be sent, or nothing', () => {
    expect(tokenMistake('abc')).toBeNull();
    expect(tokenMistake('a\u00e9')).toContain('characters');
    expect(tokenMistake('a'.repeat(MAX_TOKEN_BYTES + 1))).toContain('more than 65536 bytes');
  });
});

describe('a file that cannot be read', () => {
  it('is named with the reason and never waited for', async () => {
    mkdirSync(folder.file('folder'));
    folder.write('file', '');
    symlinkSync('loop', folder.file('loop'));
    execFileSync('mkfifo', [folder.file('pipe')]);
    const table = [
      ['folder', 'it is a folder; give the path of a file', undefined],
      ['file/below', 'a part of the path is no folder; correct the path', 'ENOTDIR'],
      ['missing', 'there is no such file; create it or correct the path', 'ENOENT'],
      ['loop', 'its symbolic links go in a circle; correct the links', 'ELOOP'],
      ['pipe', 'it is no regular file; ', undefined],
      ['a\0b', 'the path contains NUL', undefined],
      ['x'.repeat(300), 'it cannot be read (ENAMETOOLONG); ', 'ENAMETOOLONG'],
    ] as const;
    for (const [name, message, errno] of table) {
      const error = await credentialErrorOf(readCredentialFile(join(folder.path, name), 10, ORIGIN));
      expect(error.message).toContain(message);
      expect(error.context['errno']).toBe(errno);
    }
  });

  it('is limited by what is read, not by the size that it claims', async () => {
    // Files of /proc claim to be empty.
    const bytes = await readCredentialFile('/proc/self/status', 1 << 20, ORIGIN);
    expect(bytes.toString()).toContain('Pid:');
    const error = await credentialErrorOf(readCredentialFile('/proc/self/status', 10, ORIGIN));
    expect(error.message).toContain('it has more than 10 bytes');
    expect(error.code).toBe('INVALID_KUBECONFIG');
  });
});

describe('a value that is renewed', () => {
  it('is read once in a while, at once after renew, and by one reading for all who ask', async () => {
    const clock = new FakeCredentialClock();
    let reads = 0;
    const value = new Renewed(async () => ++reads, clock);
    expect(await Promise.all([value.get(), value.get(), value.get()])).toEqual([1, 1, 1]);
    clock.advance(LOOK_AGAIN_MS - 1);
    expect(await value.get()).toBe(1);
    clock.advance(1);
    expect(await value.get()).toBe(2);
    value.renew();
    expect(await value.get()).toBe(3);
    expect(await value.get()).toBe(3);
  });

  it('is read again after a reading that began before renew', async () => {
    const readings: PromiseWithResolvers<number>[] = [];
    const value = new Renewed(() => {
      const reading = Promise.withResolvers<number>();
      readings.push(reading);
      return reading.promise;
    }, new FakeCredentialClock());
    const before = value.get();
    value.renew();
    const after = [value.get(), value.get()];
    readings[0]?.resolve(1);
    expect(await before).toBe(1);
    while (readings.length < 2) await new Promise((resolve) => setImmediate(resolve));
    readings[1]?.resolve(2);
    expect(await Promise.all(after)).toEqual([2, 2]);
    expect(readings).toHaveLength(2);
  });

  it('tries again at every call as long as there is nothing good', async () => {
    const value = new Renewed(() => readTokenFile(folder.file('t'), ORIGIN), new FakeCredentialClock());
    await credentialErrorOf(value.get());
    folder.write('t', 'mended');
    expect(await value.get()).toBe('mended');
  });

  it('keeps the last good one while the file is missing or being written, and takes the new one soon after', async () => {
    const clock = new FakeCredentialClock();
    const value = new Renewed(() => readTokenFile(folder.file('t'), ORIGIN), clock);
    folder.write('t', 'one');
    expect(await value.get()).toBe('one');
    for (const spoil of [
      () => rmSync(folder.file('t')),
      () => folder.write('t', ''),
      () => folder.write('t', 'a b'),
    ]) {
      spoil();
      clock.advance(LOOK_AGAIN_MS);
      expect(await value.get()).toBe('one');
      expect(value.kept?.message).toContain(folder.file('t'));
    }
    folder.write('t', 'two');
    expect(await value.get()).toBe('one');
    clock.advance(LOOK_AGAIN_AFTER_ERROR_MS);
    expect(await value.get()).toBe('two');
    expect(value.kept).toBeNull();
  });

  it('follows the links that a kubelet swaps', async () => {
    const clock = new FakeCredentialClock();
    const publish = (version: string): void => {
      mkdirSync(folder.file(version));
      folder.write(`${version}/token`, `token-of-${version}`);
      symlinkSync(version, folder.file('..data_tmp'));
      renameSync(folder.file('..data_tmp'), folder.file('..data'));
    };
    publish('v1');
    symlinkSync('..data/token', folder.file('token'));
    const value = new Renewed(() => readTokenFile(folder.file('token'), ORIGIN), clock);
    expect(await value.get()).toBe('token-of-v1');
    publish('v2');
    rmSync(folder.file('v1'), { recursive: true });
    clock.advance(LOOK_AGAIN_MS);
    expect(await value.get()).toBe('token-of-v2');
  });
});
