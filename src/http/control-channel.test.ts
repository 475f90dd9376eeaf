// The control socket over the agent's life: whatever is in its way, the channel opens, says so once, and gets it when the way is free.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { endHelpers, startProgram } from '../../test/helper-process.ts';
import { openLog } from '../daemon/log.ts';
import { askAgent, serveAgentSocket } from './agent-socket.ts';
import { ControlChannel } from './control-channel.ts';

const CLIENT = new URL('../../test/socket-client.ts', import.meta.url);
const IS_ROOT = process.getuid?.() === 0;

let folder = '';
let path = '';
let channel: ControlChannel | undefined;
let lines: string[] = [];
let timers = new FakeTimers();
const log = openLog({ write: (line) => lines.push(line), now: () => new Date(), pid: process.pid });

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'control-channel-'));
  path = join(folder, 'run', 'agent.sock');
  lines = [];
  timers = new FakeTimers();
});
afterEach(async () => {
  await endHelpers();
  await channel?.close();
  channel = undefined;
  rmSync(folder, { recursive: true, force: true });
});

async function open(): Promise<void> {
  const routes = { '/good': async () => ({ good: true }) };
  channel = await ControlChannel.open({ path, routes, log, timers });
}

/** Half a minute passes; the look that is due then has ended. */
async function nextLook(): Promise<void> {
  await timers.advance(30_000);
  while (timers.delaysMs.length === 0) await settled();
}

const isServed = (): Promise<boolean> =>
  askAgent(path, '/good').then(
    () => true,
    () => false,
  );

describe('the control channel', () => {
  it('serves, and its file is gone at the end', async () => {
    await open();
    expect(await isServed()).toBe(true);
    await channel?.close();
    expect(existsSync(path)).toBe(false);
    expect(lines).toEqual([]);
  });

  it.each<[string, () => void, () => void, RegExp]>([
    [
      'a regular file',
      () => {
        mkdirSync(join(folder, 'run'));
        writeFileSync(path, 'important');
      },
      () => {
        expect(readFileSync(path, 'utf8')).toBe('important');
        rmSync(path);
      },
      /is no socket; remove it/,
    ],
    [
      'a folder',
      () => mkdirSync(path, { recursive: true }),
      () => {
        expect(statSync(path).isDirectory()).toBe(true);
        rmSync(path, { recursive: true });
      },
      /is no socket; remove it/,
    ],
    [
      'a file where its folder should be',
      () => writeFileSync(join(folder, 'run'), ''),
      () => rmSync(join(folder, 'run')),
      /cannot be made/,
    ],
  ])(
    'opens in spite of %s, says so once, leaves it, and serves when it is gone',
    async (_, block, unblock, reason) => {
      block();
      await open();
      await nextLook();
      await nextLook();
      expect(lines).toEqual([expect.stringMatching(/^W.*No control socket.*it is tried again/)]);
      expect(lines[0]).toMatch(reason);
      unblock();
      await nextLook();
      expect(await isServed()).toBe(true);
      expect(lines).toHaveLength(2);
      expect(lines[1]).toMatch(/^I.*The control socket is there/);
    },
  );

  it('opens beside another agent that answers there, and serves when that one is gone', async () => {
    const other = await serveAgentSocket(path, {});
    await open();
    expect(lines).toEqual([expect.stringContaining('another agent answers on')]);
    expect(await isServed()).toBe(false);
    await other.close();
    await nextLook();
    expect(await isServed()).toBe(true);
  });

  it('makes the socket again when it was removed, and leaves what was put in its place', async () => {
    await open();
    await nextLook();
    expect(lines).toEqual([]);
    rmSync(join(folder, 'run'), { recursive: true });
    await nextLook();
    expect(await isServed()).toBe(true);
    expect(lines).toEqual([expect.stringMatching(/^W.*removed or replaced/)]);
    rmSync(path);
    writeFileSync(path, 'important');
    await nextLook();
    expect(lines).toHaveLength(3);
    expect(lines.at(-1)).toMatch(/is no socket/);
    await channel?.close();
    expect(readFileSync(path, 'utf8')).toBe('important');
  });

  it.skipIf(!IS_ROOT)('says at most once a minute that it refused somebody', async () => {
    await open();
    for (const opened of [folder, join(folder, 'run'), path]) chmodSync(opened, 0o777);
    const all = [1, 2, 3].map(() =>
      startProgram(CLIENT, [path, 'GET /good HTTP/1.1\r\nhost: a\r\n\r\n'], 65534),
    );
    await Promise.all(all.map(({ ended }) => ended));
    for (const { stdout } of all) expect(stdout).toMatch(/^connected\n(?:error \w+\n)?closed: \n$/);
    expect(lines).toEqual([expect.stringMatching(/^W.*only root is served.* uid=65534 pid=\d+ refusals=1$/)]);
    expect(await isServed()).toBe(true);
  });
});
