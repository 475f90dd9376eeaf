// Replay of real files: what comes when, how it ends, and that nothing but one clear error comes of a file that is no recording.

import { execFile } from 'node:child_process';
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { gone, service, slice } from '../../test/agent-events.ts';
import { fileOf, linesOf, newPath, record, replayAll, until } from '../../test/cluster/recordings.ts';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { PointsmanError } from '../model/errors.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { parseReplaySpeed, ReplaySource, type ReplayEnd, type ReplayOptions } from './replay.ts';

const WEB = [service('web', '10.96.0.1'), slice('web', ['10.244.1.1'])];
const HEADER =
  '{"format":"pointsman-recording","formatVersion":1,"pointsmanVersion":"0.1.0","nodeName":"node1"}';
const GONE = JSON.stringify(gone('web'));

/** A replay that has read its first snapshot, with what it told after that. */
async function started(path: string, options: Partial<ReplayOptions> = {}) {
  const timers = new FakeTimers();
  const told: (readonly ClusterEvent[])[] = [];
  const ends: ReplayEnd[] = [];
  const source = new ReplaySource(path, {
    timers,
    onEvents: (events) => void told.push(events),
    onEnd: (end) => ends.push(end),
    ...options,
  });
  const report = await source.readAll();
  return { source, timers, told, ends, report };
}

describe('what comes when', () => {
  const batches = [WEB, [service('api', '10.96.0.2')], [gone('api')], [gone('web')]];

  test('readAll gives what came before the mark, without problems and without waiting', async () => {
    const { source, report } = await started(await record(batches, 2));
    expect(report).toEqual({ events: batches.slice(0, 2).flat(), problems: [], warnings: [] });
    expect(source.header).toEqual({ formatVersion: 1, pointsmanVersion: '0.1.0', nodeName: 'node1' });
    await source.close();
  });

  test.each([
    [1, 1000],
    [10, 100],
    [0.5, 2000],
  ])('at speed %s the batches come every %s ms', async (speed, everyMs) => {
    const { source, timers, told, ends } = await started(await record(batches, 1), { speed });
    source.watch();
    for (let count = 1; count <= 3; count++) {
      await until(() => timers.delaysMs.length === 1);
      expect(timers.delaysMs).toEqual([everyMs]);
      await timers.advance(everyMs - 1);
      expect(told).toEqual(batches.slice(1, count));
      await timers.advance(1);
      await until(() => told.length === count);
    }
    await until(() => ends.length === 1);
    expect(told).toEqual(batches.slice(1));
    await source.close();
  });

  test('what is late comes at once', async () => {
    const { source, timers, told, ends } = await started(await record(batches, 1));
    source.watch();
    await until(() => timers.delaysMs.length === 1);
    await timers.advance(60_000);
    await until(() => ends.length === 1);
    expect(told).toEqual(batches.slice(1));
    await source.close();
  });

  test('a pause of a month is waited for', async () => {
    const monthMs = 31 * 86_400_000;
    const path = await fileOf([HEADER, '{"at":0,"complete":true}', `{"at":${monthMs},"events":[${GONE}]}`]);
    const { source, timers, told, ends } = await started(path);
    source.watch();
    await until(() => timers.delaysMs.length === 1);
    expect(timers.delaysMs[0]).toBeLessThan(2 ** 31);
    await timers.advance(monthMs - 1);
    expect(told).toEqual([]);
    await timers.advance(1);
    await until(() => ends.length === 1);
    expect(told).toHaveLength(1);
    await source.close();
  });

  test('at speed max each batch waits for the one before to be taken', async () => {
    const release: (() => void)[] = [];
    const onEvents = (): Promise<void> => new Promise((resolve) => release.push(resolve));
    const { source, ends } = await started(await record(batches, 1), { speed: 'max', onEvents });
    source.watch();
    for (let count = 1; count <= 3; count++) {
      await until(() => release.length === count);
      await settled();
      expect([release.length, ends.length]).toEqual([count, 0]);
      release.at(-1)?.();
    }
    await until(() => ends.length === 1);
    await source.close();
  });

  test('the first snapshot goes to the listener where that is asked for', async () => {
    const told: (readonly ClusterEvent[])[] = [];
    const { source, report } = await started(await record(batches, 2), {
      firstSnapshot: 'listener',
      onEvents: (events) => void told.push(events),
    });
    expect([report.events, told]).toEqual([[], batches.slice(0, 2)]);
    await source.close();
  });

  test('nothing comes after close, and no timer is left', async () => {
    const { source, timers, told, ends } = await started(await record(batches, 1));
    source.watch();
    await until(() => timers.delaysMs.length === 1);
    await source.close();
    await timers.advance(10_000);
    expect([told, ends, timers.delaysMs]).toEqual([[], [], []]);
    await source.close();
  });

  test('a close while it is read ends the reading', async () => {
    const source = new ReplaySource(await record(batches, 2), { timers: new FakeTimers() });
    const reading = source.readAll().then(
      () => 'read',
      (error: unknown) => (error instanceof PointsmanError ? error.code : error),
    );
    await source.close();
    expect(['read', 'INVALID_RECORDING']).toContain(await reading);
  });
});

