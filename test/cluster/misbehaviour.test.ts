// Whatever an API server does to it at the start, over real sockets: in the end an ApiSource has told what the server has, and goes on
// following it. What happens later is in misbehaviour-watch.test.ts and misbehaviour-outage.test.ts.

import { afterEach, describe, expect, it } from 'vitest';
import { closeWorlds, openWorld as start, type ApiWorld } from './api-world.ts';
import type { FakeApiServer } from './fake-api-server.ts';
import type { Fault, RequestMatch } from './faults.ts';
import { makeService } from './make-objects.ts';

afterEach(closeWorlds);

/** Both ways to begin: with a streaming list, and with a list where there is none. */
const MODES = ['on', 'refused'] as const;
/** Requests when nothing goes wrong: a stream each; or a stream that is refused, a list, and a watch. */
const FEWEST = { on: 3, refused: 9 };

function requestsOf({ source: { status } }: ApiWorld): number {
  return Object.values(status).reduce((sum, { requests }) => sum + requests, 0);
}

describe.each(MODES)('from the start, streaming lists %s', (streamingLists) => {
  const verb = streamingLists === 'on' ? 'watch' : 'list';
  const cut = (manner: 'FIN' | 'RST', at: Extract<Fault, { kind: 'cut' }>['at']): Fault => ({
    kind: 'cut',
    manner,
    at,
  });
  it.each<[string, Fault, RequestMatch?]>([
    ['500', { kind: 'refuse', code: 500 }, { times: 4 }],
    ['502 in HTML', { kind: 'refuse', code: 502, body: 'html' }, { times: 4 }],
    ['503', { kind: 'refuse', code: 503, body: 'text' }, { times: 4 }],
    ['504 without a word', { kind: 'refuse', code: 504, body: 'empty' }, { times: 4 }],
    ['429 with Retry-After', { kind: 'refuse', code: 429, retryAfter: 3, body: 'text' }, { times: 4 }],
    ['429 with nonsense in Retry-After', { kind: 'refuse', code: 429, retryAfter: 'soon' }, { times: 4 }],
    ['HTTP 410', { kind: 'expired', as: 'http' }, { times: 4 }],
    ['an event 410', { kind: 'expired' }, { verb: 'watch', times: 4 }],
    ['cut before the answer', cut('FIN', 'request'), { times: 4 }],
    ['torn before the answer', cut('RST', 'request'), { times: 4 }],
    ['cut in the header', cut('FIN', 'headers'), { times: 4 }],
    ['torn in the header', cut('RST', 'headers'), { times: 4 }],
    ['cut in the body', cut('FIN', { bytes: 345 }), { verb, times: 4 }],
    ['torn in the body', cut('RST', { bytes: 345 }), { verb, times: 4 }],
    ['cut in the first bytes', cut('FIN', { bytes: 1 }), { verb, times: 4 }],
    ['a clean end that is none', { kind: 'truncate', at: 345 }, { verb, times: 4 }],
    ['no answer', { kind: 'stall', at: 'request' }, { times: 3 }],
    ['half a header', { kind: 'stall', at: 'headers' }, { times: 3 }],
    ['half an answer', { kind: 'stall', at: { bytes: 234 } }, { verb, times: 3 }],
    ['a late answer in drops', { kind: 'slow', delayMs: 2000, bytes: 1000, everyMs: 100 }, { times: 6 }],
    ['pieces inside of characters and blocks', { kind: 'split', bytes: 7 }, { times: 6 }],
    [
      'a page of something in between',
      { kind: 'body', body: '<html>Sign in</html>', contentType: 'text/html' },
      { times: 4 },
    ],
    ['HTML that says it is JSON', { kind: 'body', body: '<html>Sign in</html>' }, { times: 4 }],
    ['JSON that is no list', { kind: 'body', body: '{"kind":"Service"}' }, { times: 4 }],
    ['an empty body', { kind: 'body', body: '' }, { times: 4 }],
    ['null', { kind: 'body', body: 'null\n' }, { times: 4 }],
    [
      'a wrong content type',
      { kind: 'contentType', value: 'application/vnd.kubernetes.protobuf' },
      { verb, times: 4 },
    ],
  ])('%s', async (_name, fault, match = {}) => {
    const api = await start({
      // Not below what a slow machine needs for an answer.
      factor: fault.kind === 'stall' ? 100 : 40,
      prepare: (server) => {
        server.streamingLists = streamingLists;
        server.store.put('services', makeService(0, { annotations: { text: 'äöü€𝄞'.repeat(20) } }));
        server.misbehave(match, fault);
      },
    });
    await api.source.complete();
    await api.untilEqual();
    if (fault.kind !== 'slow' && fault.kind !== 'split')
      expect(requestsOf(api)).toBeGreaterThan(FEWEST[streamingLists]);
    await api.untilFollowing();
    expect(api.lostSteady()).toEqual([]);
  });

  it.each(['RST', 'stall'] as const)('connections: %s', async (welcome) => {
    const api = await start({
      factor: 100,
      prepare: (server) => {
        server.streamingLists = streamingLists;
        server.welcome = welcome;
      },
    });
    await api.server.until(() => api.server.acceptedConnections >= 4);
    api.server.welcome = 'serve';
    await api.source.complete();
    await api.untilFollowing();
  });

  it('a server that is away', async () => {
    const api = await start({ prepare: (server) => void (server.streamingLists = streamingLists) });
    await api.server.goAway();
    await api.server.until(() => api.source.status.Service.backoffs >= 3);
    await api.server.comeBack();
    await api.source.complete();
    await api.untilFollowing();
  });
});

