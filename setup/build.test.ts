// The parts of the build that need no build: arguments, symbols that are cut, what the launcher and V8 agree on. test/release/ runs what it makes.

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

/** The set-up is plain JavaScript without declarations: this is what is tested of it. */
const { cutSymbols } = (await import(new URL('./elf.mjs', import.meta.url).href)) as {
  cutSymbols: (file: Buffer) => Buffer;
};
const { build } = (await import(new URL('./build.mjs', import.meta.url).href)) as {
  build: (root: string, node: string, env: NodeJS.ProcessEnv, args: readonly string[]) => Promise<number>;
};

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman-build-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('cutSymbols', () => {
  it('gives a program that is smaller and runs as before', () => {
    const whole = readFileSync(process.execPath);
    const cut = cutSymbols(whole);
    expect(cut.length).toBeLessThan(whole.length);
    const path = join(folder, 'node');
    writeFileSync(path, cut);
    chmodSync(path, 0o755);
    const { status, stdout } = spawnSync(path, ['--print', '6 * 7'], { encoding: 'utf8' });
    expect({ status, stdout }).toEqual({ status: 0, stdout: '42\n' });
    expect(cutSymbols(cut).equals(cut)).toBe(true);
  });

  it.each([
    ['text', Buffer.from('#!/bin/sh\n'.padEnd(100))],
    ['too little', Buffer.from('\x7fELF\x02\x01')],
    ['a 32-bit program', Buffer.from('\x7fELF\x01\x01'.padEnd(100, '\0'), 'latin1')],
  ])('refuses %s', (_case, file) => expect(() => cutSymbols(file)).toThrow(/^no 64-bit/));

  it('refuses a program without its end', () => {
    const whole = readFileSync(process.execPath);
    expect(() => cutSymbols(whole.subarray(0, 1 << 20))).toThrow(/before its last segment/);
  });
});

describe('build', () => {
  it('takes no other argument than its own, and then builds nothing', async () => {
    expect(await build(folder, process.execPath, {}, ['--nonsense'])).toBe(2);
  });

  it('gives the exit code of what failed and leaves nothing half made', async () => {
    // This folder is no checkout: there is no setup/bundle.mjs in it.
    expect(await build(folder, process.execPath, { PATH: '/nonexistent' }, [])).toBe(1);
    expect(existsSync(join(folder, 'dist'))).toBe(false);
  });
});