describe('how it ends', () => {
  test('at its end', async () => {
    const { end } = await replayAll(await record([WEB, [gone('web')]], 1));
    const message = expect.stringMatching(
      /replayed to its end: 3 events; it ended because the agent ended$/,
    ) as string;
    expect(end).toEqual({ how: 'end', message, error: null, events: 3 });
  });

  test('cut anywhere: a beginning of what was recorded, and a note', async () => {
    const names = Array.from({ length: 200 }, (_, index) => [gone(`web-${index}`)]);
    const path = await record([WEB, ...names], 1);
    const whole = await readFile(path);
    const lines = await linesOf(path);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: whole.length - 1 }), async (bytes) => {
        await truncate(path, 0);
        await writeFile(path, whole.subarray(0, bytes));
        const result = await replayAll(path).catch((error: unknown) => error);
        if (result instanceof Error) {
          expectOneLine(result);
          expect(result.message).toMatch(/: (?:it is empty|it ends before the first complete snapshot);/);
          return;
        }
        const { batches, end } = result as Awaited<ReturnType<typeof replayAll>>;
        expect(batches).toEqual(names.slice(0, batches.length));
        if (end.how === 'end') expect(batches.length).toBe(names.length);
        else
          expect(end).toMatchObject({
            how: 'cut',
            error: null,
            message: expect.stringMatching(
              /it is cut off after line \d+, as by a kill; \d+ events replayed$/,
            ) as string,
          });
        expect(lines.length).toBeGreaterThan(batches.length);
      }),
    );
  });

  test('damaged in the middle: what came before is told, then the error', async () => {
    const first = gzipSync(`${HEADER}\n{"at":0,"complete":true}\n{"at":0,"events":[${GONE}]}\n`);
    const second = gzipSync(`{"at":1,"events":[${GONE}]}\n`);
    second[14]! ^= 0xff;
    const { source, told, ends } = await started(
      await fileOf([
        HEADER,
        '{"at":0,"complete":true}',
        `{"at":0,"events":[${GONE}]}`,
        '{"at":1,"events":[{}]}',
      ]),
      { speed: 'max' },
    );
    source.watch();
    await until(() => ends.length === 1);
    expect(told).toHaveLength(1);
    expect(ends[0]).toMatchObject({
      how: 'invalid',
      error: { code: 'INVALID_RECORDING', context: { line: 4 } },
      events: 1,
    });
    expect(ends[0]?.message).toMatch(
      /: line 4: its event 1 is none; the file is damaged; use a copy that is whole$/,
    );
    await source.close();
    const path = await fileOf(Buffer.concat([first, second]));
    const how = await replayAll(path).then(
      ({ end }) => end.how,
      (error: PointsmanError) => error.code,
    );
    expect(['invalid', 'INVALID_RECORDING']).toContain(how);
  });
});