describe('pages', () => {
  const prepare = (server: FakeApiServer): void => {
    server.streamingLists = 'refused';
    server.pagesAtZero = true;
  };
  const isPaged = ({ server }: ApiWorld): boolean =>
    server.log.requests.some(({ query, code }) => query.has('continue') && code === 200);

  it.each<[string, Fault | null]>([
    ['without a fault', null],
    ['of which one is refused', { kind: 'refuse', code: 503 }],
    ['of which one is cut', { kind: 'cut', manner: 'RST', at: { bytes: 2000 } }],
    ['of which one ends too early', { kind: 'truncate', at: 2000 }],
    ['of which one is half-open', { kind: 'stall', at: { bytes: 2000 } }],
    ['of which one is nonsense', { kind: 'body', body: '{}' }],
  ])('%s', async (_name, fault) => {
    const api = await start({
      count: 1200,
      factor: fault?.kind === 'stall' ? 100 : 20,
      prepare: (server) => {
        prepare(server);
        if (fault !== null) server.misbehave({ page: 'later', times: 2 }, fault);
      },
    });
    await api.source.complete();
    await api.untilFollowing();
    expect(isPaged(api)).toBe(true);
  });

  it('whose token expires, more than once', async () => {
    const api = await start({ count: 1200, prepare });
    // Each time when a page was asked for.
    let expired = 0;
    const token = (): void => {
      if (expired++ < 6) api.server.store.compact();
    };
    const rule = api.server.misbehave({ page: 'later', times: 3 }, { kind: 'expired', as: 'http' });
    const stop = api.server.store.onChange(token);
    await api.server.until(() => rule.hits === 3 || api.source.status.Service.isComplete);
    await api.source.complete();
    stop();
    await api.untilFollowing();
  });

  it('of one moment, while everything changes', async () => {
    const api = await start({ count: 1200, prepare });
    let rounds = 0;
    const change = (): void => {
      if (rounds++ > 200 || api.source.status.Service.isComplete) return;
      api.mark();
      setImmediate(change);
    };
    change();
    await api.source.complete();
    await api.untilFollowing();
    expect(api.lostSteady()).toEqual([]);
  });
});

it('a Node that is missing holds up the first snapshot for a while only', async () => {
  const api = await start({ factor: 100, source: { nodeName: 'node-nowhere' } });
  await api.source.complete();
  expect(api.source.status).toMatchObject({
    Service: { isComplete: true },
    EndpointSlice: { isComplete: true },
  });
});
