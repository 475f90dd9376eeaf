// Recordings in a folder of their own, for tests: made by the Recorder, read as text, replayed to the end.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, vi } from 'vitest';
import { Recorder, type RecorderOptions } from '../../src/cluster/recording.ts';
import { ReplaySource, type ReplayEnd, type ReplayOptions } from '../../src/cluster/replay.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { FakeTimers } from '../fake-timers.ts';

const folder = await mkdtemp(join(tmpdir(), 'pointsman-recordings-'));
afterAll(() => rm(folder, { recursive: true, force: true }));
let made = 0;

/** A path where no file is, in a folder that goes when the tests of this file have run. */
export function newPath(): string {
  return join(folder, `${++made}.jsonl.gz`);
}

/** Waits for a condition; fails only when a machine that is very slow would long have met it. */
export async function until(condition: () => boolean): Promise<void> {
  await vi.waitUntil(condition, { timeout: 25_000, interval: 2 });
}

/** Timers of a program that is given all the time it needs: what waits for the clock happens when it is closed. */
export function recorderOptions(more: Partial<RecorderOptions> = {}): RecorderOptions {
  return { pointsmanVersion: '0.1.0', nodeName: 'node1', timers: new FakeTimers(), ...more };
}

/** A recording of these batches; those before `first` are the first complete snapshot. */
export async function record(
  batches: readonly (readonly ClusterEvent[])[],
  first: number,
  path: string = newPath(),
): Promise<string> {
  const timers = new FakeTimers();
  const recorder = await Recorder.open(path, recorderOptions({ timers }));
  for (const [index, batch] of batches.entries()) {
    if (index === first) recorder.complete();
    timers.spend(1000);
    recorder.note(batch);
  }
  if (first >= batches.length) recorder.complete();
  await recorder.close();
  return path;
}

/** A file of these bytes, or of these lines as a recorder compresses them. */
export async function fileOf(content: Uint8Array | readonly string[]): Promise<string> {
  const path = newPath();
  const bytes =
    content instanceof Uint8Array ? content : gzipSync(content.map((line) => `${line}\n`).join(''));
  await writeFile(path, bytes);
  return path;
}

/** The lines of a recording. */
export async function linesOf(path: string): Promise<string[]> {
  const text = gunzipSync(await readFile(path)).toString();
  return text.split('\n').slice(0, -1);
}

/** Replays everything as fast as it goes: the first snapshot, the batches after it, and how it ended. */
export async function replayAll(
  path: string,
  more: Partial<ReplayOptions> = {},
): Promise<{
  readonly snapshot: readonly ClusterEvent[];
  readonly batches: (readonly ClusterEvent[])[];
  readonly end: ReplayEnd;
}> {
  const batches: (readonly ClusterEvent[])[] = [];
  const { promise, resolve } = Promise.withResolvers<ReplayEnd>();
  const source = new ReplaySource(path, {
    timers: new FakeTimers(),
    speed: 'max',
    onEvents: (events) => void batches.push(events),
    onEnd: resolve,
    ...more,
  });
  const { events } = await source.readAll();
  source.watch();
  const end = await promise;
  await source.close();
  return { snapshot: events, batches, end };
}