describe('what is no recording', () => {
  const complete = '{"at":0,"complete":true}';
  test.each<[string, readonly string[], string]>([
    ['no lines', [], 'it is empty; give a file that "pointsman run --record" wrote'],
    ['other text', ['hello'], 'line 1: it is no JSON; the file is damaged'],
    ['other JSON', ['{"kind":"Service"}'], 'line 1: it is no recording of facts; give a file'],
    [
      'a version to come',
      [HEADER.replace('1', '2').replace('0.1.0', '9.0.0')],
      'line 1: it has format 2, and this version reads format 1; replay it with Pointsman 9.0.0',
    ],
    ['no version', [HEADER.replace('1', '"1"')], 'line 1: it is no recording'],
    [
      'a node that is none',
      [HEADER.replace('node1', 'Node\\u001b1')],
      'line 1: its nodeName is no name of a Node',
    ],
    [
      'only a header',
      [HEADER],
      'line 1: it ends before the first complete snapshot; record until the agent has synced',
    ],
    [
      'an end before the mark',
      [HEADER, '{"at":0,"end":"x"}'],
      'line 2: it ends before the first complete snapshot',
    ],
    ['a line that is no JSON', [HEADER, '{'], 'line 2: it is no JSON'],
    ['a line of nothing', [HEADER, ''], 'line 2: it is no JSON'],
    ['a line of something else', [HEADER, '{"at":0,"config":{}}'], 'line 2: it is neither events nor a mark'],
    ['no events', [HEADER, '{"at":0,"events":[]}'], 'line 2: it is neither events nor a mark'],
    [
      'an object of another kind',
      [HEADER, '{"at":0,"events":[{"type":"apply","object":{"kind":"Secret"}}]}'],
      'line 2: its event 1 is none',
    ],
    [
      'no object',
      [HEADER, '{"at":0,"events":[{"type":"apply","object":null}]}'],
      'line 2: its event 1 is none',
    ],
    [
      'a delete of nothing',
      [HEADER, `{"at":0,"events":[${GONE},{"type":"delete","kind":"Service"}]}`],
      'line 2: its event 2 is none',
    ],
    ['no time', [HEADER, '{"complete":true}'], 'line 2: its time is none that may follow'],
    [
      'a time that is no number',
      [HEADER, '{"at":1e999,"complete":true}'],
      'line 2: its time is none that may follow',
    ],
    [
      'time going back',
      [HEADER, `{"at":5,"events":[${GONE}]}`, '{"at":4,"complete":true}'],
      'line 3: its time is none that may follow',
    ],
  ])('%s', async (_, lines, expected) => {
    const error = await replayAll(await fileOf(lines)).catch((error: unknown) => error);
    expectOneLine(error);
    expect(error.message).toContain(expected);
  });

  test.each<[string, readonly string[], string]>([
    ['a second mark', [complete], 'line 3: it is a second mark'],
    [
      'something after the end',
      ['{"at":0,"end":"x"}', complete],
      'line 4: it comes after the end; the file is damaged',
    ],
    [
      'a line that is too long',
      [JSON.stringify('x'.repeat(5 << 20))],
      'line 3: it is longer than 4194304 bytes',
    ],
  ])('%s after the snapshot', async (_, lines, expected) => {
    const { end } = await replayAll(await fileOf([HEADER, complete, ...lines]));
    expectOneLine(end.error);
    expect(end.message).toContain(expected);
  });

  test.each<[string, () => Promise<string>, string]>([
    [
      'no file',
      () => Promise.resolve('/nonexistent/file'),
      'there is no such file; correct the path or its permissions',
    ],
    ['a folder', () => Promise.resolve('/'), 'it is no regular file; give the file of a recording'],
    ['a device', () => Promise.resolve('/dev/zero'), 'it is no regular file'],
    ['a pipe without a writer', makePipe, 'it is no regular file'],
    ['text', () => fileOf(Buffer.from('kind: Service\n')), 'it is no recording of facts (not gzip)'],
    [
      'bytes that are no UTF-8',
      () => fileOf(gzipSync(Buffer.from([0x22, 0xff, 0x22, 0x0a]))),
      'it is not UTF-8',
    ],
    [
      'zeros after a member',
      async () => fileOf(Buffer.concat([gzipSync(`${HEADER}\n`), Buffer.alloc(1000)])),
      'line 2: the file goes on with something else than a recording',
    ],
    [
      'a bomb without lines',
      () => fileOf(gzipSync(Buffer.alloc(64 << 20))),
      'it is longer than 4194304 bytes',
    ],
  ])('%s', async (_, make, expected) => {
    const error = await replayAll(await make()).catch((error: unknown) => error);
    expectOneLine(error);
    expect(error.message).toContain(expected);
  });

  test('a bomb of many lines stops at the limit of text, and a first snapshot at that of a report', async () => {
    const lines = Array.from({ length: 50_000 }, () => `{"at":0,"events":[${GONE}]}`);
    const path = await fileOf([HEADER, ...lines, complete]);
    const bomb = await replayAll(path, { limits: { maxTextBytes: 1 << 20 } }).catch(
      (error: unknown) => error,
    );
    expectOneLine(bomb);
    expect(bomb.message).toContain('the text up to it is larger than 1048576 bytes; record for less time');
    const large = await replayAll(path, { limits: { maxReportSize: 1000 } }).catch((error: unknown) => error);
    expectOneLine(large);
    expect(large.message).toContain('line 1002: the first snapshot is larger than 1000 events and endpoints');
  });

  test('any bytes, compressed or not, and any change to a recording: one line of INVALID_RECORDING, or a replay', async () => {
    const good = await record([WEB, [gone('web')], WEB], 1);
    const whole = await readFile(good);
    const text = gunzipSync(whole);
    const edits = fc.array(fc.record({ at: fc.nat(), byte: fc.nat({ max: 255 }) }), {
      minLength: 1,
      maxLength: 4,
    });
    const edited = (bytes: Buffer, changes: readonly { at: number; byte: number }[]): Buffer => {
      const copy = Buffer.from(bytes);
      for (const { at, byte } of changes) copy[at % copy.length] = byte;
      return copy;
    };
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
      fc.uint8Array({ maxLength: 200 }).map((array) => gzipSync(array)),
      fc
        .array(fc.jsonValue())
        .map((values) => gzipSync([HEADER, ...values.map((value) => JSON.stringify(value))].join('\n'))),
      edits.map((changes) => edited(whole, changes)),
      edits.map((changes) => gzipSync(edited(text, changes))),
    );
    const path = newPath();
    await fc.assert(
      fc.asyncProperty(bytes, async (content) => {
        await writeFile(path, content);
        const result = await replayAll(path).catch((error: unknown) => error);
        if (result instanceof Error) expectOneLine(result);
        else {
          const { end } = result as Awaited<ReturnType<typeof replayAll>>;
          expect(end.message).toMatch(/^[\x20-\x7e]+$/);
          if (end.how === 'invalid') expectOneLine(end.error);
        }
      }),
      { numRuns: 300 },
    );
  });
});

