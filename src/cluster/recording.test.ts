// The Recorder on real files, pipes and devices: what it writes, and that it never holds up or fails whoever tells it facts.

import { execFile } from 'node:child_process';
import { constants, type PathLike } from 'node:fs';
import { open, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { gone, service, slice } from '../../test/agent-events.ts';
import {
  linesOf,
  newPath,
  record,
  recorderOptions,
  replayAll,
  until,
} from '../../test/cluster/recordings.ts';
import { FakeTimers } from '../../test/fake-timers.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { Recorder } from './recording.ts';

const WEB = [service('web', '10.96.0.1'), slice('web', ['10.244.1.1'])];

describe('what is in a recording', () => {
  test('a header, batches with their times, the mark, the end', async () => {
    const path = await record([WEB, [gone('web')]], 1);
    const [header = '', ...lines] = await linesOf(path);
    expect(JSON.parse(header)).toEqual({
      format: 'pointsman-recording',
      formatVersion: 1,
      pointsmanVersion: '0.1.0',
      nodeName: 'node1',
      about: expect.stringContaining('Services, EndpointSlices and Nodes') as string,
    });
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([
      { at: 1000, events: WEB },
      { at: 1000, complete: true },
      { at: 2000, events: [gone('web')] },
      { at: 2000, end: 'the agent ended' },
    ]);
  });

  test('only its owner can read it', async () => {
    const previous = process.umask(0);
    try {
      expect((await stat(await record([WEB], 1))).mode & 0o777).toBe(0o600);
    } finally {
      process.umask(previous);
    }
  });

  test('nothing that Pointsman does not read', async () => {
    const secret = service('web', '10.96.0.1', { selector: { password: 'hunter2' } });
    const pod = { type: 'apply', object: { kind: 'Pod', spec: 'hunter2' } } as unknown as ClusterEvent;
    const lines = await linesOf(await record([[secret, pod], [pod]], 1));
    expect(lines.join('\n')).not.toContain('hunter2');
    expect(lines).toHaveLength(4);
  });

  test('one batch of 100,000 events, in lines of a bounded length', async () => {
    const batch = Array.from({ length: 100_000 }, (_, index) => service(`web-${index}`, '10.96.0.1'));
    const path = await record([WEB, batch], 1);
    const lengths = (await linesOf(path)).map(({ length }) => length);
    expect(Math.max(...lengths)).toBeLessThan(70_000);
    const { batches, end } = await replayAll(path);
    expect(end).toMatchObject({ how: 'end', events: 100_002 });
    const namesOf = (events: readonly ClusterEvent[]): string =>
      events.map((event) => event.type === 'apply' && event.object.metadata?.name).join();
    expect(namesOf(batches.flat()) === namesOf(batch)).toBe(true);
  }, 120_000);
});

describe('the file', () => {
  test.each<[string, (path: string) => Promise<PathLike | void>]>([
    ['a file', (path) => writeFile(path, 'precious')],
    ['a link to nowhere', (path) => symlink('/nonexistent/target', path)],
  ])('%s that is there is left alone', async (_, make) => {
    const path = newPath();
    await make(path);
    await expect(Recorder.open(path, recorderOptions())).rejects.toMatchObject({
      code: 'USAGE',
      message: `--record ${path}: it exists, and a recording never overwrites; give a new name or remove it`,
    });
    if (_ === 'a file') expect(await readFile(path, 'utf8')).toBe('precious');
  });

  test('a folder that is not there, or no folder', async () => {
    for (const path of [`${newPath()}/x`, '/dev/null/x'])
      await expect(Recorder.open(path, recorderOptions())).rejects.toMatchObject({
        code: 'USAGE',
        message: `--record ${path}: there is no such folder; create it or correct the path`,
      });
  });

  test('a limit that holds nothing is refused before a file is made', async () => {
    const path = newPath();
    await expect(Recorder.open(path, recorderOptions({ maxBytes: 10 }))).rejects.toMatchObject({
      code: 'USAGE',
    });
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a disk that is full from the start', async () => {
    const full = await open('/dev/full', 'w');
    await expect(Recorder.into(full, '/dev/full', recorderOptions())).rejects.toMatchObject({
      code: 'USAGE',
      message: '--record /dev/full: it cannot be written (ENOSPC); give a place that can be written',
    });
  });
});

describe('without an end', () => {
  test('what was told is in the file after the interval, though nothing ends the recording', async () => {
    const path = newPath();
    const timers = new FakeTimers();
    const recorder = await Recorder.open(path, recorderOptions({ timers, flushIntervalMs: 500 }));
    recorder.note(WEB);
    recorder.complete();
    recorder.note([gone('web')]);
    await until(() => timers.delaysMs.length === 1);
    expect(timers.delaysMs).toEqual([500]);
    await timers.advance(500);
    await until(() => recorder.status.events === 3);
    expect((await stat(path)).size).toBe(recorder.status.bytes);
    const { snapshot, batches, end } = await replayAll(path);
    expect([snapshot, batches, end.how]).toEqual([WEB, [[gone('web')]], 'cut']);
    await recorder.close();
  });

  test('nor does it wait for the next fact when it was told while others were being written', async () => {
    const timers = new FakeTimers();
    const recorder = await Recorder.open(newPath(), recorderOptions({ timers, flushIntervalMs: 500 }));
    for (let round = 0; round < 40; round++) {
      recorder.note([gone('web')]);
      await until(() => timers.delaysMs.length === 1);
      // The write begins; a little later, a different little each time, the next fact is told.
      await timers.advance(500);
      for (let turn = 0; turn < round % 4; turn++) await new Promise((resolve) => setImmediate(resolve));
      recorder.note([gone('web')]);
      for (let wait = 0; recorder.status.events < 2 * round + 2; wait++) {
        expect(wait, `round ${round}`).toBeLessThan(10_000);
        await timers.advance(500);
      }
    }
    await recorder.close();
  });

  test('a killed program leaves a readable beginning', async () => {
    const path = newPath();
    const program = `
      const { Recorder } = await import(${JSON.stringify(new URL('recording.ts', import.meta.url).href)});
      const timers = { now: () => performance.now(), set: setTimeout, clear: clearTimeout };
      const options = { pointsmanVersion: '', nodeName: '', timers, flushIntervalMs: 1 };
      const recorder = await Recorder.open(${JSON.stringify(path)}, options);
      recorder.note(${JSON.stringify(WEB)});
      recorder.complete();
      for (let count = 0; ; count++) {
        recorder.note([{ type: 'delete', kind: 'Service', namespace: 'default', name: 'web-' + count }]);
        await new Promise((resolve) => setTimeout(resolve, 1));
        if (recorder.status.events > 20) process.kill(process.pid, 'SIGKILL');
      }`;
    await expect(
      promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]),
    ).rejects.toMatchObject({
      signal: 'SIGKILL',
    });
    const { snapshot, batches, end } = await replayAll(path);
    expect(snapshot).toEqual(WEB);
    expect(batches.flat().length).toBeGreaterThan(18);
    expect(batches.flat()).toEqual(batches.flat().map((_, index) => gone(`web-${index}`)));
    expect(end).toMatchObject({
      how: 'cut',
      message: expect.stringContaining('it is cut off after line') as string,
    });
  });
});

