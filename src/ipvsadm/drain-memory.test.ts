import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { formatDrains, MAX_DRAINS, MAX_DRAINS_BYTES, parseDrains, type DrainEntry } from './drain-entries.ts';
import { drainMemoryFile } from './drain-memory.ts';

const A = { service: 'TCP 10.96.0.10:80', server: '10.0.0.1:8080' };
const B = { service: 'FWM 7 IPv6', server: '[fd00::1]:80' };

let folder: string;
let path: string;
const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));
const open = (): ReturnType<typeof drainMemoryFile> => drainMemoryFile(pause, path);

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'drain-memory-'));
  path = join(folder, 'run', 'drains.json');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the memory of drain', () => {
  it('keeps weights until they are forgotten, in a file for root alone', async () => {
    expect(open().read().weightOf(A)).toBeNull();
    expect(
      await open().change(
        [
          { ...A, weight: 5 },
          { ...B, weight: 2147483647 },
        ],
        [],
      ),
    ).toBeNull();
    expect(open().read()).toMatchObject({ note: null });
    expect(open().read().weightOf(A)).toBe(5);
    expect(open().read().weightOf(B)).toBe(2147483647);
    await open().change([{ ...A, weight: 6 }], [B]);
    expect(open().read().weightOf(A)).toBe(6);
    expect(open().read().weightOf(B)).toBeNull();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, 'run')).mode & 0o777).toBe(0o700);
    expect(readdirSync(join(folder, 'run')).sort()).toEqual(['drains.json', 'drains.json.lock']);
  });

  it('writes nothing when nothing changes', async () => {
    expect(await open().change([], [])).toBeNull();
    expect(existsSync(path)).toBe(false);
  });

  it('loses nothing when many change it at once', async () => {
    const servers = Array.from({ length: 20 }, (_, index) => ({ ...A, server: `10.0.0.${index}:80` }));
    await Promise.all(servers.map((each, index) => open().change([{ ...each, weight: index + 1 }], [])));
    const { weightOf } = open().read();
    expect(servers.map(weightOf)).toEqual(servers.map((_, index) => index + 1));
  });

  it('waits for who holds the lock, for a limited time', async () => {
    await open().change([{ ...A, weight: 5 }], []);
    const waited: number[] = [];
    const never = drainMemoryFile(async (ms) => void waited.push(ms), path);
    const holder = open();
    // The lock is taken inside another process, as by another run of the command.
    const note = await holdLock(`${path}.lock`, () => never.change([{ ...A, weight: 6 }], []));
    expect(note).toMatch(/drains\.json cannot be written \(somebody holds .*\.lock\)$/);
    expect(waited.length).toBeGreaterThan(10);
    expect(holder.read().weightOf(A)).toBe(5);
    expect(await holder.change([{ ...A, weight: 7 }], [])).toBeNull();
  });

  it('is each network namespace’s own, and ends with the boot', async () => {
    await open().change([{ ...A, weight: 5 }], []);
    const text = readFileSync(path, 'utf8');
    const { netns } = (JSON.parse(text) as { drains: DrainEntry[] }).drains[0] as DrainEntry;
    expect(netns).toBe(statSync('/proc/self/ns/net').ino);
    writeFileSync(path, text.replace(String(netns), '1'), { mode: 0o600 });
    expect(open().read().weightOf(A)).toBeNull();
    await open().change([{ ...A, weight: 6 }], []);
    expect(readFileSync(path, 'utf8')).toContain('"netns":1,');

    writeFileSync(path, text.replace(/"bootId":"./, '"bootId":"x'));
    expect(open().read()).toMatchObject({ note: null });
    expect(open().read().weightOf(A)).toBeNull();
  });

  it.each<[string, () => void, RegExp]>([
    ['no JSON', () => writeFileSync(path, 'x'), /it is not what drain writes/],
    ['another document', () => writeFileSync(path, '{"version":2}'), /it is not what drain writes/],
    ['too much', () => writeFileSync(path, ' '.repeat(MAX_DRAINS_BYTES + 1)), /it is larger than/],
    ['writable by others', () => chmodSync(path, 0o666), /others can write it/],
    ['another user’s', () => chownSync(path, 12_345, 12_345), /others can write it/],
    ['a link', () => (rmSync(path), symlinkSync('/etc/passwd', path)), /ELOOP/],
    ['a pipe', () => (rmSync(path), execFileSync('mkfifo', [path])), /it is no regular file/],
  ])('leaves a file aside that is %s, says so, and begins anew', async (_, spoil, why) => {
    await open().change([{ ...A, weight: 5 }], []);
    spoil();
    expect(open().read().note).toMatch(why);
    expect(open().read().weightOf(A)).toBeNull();
    expect(await open().change([{ ...A, weight: 6 }], [])).toMatch(why);
    expect(open().read()).toMatchObject({ note: null });
    expect(open().read().weightOf(A)).toBe(6);
  });

  it('says why it could not write', async () => {
    writeFileSync(join(folder, 'run'), '');
    expect(await open().change([{ ...A, weight: 5 }], [])).toMatch(/drains\.json cannot be written \(.*E/);
  });

  it('passes over what a killed writer left', async () => {
    await open().change([{ ...A, weight: 5 }], []);
    writeFileSync(`${path}.new`, 'half');
    expect(await open().change([{ ...B, weight: 6 }], [])).toBeNull();
    expect(open().read().weightOf(A)).toBe(5);
  });
});

/** Runs `inside` while another process holds the lock. */
async function holdLock<T>(lock: string, inside: () => Promise<T>): Promise<T> {
  const { spawn } = await import('node:child_process');
  const holder = spawn('flock', [lock, 'sh', '-c', 'echo held; read line'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  try {
    return await inside();
  } finally {
    holder.stdin.end();
    await new Promise((resolve) => holder.once('exit', resolve));
  }
}

describe('the entries', () => {
  const entry = fc.record({
    netns: fc.integer({ min: 1 }),
    service: fc.constantFrom(A.service, B.service, 'SCTP [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535'),
    server: fc.constantFrom(A.server, B.server),
    weight: fc.integer({ min: 1, max: 2147483647 }),
  });

  it('are read as they were written', () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), (entries) => {
        expect(parseDrains(formatDrains('b', entries), 'b')).toEqual(entries);
        expect(parseDrains(formatDrains('b', entries), 'c')).toEqual([]);
      }),
    );
  });

  it('are null for any other text, and never an error', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
        expect(parseDrains(text, 'b')).toBeNull();
      }),
    );
  });

  it.each<[string, Record<string, unknown>]>([
    ['a weight of 0', { weight: 0 }],
    ['a weight above the kernel’s', { weight: 2147483648 }],
    ['a weight in text', { weight: '1' }],
    ['a fraction of a weight', { weight: 1.5 }],
    ['an escape sequence for a name', { service: '\x1b[2J' }],
    ['a name of another type', { server: 5 }],
    ['a namespace that is no number', { netns: null }],
  ])('are refused with %s', (_, change) => {
    const good = { netns: 1, ...A, weight: 1 };
    const text = (drains: unknown): string => JSON.stringify({ version: 1, bootId: 'b', drains });
    expect(parseDrains(text([good]), 'b')).toEqual([good]);
    expect(parseDrains(text([good, { ...good, ...change }]), 'b')).toBeNull();
    expect(parseDrains(text([null]), 'b')).toBeNull();
    expect(parseDrains(text({ length: 0 }), 'b')).toBeNull();
  });

  it('are limited in number and size, the newest are kept', () => {
    const longest = 'SCTP [ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535';
    const entries = Array.from({ length: MAX_DRAINS + 5 }, (_, index) => ({
      netns: 4_026_531_840 + index,
      service: longest,
      server: longest.slice(5),
      weight: 2147483647,
    }));
    const text = formatDrains('b', entries);
    expect(text.length).toBeLessThan(MAX_DRAINS_BYTES);
    expect(parseDrains(text, 'b')).toEqual(entries.slice(5));
  });
});
