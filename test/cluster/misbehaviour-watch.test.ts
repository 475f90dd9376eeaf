// Whatever an API server does to it while it watches, over real sockets: in the end an ApiSource has told what the server has, goes on
// following it, and never told anything as gone that was there all the time.

import { afterEach, describe, expect, it } from 'vitest';
import { closeWorlds, openWorld as start, type ApiWorld } from './api-world.ts';
import type { FakeApiServer } from './fake-api-server.ts';
import type { Fault, RequestMatch } from './faults.ts';
import { makeService, makeSlice } from './make-objects.ts';

afterEach(closeWorlds);

/** Both ways to begin: with a streaming list, and with a list where there is none. */
const MODES = ['on', 'refused'] as const;

describe.each(MODES)('while it watches, streaming lists %s', (streamingLists) => {
  type Act = (server: FakeApiServer, api: ApiWorld) => unknown;
  const all =
    (act: (watch: ReturnType<FakeApiServer['watches']>[number]) => void): Act =>
    (server) => {
      for (const watch of server.watches()) act(watch);
    };
  const change = (api: ApiWorld): void => api.mark();
  /** The fault for what the client asks next, which it does when it is cut off. */
  const next =
    (fault: Fault, match: RequestMatch = {}): Act =>
    (server) => {
      server.misbehave(match, fault);
      server.cutAll();
    };

  it.each<[string, Act]>([
    ['410 as an event', all((watch) => watch.error())],
    [
      'a history that is forgotten',
      (server, api) => {
        change(api);
        server.store.compact();
        server.cutAll();
      },
    ],
    [
      'a history that is forgotten, told over HTTP',
      (server, api) => {
        server.expiredWatch = 'http';
        change(api);
        server.store.compact();
        server.cutAll();
      },
    ],
    ['500 as an event', all((watch) => watch.breakDown())],
    ['HTTP 410', next({ kind: 'expired', as: 'http' }, { times: 3 })],
    ['500', next({ kind: 'refuse', code: 500 }, { times: 6 })],
    ['502 in HTML', next({ kind: 'refuse', code: 502, body: 'html' }, { times: 6 })],
    ['503 and Retry-After', next({ kind: 'refuse', code: 503, retryAfter: 2 }, { times: 6 })],
    ['429 and Retry-After', next({ kind: 'refuse', code: 429, retryAfter: 2 }, { times: 6 })],
    ['a Retry-After of a day', next({ kind: 'refuse', code: 429, retryAfter: 86_400 }, { times: 1 })],
    ['a cut', all((watch) => watch.cut('FIN'))],
    ['a tear', all((watch) => watch.cut('RST'))],
    ['a cut in the middle of a line', all((watch) => watch.cutInMidLine('FIN'))],
    ['a tear in the middle of a line', all((watch) => watch.cutInMidLine('RST'))],
    ['an end in the middle of a line', all((watch) => watch.cutInMidLine('clean'))],
    ['an end', all((watch) => watch.end())],
    ['everything cut', (server) => server.cutAll()],
    ['cuts in the header', next({ kind: 'cut', manner: 'FIN', at: 'headers' }, { times: 6 })],
    ['cuts in the first event', next({ kind: 'cut', manner: 'FIN', at: { bytes: 40 } }, { times: 6 })],
    ['half an answer', next({ kind: 'stall', at: 'headers' }, { times: 3 })],
    ['garbage', all((watch) => watch.raw('<html>\n'))],
    ['garbage that is JSON', all((watch) => watch.raw('{"type":7}\n[]\nnull\n'))],
    ['an event of no known type', all((watch) => watch.raw('{"type":"RENAMED","object":{}}\n'))],
    ['empty lines', all((watch) => watch.raw('\n\n\r\n'))],
    ['an ERROR without a Status', all((watch) => watch.raw('{"type":"ERROR","object":null}\n'))],
    ['an event without an object', all((watch) => watch.raw('{"type":"ADDED"}\n'))],
    ['events twice', (server) => void (server.habits.duplicateEvents = true)],
    [
      'events again',
      (server, api) => {
        change(api);
        for (const watch of server.watches()) watch.replay(10);
      },
    ],
    [
      'bookmarks twice',
      (server, api) => {
        server.habits.bookmarks = 'duplicated';
        change(api);
        server.sendBookmarks();
        server.cutAll();
      },
    ],
    [
      'bookmarks in disorder',
      (server, api) => {
        server.habits.bookmarks = 'reordered';
        change(api);
        server.sendBookmarks();
        server.cutAll();
      },
    ],
    [
      'no bookmarks',
      (server, api) => {
        server.habits.bookmarks = 'none';
        change(api);
        server.sendBookmarks();
        server.cutAll();
      },
    ],
    ['bookmarks without a version', all((watch) => watch.bookmark(''))],
    [
      'bookmarks with a version that is no number',
      (server) => {
        for (const watch of server.watches()) watch.bookmark('later');
        server.cutAll();
      },
    ],
    [
      'bookmarks of the far future',
      (server) => {
        for (const watch of server.watches()) watch.bookmark(99_999_999);
        server.cutAll();
      },
    ],
    [
      'gaps in resourceVersion',
      (server, api) => {
        for (let round = 0; round < 5; round++) {
          server.store.skipVersions(1000);
          change(api);
        }
      },
    ],
    [
      'no rights for a while',
      (server, api) => {
        server.denied.set('services', 403);
        server.denied.set('endpointslices', 403);
        server.cutAll();
        return server
          .until(() => api.source.status.Service.backoffs > 3)
          .finally(() => server.denied.clear());
      },
    ],
    [
      'an API that is not there for a while',
      (server, api) => {
        server.denied.set('endpointslices', 404);
        server.cutAll();
        return server
          .until(() => api.source.status.EndpointSlice.backoffs > 3)
          .finally(() => server.denied.clear());
      },
    ],
    [
      'another server, without streaming lists',
      (server, api) => {
        server.streamingLists = 'refused';
        change(api);
        server.store.compact();
        server.cutAll();
      },
    ],
    [
      'another server, that does not know streaming lists',
      (server, api) => {
        server.streamingLists = 'ignored';
        change(api);
        server.store.compact();
        server.cutAll();
      },
    ],
    [
      'another server, with something in between that refuses streaming lists',
      (server, api) => {
        server.streamingLists = 'badRequest';
        change(api);
        server.store.compact();
        server.cutAll();
      },
    ],
    [
      'a huge object',
      (server) => {
        const huge = { annotations: { huge: 'ü'.repeat(1 << 19) } };
        server.store.put('services', makeService(1, huge));
        server.store.put('services', makeService(900, huge));
      },
    ],
    [
      'a huge slice, in a list',
      (server) => {
        server.store.put('endpointslices', makeSlice(1, { endpoints: 1000 }));
        server.store.compact();
        server.cutAll();
      },
    ],
    [
      'a huge slice, in drops',
      (server) => {
        server.store.put('endpointslices', makeSlice(1, { endpoints: 1000 }));
        server.misbehave({ resource: 'endpointslices', times: 3 }, { kind: 'split', bytes: 1013 });
        server.cutAll();
      },
    ],
    [
      'a Node that goes and comes',
      (server) => {
        const node = server.store.objectsOf('nodes').get('node-1');
        server.store.delete('nodes', 'node-1');
        server.store.put('nodes', node);
      },
    ],
    [
      'objects that enter and leave the selection',
      (server) => {
        const labels = { 'service.kubernetes.io/service-proxy-name': '' };
        server.store.put('services', makeService(1, { labels }));
        server.store.put('services', makeService(2, { spec: { clusterIP: 'None' } }));
        server.store.put(
          'endpointslices',
          makeSlice(3, { labels: { 'service.kubernetes.io/headless': '' } }),
        );
        server.store.put('services', makeService(1));
      },
    ],
  ])('%s', async (name, act) => {
    const api = await start({
      // Nobody waits two minutes for who asks for a day.
      factor: name.includes('of a day') ? 400 : 40,
      prepare: (server) => void (server.streamingLists = streamingLists),
    });
    await api.source.complete();
    await api.untilFollowing();
    await act(api.server, api);
    await api.untilFollowing();
    expect(api.lostSteady()).toEqual([]);
  });

  it.each(['null', '{}', '7', '[]', '{"metadata":null}', '{"metadata":{"name":7,"namespace":"default"}}'])(
    'objects that are %s, in lists and watches',
    async (json) => {
      const api = await start({ prepare: (server) => void (server.streamingLists = streamingLists) });
      await api.source.complete();
      for (const name of ['services', 'endpointslices'] as const)
        api.server.store.putText(name, 'default/odd', json);
      await api.untilFollowing();
      api.server.store.compact();
      api.server.cutAll();
      await api.untilFollowing();
      for (const name of ['services', 'endpointslices'] as const)
        api.server.store.delete(name, 'default/odd');
      await api.untilFollowing();
      expect(api.lostSteady()).toEqual([]);
      expect(api.source.status.Service.skipped).toBeGreaterThan(0);
    },
  );

  it.each(['7', '{"ports":7,"clusterIP":["x"]}', 'null'])('a spec that is %s is passed on', async (spec) => {
    const api = await start({ prepare: (server) => void (server.streamingLists = streamingLists) });
    await api.source.complete();
    const metadata = '"metadata":{"name":"odd","namespace":"default","resourceVersion":"1"}';
    api.server.store.putText('services', 'default/odd', `{${metadata},"spec":${spec}}`);
    await api.untilFollowing();
    expect(api.facts.get('Service default/odd')).toEqual(JSON.parse(`{${metadata},"spec":${spec}}`));
  });
});
