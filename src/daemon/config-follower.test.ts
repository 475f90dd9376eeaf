// The agent's configuration file changes: what takes effect, what is refused and who hears of it. Real files, watched.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseConfig } from '../config/parse.ts';
import { PointsmanError } from '../model/errors.ts';
import { ConfigFollower, type ConfigFollowerOptions } from './config-follower.ts';
import { openLog } from './log.ts';

const text = (rest: string): string =>
  `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n${rest}`;

let folder = '';
let path = '';
let followers: ConfigFollower[] = [];
let lines: string[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman-follower-'));
  path = join(folder, 'config.conf');
  lines = [];
});
afterEach(() => {
  for (const follower of followers) follower.close();
  followers = [];
  rmSync(folder, { recursive: true, force: true });
});

/** Follows from `start` on, and gives what happens, one thing at a time. */
function following(start: string, options: Partial<ConfigFollowerOptions> = {}): () => Promise<string> {
  writeFileSync(path, text(start));
  const news: string[] = [];
  let notify = (): void => undefined;
  const tell = (what: string): void => {
    news.push(what);
    notify();
  };
  const follower = new ConfigFollower({
    log: openLog({ write: (line) => lines.push(line), now: () => new Date(0), pid: 1 }),
    check: async () => {},
    onConfig: ({ config }) => tell(`${config.ipvs.scheduler} v${config.logging.verbosity}`),
    onRefused: ({ code, message }) => tell(`${code} ${message}`),
    ...options,
  });
  followers.push(follower);
  follower.follow(path, parseConfig(text(start), path));
  return async () => {
    while (news.length === 0) await new Promise<void>((resolve) => (notify = resolve));
    return news.shift() ?? '';
  };
}

test('a changed file takes effect under the same flags; its warnings are logged', async () => {
  const next = following('ipvs: {scheduler: rr}', {
    flags: { texts: new Map([['v', ['3']]]), warnings: [] },
  });
  writeFileSync(path, text('ipvs: {scheduler: lc}\nnonsense: 1\nlogging: {verbosity: 7}'));
  expect(await next()).toBe('lc v3');
  expect(lines.join('')).toContain('nonsense: there is no such field');
});

test('one that stays broken is refused with every mistake, and the next good one is taken', async () => {
  const next = following('ipvs: {scheduler: rr}');
  writeFileSync(path, text('ipvs: {scheduler: nonsense}\noomScoreAdj: 5000'));
  expect(await next()).toMatch(/^INVALID_CONFIG .*config\.conf:4:19: ipvs\.scheduler: .*\(and 1 more\)$/);
  expect(lines.join('')).toMatch(/E.*is not valid; the running one stays.*mistakes=".*oomScoreAdj/);
  writeFileSync(path, text('ipvs: {scheduler: sh}'));
  expect(await next()).toBe('sh v0');
});

test('what this machine cannot do is refused', async () => {
  const next = following('', {
    check: async ({ ipvs }) => {
      if (ipvs.scheduler === 'mh') throw new PointsmanError('MISSING_MODULE', 'no mh here');
    },
  });
  writeFileSync(path, text('ipvs: {scheduler: mh}'));
  expect(await next()).toBe('MISSING_MODULE no mh here');
  writeFileSync(path, text('ipvs: {scheduler: lc}'));
  expect(await next()).toBe('lc v0');
});

test('settings that wait for the next start are named until they are as they were', async () => {
  const next = following('');
  const waiting = (): string[] => lines.splice(0).filter((line) => line.includes('starts again'));
  writeFileSync(path, text('bindAddressHardFail: true\nhostnameOverride: b'));
  await next();
  expect(waiting().join('')).toContain('fields="hostnameOverride, bindAddressHardFail"');
  writeFileSync(path, text('bindAddressHardFail: true\nipvs: {scheduler: lc}'));
  await next();
  expect(waiting().join('')).toContain('fields="bindAddressHardFail"');
  writeFileSync(path, text('ipvs: {scheduler: sh}'));
  await next();
  expect(waiting()).toEqual([]);
});

test('nothing is taken after the end', async () => {
  let release = (): void => undefined;
  const isChecking = new Promise<void>((resolve) => {
    const next = following('', {
      check: () => {
        resolve();
        return new Promise((done) => (release = done));
      },
      onConfig: () => {
        throw new Error('taken after the end');
      },
    });
    void next;
  });
  writeFileSync(path, text('ipvs: {scheduler: lc}'));
  await isChecking;
  followers[0]?.close();
  release();
  await new Promise((resolve) => setImmediate(resolve));
  expect(lines.join('')).not.toContain('Configuration changed');
});