/** Many events that compress badly. */
function noise(count: number): ClusterEvent[] {
  let state = 1;
  return Array.from({ length: count }, () => {
    state = (state * 48_271) % 2_147_483_647;
    return service(`web-${state.toString(36)}`, `10.${state % 250}.${(state >> 8) % 250}.1`);
  });
}

describe('stops, once and with a reason, and the agent goes on', () => {
  test('when the file reaches its limit: what is in it is a recording', async () => {
    const path = newPath();
    const onStopped = vi.fn<(reason: string) => void>();
    const maxBytes = 60_000;
    const recorder = await Recorder.open(path, recorderOptions({ maxBytes, onStopped }));
    recorder.complete();
    recorder.note(noise(20_000));
    await until(() => recorder.status.state === 'stopped');
    recorder.note(WEB);
    await recorder.close();
    const reason = `--record ${path}: the recording stopped: it reached its limit of ${maxBytes} bytes; allow more or begin a new file`;
    expect(onStopped.mock.calls).toEqual([[reason]]);
    expect(recorder.status).toMatchObject({ state: 'stopped', reason, waiting: 0 });
    const { size } = await stat(path);
    expect(size).toBeLessThanOrEqual(maxBytes);
    expect(size).toBe(recorder.status.bytes);
    const { batches, end } = await replayAll(path);
    expect(batches.flat()).toEqual(noise(20_000).slice(0, recorder.status.events));
    expect(recorder.status.events).toBeGreaterThan(0);
    expect(end.message).toContain(`it ended because it reached its limit of ${maxBytes} bytes`);
  });

  test('when facts come faster than they can be written', async () => {
    const onStopped = vi.fn<(reason: string) => void>();
    const path = newPath();
    const recorder = await Recorder.open(path, recorderOptions({ maxWaiting: 10, onStopped }));
    // A batch beyond the limit is taken when nothing waits; the next is one too many.
    recorder.note(noise(20));
    expect(recorder.status).toMatchObject({ state: 'recording', waiting: 20 });
    recorder.note(WEB);
    expect(recorder.status).toMatchObject({ state: 'stopped', waiting: 0 });
    await recorder.close();
    expect(onStopped.mock.calls).toEqual([
      [expect.stringContaining('facts come faster than they can be written')],
    ]);
    expect((await linesOf(path)).at(-1)).toBe('{"at":0,"end":"facts come faster than they can be written"}');
  });

  test('when the disk takes nothing for a time: nobody waits for it but the close, and that not for long', async () => {
    const path = newPath();
    await promisify(execFile)('mkfifo', [path]);
    const reader = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const timers = new FakeTimers();
    const recorder = await Recorder.into(
      await open(path, 'w'),
      path,
      recorderOptions({ timers, maxWaiting: 50_000 }),
    );
    for (let batch = 0; recorder.status.state === 'recording'; batch++) {
      expect(batch).toBeLessThan(100);
      recorder.note(noise(20_000));
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(recorder.status.reason).toContain('facts come faster');
    let isClosed = false;
    const closed = recorder.close().then(() => (isClosed = true));
    await timers.advance(9_999);
    expect(isClosed).toBe(false);
    await timers.advance(1);
    await closed;
    // Lets the write that hangs in the kernel end.
    await reader.close();
  });

  test('when the disk becomes full', async () => {
    const path = newPath();
    await promisify(execFile)('mkfifo', [path]);
    // A pipe whose reader goes away: the write fails in the kernel, in the middle of a recording.
    const reader = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const onStopped = vi.fn<(reason: string) => void>();
    const recorder = await Recorder.into(await open(path, 'w'), path, recorderOptions({ onStopped }));
    await reader.close();
    recorder.note(noise(20_000));
    await until(() => recorder.status.state === 'stopped');
    await recorder.close();
    const reason = `--record ${path}: the recording stopped: the file cannot be written (EPIPE); begin again on a disk that has room`;
    expect(onStopped.mock.calls).toEqual([[reason]]);
  });

  test('for an object that is larger than a line may be', async () => {
    const path = newPath();
    const recorder = await Recorder.open(path, recorderOptions());
    recorder.note(WEB);
    recorder.note([service('huge', 'x'.repeat(5 << 20))]);
    await until(() => recorder.status.state === 'stopped');
    await recorder.close();
    expect(recorder.status.reason).toContain('one Service is larger than a line may be');
    const lines = await linesOf(path);
    expect(lines).toHaveLength(3);
    expect(JSON.parse(lines[1] ?? '')).toEqual({ at: 0, events: WEB });
  });

  test('closing twice, and facts after it, do nothing', async () => {
    const path = newPath();
    const recorder = await Recorder.open(path, recorderOptions());
    await Promise.all([recorder.close(), recorder.close()]);
    recorder.note(WEB);
    recorder.complete();
    await recorder.close();
    expect(recorder.status).toMatchObject({ state: 'closed', reason: '', events: 0, waiting: 0 });
    expect(await linesOf(path)).toHaveLength(2);
  });
});
