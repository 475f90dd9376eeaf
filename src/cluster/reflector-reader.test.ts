// What a reader tells of answers that a test writes word by word: the beginning of a stream, a large difference, events and nonsense.

import { describe, expect, test } from 'vitest';
import { FakeTimers } from '../../test/fake-timers.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { ApiRequest } from './api-client-transport.ts';
import { SERVICES } from './api-kinds.ts';
import { ReflectorMachine } from './reflector-machine.ts';
import { ReflectorReader } from './reflector-reader.ts';

const FOREVER = new AbortController().signal;
const STREAM = { do: 'stream', resourceVersion: '', timeoutSeconds: 300, isTrusted: true } as const;
const LIST = { do: 'list', resourceVersion: '0', limit: 500, token: '', isTrusted: true } as const;
const WATCH = { do: 'watch', resourceVersion: '5', timeoutSeconds: 300 } as const;

const object = (name: string, version: number): object => ({
  metadata: { name, resourceVersion: String(version) },
});
const line = (type: string, name: string, version: number): string =>
  JSON.stringify({ type, object: object(name, version) });
const bookmark = (version: number, isEnd = false): string =>
  JSON.stringify({
    type: 'BOOKMARK',
    object: {
      metadata: {
        resourceVersion: String(version),
        ...(isEnd ? { annotations: { 'k8s.io/initial-events-end': 'true' } } : {}),
      },
    },
  });
const list = (version: number, ...items: readonly object[]): string =>
  JSON.stringify({ kind: 'ServiceList', metadata: { resourceVersion: String(version) }, items });

/** A reader, what it asked, and what it told: '+a@5', '-a', 'more' at the end of a part, 'complete'. */
class Reading {
  readonly told: string[] = [];
  readonly requests: ApiRequest[] = [];
  readonly machine = new ReflectorMachine({ random: () => 0 });
  readonly reader: ReflectorReader;
  answer = '';
  pieceBytes = 1000;

  constructor() {
    const { told } = this;
    this.reader = new ReflectorReader({
      kind: SERVICES,
      machine: this.machine,
      timers: new FakeTimers(),
      nextTurn: () => Promise.resolve(),
      transport: {
        open: async (request) => {
          this.requests.push(request);
          return this.pieces();
        },
      },
      sink: {
        onEvents: (events, more) => told.push(...events.map(word), ...(more ? ['more'] : [])),
        onComplete: () => told.push('complete'),
        onSkipped: () => told.push('skipped'),
      },
    });
  }

  /** What is told of this answer. */
  async of(step: typeof STREAM | typeof LIST | typeof WATCH, answer: string): Promise<string[]> {
    this.answer = answer;
    this.told.length = 0;
    if (step.do === 'list') await this.reader.list(step, FOREVER);
    else await this.reader[step.do](step as never, FOREVER);
    return [...this.told];
  }

  private async *pieces(): AsyncGenerator<Uint8Array> {
    const bytes = Buffer.from(this.answer);
    for (let start = 0; start < bytes.length; start += this.pieceBytes)
      yield bytes.subarray(start, start + this.pieceBytes);
  }
}

function word(event: ClusterEvent): string {
  if (event.type === 'delete') return `-${event.name}`;
  const { name, resourceVersion } = event.object.metadata as { name: string; resourceVersion: string };
  return `+${name}@${resourceVersion}`;
}

const lines = (...texts: readonly string[]): string => texts.map((text) => `${text}\n`).join('');

describe('a stream', () => {
  const beginning = lines(
    line('ADDED', 'a', 1),
    line('ADDED', 'b', 2),
    line('DELETED', 'a', 3),
    bookmark(3),
    line('MODIFIED', 'b', 4),
    line('ADDED', 'c', 5),
    bookmark(5, true),
    line('MODIFIED', 'c', 6),
  );

  test('asks for what exists and what changes', async () => {
    const reading = new Reading();
    await reading.of(STREAM, beginning);
    expect(reading.requests).toEqual([
      {
        path: '/api/v1/services',
        acceptsGzip: false,
        query: {
          labelSelector: '!service.kubernetes.io/service-proxy-name',
          fieldSelector: 'spec.clusterIP!=None',
          watch: '1',
          allowWatchBookmarks: 'true',
          timeoutSeconds: '300',
          sendInitialEvents: 'true',
          resourceVersionMatch: 'NotOlderThan',
        },
      },
    ]);
    expect(reading.machine.resourceVersion).toBe('6');
  });

  test('at first tells its beginning as it comes, and takes back what went meanwhile', async () => {
    const reading = new Reading();
    reading.pieceBytes = 10_000;
    expect(await reading.of(STREAM, beginning)).toEqual([
      ...['+a@1', '+b@2', '+b@4', '+c@5', 'more', '-a', 'complete', '+c@6'],
    ]);
  });

  test.each([1, 7, 10_000])(
    'later tells only what is new, when its beginning is over (pieces of %i bytes)',
    async (pieceBytes) => {
      const reading = new Reading();
      reading.pieceBytes = pieceBytes;
      await reading.of(LIST, list(1, object('a', 1), object('b', 1), object('d', 1)));
      expect(await reading.of(STREAM, beginning)).toEqual(['+b@4', '+c@5', '-a', '-d', 'complete', '+c@6']);
    },
  );

  test('that ends in its beginning changes nothing', async () => {
    const reading = new Reading();
    await reading.of(LIST, list(1, object('a', 1)));
    expect(await reading.of(STREAM, lines(line('ADDED', 'b', 2), line('DELETED', 'a', 3)))).toEqual([]);
    expect(await reading.of(LIST, list(4, object('a', 1)))).toEqual(['complete']);
  });
});

