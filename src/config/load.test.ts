// The configuration file on disk: what cannot be read, and every way in which it changes while it is watched.

import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadConfig, watchConfig, type ConfigChange, type WatchOptions } from './load.ts';

const text = (scheduler: string): string =>
  `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\nipvs: {scheduler: ${scheduler}}\n`;

let folder = '';
let path = '';
let watches: { close(): Promise<void> }[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman-config-'));
  path = join(folder, 'config.conf');
});

afterEach(async () => {
  await Promise.all(watches.map((watch) => watch.close()));
  watches = [];
  rmSync(folder, { recursive: true, force: true });
});

/** Watches, and gives the next change each time it is asked: a scheduler, or the code of an error. */
function watching(options: WatchOptions = {}): () => Promise<string> {
  const changes: string[] = [];
  let notify = (): void => undefined;
  const onChange = (change: ConfigChange): void => {
    changes.push(
      'error' in change ? `${change.error.code} ${change.error.message}` : change.config.ipvs.scheduler,
    );
    notify();
  };
  watches.push(watchConfig(path, onChange, { debounceMs: 10, pollMs: 60_000, settleMs: 10, ...options }));
  return async () => {
    while (changes.length === 0) await new Promise<void>((resolve) => (notify = resolve));
    return changes.shift() ?? '';
  };
}

describe('loadConfig', () => {
  test('reads a file, also with a byte order mark', async () => {
    writeFileSync(path, `\ufeff${text('lc')}`);
    expect((await loadConfig(path)).config.ipvs.scheduler).toBe('lc');
  });

  test.each<[name: string, act: () => void, message: RegExp]>([
    [
      'a file that is missing',
      () => undefined,
      /config\.conf: it cannot be read \(ENOENT\); correct the path/,
    ],
    ['a folder', () => mkdirSync(path), /it cannot be read \(EISDIR\)/],
    [
      'a huge file',
      () => writeFileSync(path, '#'.repeat(1024 * 1024 + 1)),
      /it has 1048577 bytes; a configuration has at most 1048576/,
    ],
    [
      'UTF-16',
      () => writeFileSync(path, Buffer.from(`\ufeff${text('lc')}`, 'utf16le')),
      /config\.conf:1:1: the file is UTF-16; save it as UTF-8/,
    ],
  ])('refuses %s', async (_name, act, message) => {
    act();
    await expect(loadConfig(path)).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringMatching(message),
    });
  });
});

describe('watchConfig', () => {
  test('tells each new content once: in place, renamed over, broken, repaired', async () => {
    writeFileSync(path, text('rr'));
    const next = watching();
    writeFileSync(path, text('lc'));
    expect(await next()).toBe('lc');
    writeFileSync(join(folder, 'new'), text('sh'));
    renameSync(join(folder, 'new'), path);
    expect(await next()).toBe('sh');
    writeFileSync(path, text('nonsense'));
    expect(await next()).toMatch(/^INVALID_CONFIG .*config\.conf:4:19: ipvs\.scheduler/);
    writeFileSync(path, text('sh').replace('ipvs\n', 'iptables\n'));
    expect(await next()).toMatch(/^UNSUPPORTED_MODE/);
    writeFileSync(path, text('sh'));
    expect(await next()).toBe('sh');
    unlinkSync(path);
    expect(await next()).toMatch(/^INVALID_CONFIG .*ENOENT/);
    writeFileSync(path, text('mh'));
    expect(await next()).toBe('mh');
  });

  test('sees the symlink swap of a ConfigMap volume', async () => {
    const publish = (version: string, scheduler: string): void => {
      mkdirSync(join(folder, `..${version}`));
      writeFileSync(join(folder, `..${version}`, 'config.conf'), text(scheduler));
      symlinkSync(`..${version}`, join(folder, '..data_tmp'));
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    publish('1', 'rr');
    symlinkSync('..data/config.conf', path);
    const next = watching();
    publish('2', 'lc');
    expect(await next()).toBe('lc');
  });

  test('does not tell of a file that is broken only while it is written', async () => {
    writeFileSync(path, text('rr'));
    let settle = (_message: string): void => undefined;
    const unsettled = (): Promise<string> => new Promise((resolve) => (settle = resolve));
    const next = watching({ settleMs: 3_600_000, onUnsettled: ({ message }) => settle(message) });
    const whole = text('lc');
    for (const [part, message] of [
      ['', /holds no configuration/],
      [whole.slice(0, 60), /kind: it is missing|kind: "Kube/],
      [`${whole.slice(0, -5)}`, /not valid YAML/],
      [whole.slice(0, whole.indexOf('mode')), /mode is not set/],
    ] as const) {
      const seen = unsettled();
      writeFileSync(path, part);
      expect(await seen).toMatch(message);
    }
    const gone = unsettled();
    unlinkSync(path);
    expect(await gone).toMatch(/ENOENT/);
    writeFileSync(path, whole);
    expect(await next()).toBe('lc');
    // Broken and repaired to what it was is no change.
    const broken = unsettled();
    writeFileSync(path, 'x');
    await broken;
    writeFileSync(path, whole);
    writeFileSync(join(folder, 'new'), text('sh'));
    renameSync(join(folder, 'new'), path);
    expect(await next()).toBe('sh');
  });

  test('puts the flags of the command line over each new content', async () => {
    writeFileSync(path, text('rr'));
    const flags = { texts: new Map([['hostname-override', ['from-flag']]]), warnings: [] };
    const changed = new Promise<ConfigChange>((resolve) => {
      watches.push(watchConfig(path, resolve, { debounceMs: 10, pollMs: 60_000, flags }));
    });
    writeFileSync(path, `${text('lc')}hostnameOverride: from-file\n`);
    expect(await changed).toMatchObject({
      config: { hostnameOverride: 'from-flag', ipvs: { scheduler: 'lc' } },
    });
  });

  test('tells at once what changed since the content that the caller runs on', async () => {
    writeFileSync(path, text('lc'));
    expect(await watching({ since: text('rr') })()).toBe('lc');
  });

  test('finds by its poll what inotify does not see', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'pointsman-elsewhere-'));
    try {
      writeFileSync(join(elsewhere, 'real'), text('rr'));
      symlinkSync(join(elsewhere, 'real'), path);
      const next = watching({ pollMs: 20 });
      writeFileSync(join(elsewhere, 'real'), text('lc'));
      expect(await next()).toBe('lc');
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });
});
