// The token bucket: never more than it allows, never less, first come first served.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { hasCode } from '../model/errors.ts';
import type { ApiRequest } from './api-client-transport.ts';
import { rateLimited, TokenBucket } from './rate-limit.ts';

const OPEN = new AbortController().signal;

/** When each of `count` requests, all made at once, may go. */
async function turns(bucket: TokenBucket, timers: FakeTimers, count: number): Promise<number[]> {
  const atMs: number[] = [];
  for (let each = 0; each < count; each++) void bucket.take(OPEN).then(() => atMs.push(timers.now()));
  await timers.advance(3_600_000);
  return atMs;
}

describe('a bucket', () => {
  test.each([
    ['as given', 2, 3, [0, 0, 0, 500, 1000, 1500]],
    ['kube-proxy defaults for 0', 0, 0, [...Array.from({ length: 10 }, () => 0), 200, 400]],
    ['no limit below 0', -1, 1, Array.from({ length: 50 }, () => 0)],
    ['slower than one a second', 0.5, 1, [0, 2000, 4000]],
  ])('%s', async (_name, qps, burst, expected) => {
    const timers = new FakeTimers();
    expect(await turns(new TokenBucket(qps, burst, timers), timers, expected.length)).toEqual(expected);
  });

  test('fills up while nobody asks, and not beyond its size', async () => {
    const timers = new FakeTimers();
    const bucket = new TokenBucket(10, 2, timers);
    await turns(bucket, timers, 2);
    const startMs = timers.now();
    expect((await turns(bucket, timers, 4)).map((atMs) => atMs - startMs)).toEqual([0, 0, 100, 200]);
  });

  test('keeps no timer when all who waited have given up, and counts on', async () => {
    const timers = new FakeTimers();
    const bucket = new TokenBucket(1, 1, timers);
    const controller = new AbortController();
    await bucket.take(OPEN);
    const givenUp = Promise.allSettled([bucket.take(controller.signal), bucket.take(controller.signal)]);
    expect(timers.delaysMs).toEqual([1000]);
    controller.abort();
    await givenUp;
    expect(timers.delaysMs).toEqual([]);
    timers.spend(400);
    expect(await turns(bucket, timers, 1)).toEqual([1000]);
  });

  test('gives the turn of who gives up to the next', async () => {
    const timers = new FakeTimers();
    const bucket = new TokenBucket(1, 1, timers);
    const controller = new AbortController();
    const order: string[] = [];
    await bucket.take(OPEN);
    const givenUp = bucket.take(controller.signal).then(
      () => order.push('first'),
      (error: unknown) => order.push(String(error)),
    );
    void bucket.take(OPEN).then(() => order.push(`second at ${timers.now()}`));
    controller.abort(new Error('enough'));
    await givenUp;
    await timers.advance(1000);
    expect(order).toEqual(['Error: enough', 'second at 1000']);
    await expect(bucket.take(controller.signal)).rejects.toThrow('enough');
    expect(timers.delaysMs).toEqual([]);
  });

  test('refuses to hold a crowd', async () => {
    const bucket = new TokenBucket(1, 1, new FakeTimers());
    for (let each = 0; each <= 1000; each++) void bucket.take(OPEN);
    await expect(bucket.take(OPEN)).rejects.toSatisfy((error) => hasCode(error, 'LIMIT_EXCEEDED'));
  });

  test('says how long each request waited for its turn', async () => {
    const timers = new FakeTimers();
    const request: ApiRequest = { path: '/version', query: {}, acceptsGzip: false };
    const waitedMs: number[] = [];
    const answer = { open: () => Promise.resolve((async function* () {})()) };
    const transport = rateLimited(answer, new TokenBucket(2, 1, timers), (told, ms) => {
      expect(told).toBe(request);
      waitedMs.push(ms);
    });
    for (let each = 0; each < 3; each++) void transport.open(request, OPEN);
    await timers.advance(2000);
    expect(waitedMs).toEqual([0, 500, 1000]);
  });

  test('never lets more pass in any time than its size and what came in meanwhile', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.double({ min: 0.1, max: 50, noNaN: true }),
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.nat({ max: 2000 }), { maxLength: 60 }),
        async (qps, burst, gapsMs) => {
          const timers = new FakeTimers();
          const bucket = new TokenBucket(qps, burst, timers);
          const atMs: number[] = [];
          for (const gapMs of gapsMs) {
            void bucket.take(OPEN).then(() => atMs.push(timers.now()));
            await timers.advance(gapMs);
          }
          await timers.advance((gapsMs.length * 1000) / qps + 1000);
          await settled();
          expect(atMs).toHaveLength(gapsMs.length);
          for (const [from, startMs] of atMs.entries())
            for (const [to, endMs] of atMs.entries())
              if (to >= from)
                expect(to - from + 1).toBeLessThanOrEqual(burst + ((endMs - startMs) / 1000) * qps + 1e-6);
        },
      ),
      { numRuns: 50 },
    );
  });
});