describe('a list', () => {
  test('that differs much is told in parts, the last of them marked, and what is gone at the end', async () => {
    const reading = new Reading();
    const many = (version: number, from: number): object[] =>
      Array.from({ length: 1000 }, (_, index) => object(`s${from + index}`, version));
    await reading.of(LIST, list(1, ...many(1, 0)));
    const told = await reading.of(LIST, list(3, ...many(2, 500)));
    const firstGone = told.findIndex((each) => each.startsWith('-'));
    expect(told.filter((each) => each.startsWith('+'))).toHaveLength(1000);
    expect(told.filter((each) => each.startsWith('-'))).toHaveLength(500);
    expect(told.slice(firstGone).some((each) => each.startsWith('+'))).toBe(false);
    expect(told.filter((each) => each === 'more').length).toBeGreaterThan(2);
    expect(told.at(-1)).toBe('complete');
    expect(told.at(-2)).toMatch(/^-/);
  });

  test('of large objects is told in parts of a few megabytes', async () => {
    const reading = new Reading();
    reading.pieceBytes = 65_536;
    const large = Array.from({ length: 6 }, (_, index) => ({
      ...object(`s${index}`, 2),
      spec: 'x'.repeat(1 << 20),
    }));
    await reading.of(LIST, list(1, object('s0', 1)));
    const told = await reading.of(LIST, list(3, ...large));
    expect(told).toEqual(['+s0@2', '+s1@2', '+s2@2', 'more', '+s3@2', '+s4@2', '+s5@2', 'complete']);
  });

  test('whose versions are not trusted is told whole', async () => {
    const reading = new Reading();
    await reading.of(LIST, list(1, object('a', 1), object('b', 1)));
    expect(await reading.of(LIST, list(1, object('a', 1), object('b', 1)))).toEqual(['complete']);
    const anew = { ...LIST, isTrusted: false } as unknown as typeof LIST;
    expect(await reading.of(anew, list(1, object('a', 1), object('b', 1)))).toEqual([
      '+a@1',
      '+b@1',
      'complete',
    ]);
  });

  test.each([
    ['another kind', '{"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[]}'],
    ['a Status', '{"kind":"Status","metadata":{},"code":200}'],
    ['no version', '{"kind":"ServiceList","metadata":{},"items":[]}'],
    ['an item that is no JSON', '{"kind":"ServiceList","metadata":{"resourceVersion":"1"},"items":[{a}]}'],
  ])('that is none is refused: %s', async (_name, answer) => {
    const reading = new Reading();
    await reading.of(LIST, list(1, object('a', 1)));
    await expect(reading.of(LIST, answer)).rejects.toMatchObject({ code: 'API_PROTOCOL' });
    expect(reading.told).toEqual([]);
  });
});

describe('a watch', () => {
  async function begun(): Promise<Reading> {
    const reading = new Reading();
    reading.pieceBytes = 10_000;
    await reading.of(LIST, list(5, object('a', 1), object('b', 2)));
    return reading;
  }

  test('tells what changes, once', async () => {
    const reading = await begun();
    const answer = lines(
      line('ADDED', 'c', 6),
      line('MODIFIED', 'a', 7),
      line('MODIFIED', 'a', 7),
      line('DELETED', 'b', 8),
      bookmark(9),
      bookmark(9),
      bookmark(7),
    );
    expect(await reading.of(WATCH, answer)).toEqual(['+c@6', '+a@7', '+a@7', '-b']);
    expect(await reading.of(WATCH, lines(line('MODIFIED', 'c', 10), line('MODIFIED', 'c', 10)))).toEqual([
      '+c@10',
      '+c@10',
    ]);
    expect(await reading.of(WATCH, lines(line('MODIFIED', 'c', 10)))).toEqual([]);
    expect(reading.reader.objects).toBe(2);
    expect(reading.machine.resourceVersion).toBe('10');
  });

  test.each([
    ['nonsense', 'x{"type":"ADDED"}', { code: 'API_PROTOCOL' }],
    ['an event of the past', line('MODIFIED', 'a', 3), { code: 'API_PROTOCOL' }],
    [
      'an error',
      JSON.stringify({ type: 'ERROR', object: { code: 410 } }),
      { code: 'API_REFUSED', isExpired: true },
    ],
  ])('tells what came before %s, and nothing after', async (_name, wrong, expected) => {
    const reading = await begun();
    const answer = lines(line('ADDED', 'c', 6), wrong, line('ADDED', 'd', 7));
    await expect(reading.of(WATCH, answer)).rejects.toMatchObject(expected);
    expect(reading.told).toEqual(['+c@6']);
    expect(reading.reader.objects).toBe(3);
  });

  test('skips what has no name, and a line that has no end', async () => {
    const reading = await begun();
    const answer = `${lines('{"type":"ADDED","object":{}}', '{"type":"DELETED"}', line('ADDED', 'c', 6))}{"type":"DEL`;
    expect(await reading.of(WATCH, answer)).toEqual(['skipped', 'skipped', '+c@6']);
  });
});
