// Events and the time they take: rate, retries, repeats and the end, through a transport that answers as it is told, on time that stands still.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { eventOf } from '../../test/cluster/make-event.ts';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { PointsmanError } from '../model/errors.ts';
import { ApiStatusError } from './api-client-status.ts';
import type { ApiAnswer, ApiRequest, ApiTransport } from './api-client-transport.ts';
import type { ApiEvent } from './api-event.ts';
import { EventWriter } from './event-writer.ts';

/** Answers each request with what `next` says: nothing, or what it is refused with. */
class ToldTransport implements ApiTransport {
  readonly atMs: number[] = [];
  readonly names: string[] = [];
  next: (tries: number) => Error | null | 'never' = () => null;
  private readonly timers: FakeTimers;

  constructor(timers: FakeTimers) {
    this.timers = timers;
  }

  async open({ body }: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    this.atMs.push(this.timers.now());
    this.names.push((body as ApiEvent).regarding.name);
    const said = this.next(this.atMs.length);
    if (said === 'never')
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    if (said !== null) throw said;
    return (async function* () {
      yield Buffer.from('{}');
    })();
  }
}

describe('in time', () => {
  const AWAY = new PointsmanError('API_UNREACHABLE', 'nobody is there');
  const many = (count: number, from = 0): ApiEvent[] =>
    Array.from({ length: count }, (_, index) => eventOf(`n${from + index}`));
  const open = (): {
    timers: FakeTimers;
    transport: ToldTransport;
    writer: EventWriter;
    problems: string[];
  } => {
    const timers = new FakeTimers();
    const transport = new ToldTransport(timers);
    const problems: string[] = [];
    const writer = new EventWriter({
      transport,
      timers,
      onProblem: (line) => problems.push(line),
      random: () => 0,
    });
    return { timers, transport, writer, problems };
  };

  it('a burst goes at once, then one each five seconds', async () => {
    const { timers, transport, writer } = open();
    for (const event of many(13)) writer.write(event);
    await timers.advance(60_000);
    expect(transport.atMs).toEqual([...Array.from({ length: 10 }, () => 0), 5000, 10_000, 15_000]);
    expect(transport.names).toEqual(many(13).map(({ regarding }) => regarding.name));
  });

  it('a full queue drops the oldest, not the one that is being written', async () => {
    const { timers, transport, writer } = open();
    transport.next = () => 'never';
    writer.write(eventOf('first'));
    await settled();
    for (const event of many(150)) writer.write(event);
    expect(writer.counts).toEqual({ written: 0, dropped: 50, failed: 0, repeated: 0, waiting: 101 });
    transport.next = () => null;
    await timers.advance(3_600_000);
    expect(writer.counts).toMatchObject({ written: 101, waiting: 0 });
    expect([...new Set(transport.names)]).toEqual([
      'first',
      ...many(100, 50).map(({ regarding }) => regarding.name),
    ]);
    expect(timers.delaysMs).toEqual([]);
  });

  it('an outage is met with ever longer pauses, and an Event is given up after ten minutes', async () => {
    const { timers, transport, writer, problems } = open();
    transport.next = () => AWAY;
    writer.write(eventOf('one'));
    await timers.advance(660_000);
    expect(writer.counts).toMatchObject({ failed: 1, waiting: 0 });
    expect(problems).toEqual(['Events were given up after 10 minutes: nobody is there']);
    const gaps = transport.atMs.slice(1).map((atMs, index) => atMs - (transport.atMs[index] ?? 0));
    expect(gaps.slice(0, 6)).toEqual([800, 1600, 3200, 6400, 12_800, 15_000]);
    expect(new Set(gaps.slice(5))).toEqual(new Set([15_000]));
    expect(transport.atMs.at(-1)).toBeLessThanOrEqual(600_000);
    expect(transport.atMs.at(-1)).toBeGreaterThan(580_000);
    // All that waited as long goes with it, and it is not said again.
    writer.write(eventOf('two'));
    await timers.advance(660_000);
    expect(writer.counts).toMatchObject({ failed: 2 });
    expect(problems).toHaveLength(1);
  });

  it('a server that asks for time gets it', async () => {
    const { timers, transport, writer } = open();
    transport.next = (tries) =>
      tries === 1 ? new ApiStatusError('POST', 429, {}, { retryAfterMs: 20_000 }) : null;
    writer.write(eventOf('one'));
    await timers.advance(60_000);
    expect(transport.atMs).toEqual([0, 20_000]);
    expect(writer.counts.written).toBe(1);
  });

  it('the same comes again after five minutes', async () => {
    const { timers, transport, writer } = open();
    const { namespace } = { namespace: 'mine' };
    const same = eventOf('one', { note: 'same' });
    writer.write(same);
    await timers.advance(299_000);
    writer.write({ ...same, metadata: { name: 'one.2', namespace: 'default' } });
    // Other words, another object, another reason: not the same.
    writer.write({ ...same, note: 'other' });
    writer.write({ ...same, reason: 'Other' });
    writer.write({ ...same, regarding: { ...same.regarding, namespace } });
    await timers.advance(1000);
    expect(writer.counts).toMatchObject({ written: 4, repeated: 1 });
    writer.write(same);
    await timers.advance(0);
    expect(transport.atMs).toEqual([0, 299_000, 299_000, 299_000, 300_000]);
  });

  it('an answer that does not come is given up after half a minute', async () => {
    const { timers, transport, writer } = open();
    transport.next = (tries) => (tries === 1 ? 'never' : null);
    writer.write(eventOf('one'));
    await timers.advance(60_000);
    expect(transport.atMs).toEqual([0, 30_800]);
    expect(writer.counts.written).toBe(1);
  });

  it('one that comes as the last is done is written, too', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const { timers, writer } = open();
      writer.write(eventOf('first'));
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      writer.write(eventOf('second'));
      await timers.advance(0);
      expect(writer.counts, `after ${turns} turns`).toMatchObject({ written: 2, waiting: 0 });
    }
  });

  it('a mistake of ours is told and tried no more', async () => {
    const { timers, transport, writer, problems } = open();
    transport.next = () => new TypeError('of ours');
    writer.write(eventOf('one'));
    await timers.advance(60_000);
    expect(transport.atMs).toEqual([0]);
    expect(problems).toEqual(['Events are not written: of ours']);
  });

  it('a name that is taken at the first try is a failure', async () => {
    const { timers, transport, writer } = open();
    transport.next = () => new ApiStatusError('POST', 409, { reason: 'AlreadyExists' });
    writer.write(eventOf('one'));
    await timers.advance(60_000);
    expect(writer.counts).toMatchObject({ written: 0, failed: 1 });
  });

  it('closing ends a pause, tries once more, and takes a second at most', async () => {
    const { timers, transport, writer } = open();
    transport.next = (tries) => (tries < 3 ? AWAY : null);
    for (const event of many(3)) writer.write(event);
    await timers.advance(800);
    expect(transport.atMs).toEqual([0, 800]);
    const closed = writer.close();
    await timers.advance(0);
    await closed;
    expect(transport.atMs).toEqual([0, 800, 800, 800, 800]);
    expect(writer.counts).toMatchObject({ written: 3, dropped: 0 });
    expect(timers.delaysMs).toEqual([]);
  });

  it.each<[string, Error | 'never']>([
    ['does not answer', 'never'],
    ['is away', AWAY],
  ])('closing gives up on a server that %s, and leaves no timer', async (_what, said) => {
    const { timers, transport, writer } = open();
    transport.next = () => said;
    for (const event of many(12)) writer.write(event);
    await settled();
    const closed = writer.close();
    await timers.advance(1000);
    await closed;
    expect(writer.counts).toEqual({ written: 0, dropped: 12, failed: 0, repeated: 0, waiting: 0 });
    expect(timers.delaysMs).toEqual([]);
  });

  it('every Event has one end, and the rate is kept, whatever the server does and when it closes', async () => {
    const answer = fc.constantFrom<() => Error | null | 'never'>(
      () => null,
      () => AWAY,
      () => 'never',
      () => new ApiStatusError('POST', 403, {}),
      () => new ApiStatusError('POST', 409, { reason: 'AlreadyExists' }),
      () => new ApiStatusError('POST', 429, {}, { retryAfterMs: 7000 }),
    );
    const step = fc.record({ count: fc.nat(60), from: fc.nat(40), afterMs: fc.nat(120_000) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(answer, { minLength: 1 }),
        fc.array(step, { maxLength: 5 }),
        async (answers, steps) => {
          const { timers, transport, writer } = open();
          transport.next = (tries) => (answers[tries % answers.length] as (typeof answers)[number])();
          let asked = 0;
          const sum = (): number => {
            const { written, dropped, failed, repeated, waiting } = writer.counts;
            return written + dropped + failed + repeated + waiting;
          };
          for (const { count, from, afterMs } of steps) {
            for (const event of many(count, from)) writer.write(event);
            asked += count;
            await timers.advance(afterMs);
            expect(sum()).toBe(asked);
            expect(writer.counts.waiting).toBeLessThanOrEqual(101);
          }
          const closed = writer.close();
          await timers.advance(1000);
          await closed;
          expect(sum()).toBe(asked);
          expect(writer.counts.waiting).toBe(0);
          expect(timers.delaysMs).toEqual([]);
          for (const [index, atMs] of transport.atMs.entries())
            expect(index).toBeLessThan(10 + Math.floor(atMs / 5000));
        },
      ),
      { numRuns: 30 },
    );
  });
});