async function makePipe(): Promise<string> {
  const path = newPath();
  await promisify(execFile)('mkfifo', [path]);
  return path;
}

function expectOneLine(error: unknown): asserts error is PointsmanError {
  expect(error).toBeInstanceOf(PointsmanError);
  expect(error).toMatchObject({
    code: 'INVALID_RECORDING',
    message: expect.stringMatching(/^--replay [\x20-\x7e]+; [\x20-\x7e]+$/) as string,
  });
}

describe('a speed', () => {
  test.each([
    ['max', 'max'],
    ['1', 1],
    ['0.5', 0.5],
    ['1000000', 1_000_000],
  ])('%s', (text, speed) => expect(parseReplaySpeed(text)).toBe(speed));

  test.each(['', '0', '-1', 'fast', '1e3', '0x10', '0.0001', '1000001', 'NaN', 'x\n'])(
    '%j is none',
    (text) => {
      expect(() => parseReplaySpeed(text)).toThrow(
        /^--replay-speed [\x20-\x7e]*: it is no speed; write max, or a number/,
      );
    },
  );

  test.each([0, Number.NaN, -1, Number.POSITIVE_INFINITY])('%s is none either', (speed) => {
    expect(() => new ReplaySource('x', { timers: new FakeTimers(), speed })).toThrow(PointsmanError);
  });
});
