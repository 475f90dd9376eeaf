// API servers that fall silent, go away, come back from a backup, or never end what they say, under a watching ApiSource: in the end it has
// told what the server has, goes on following it, and told nothing as gone in between that was there all the time.

import { afterEach, describe, expect, it } from 'vitest';
import { closeWorlds, openWorld as start } from './api-world.ts';
import { makeService } from './make-objects.ts';

afterEach(closeWorlds);

/** Both ways to begin: with a streaming list, and with a list where there is none. */
const MODES = ['on', 'refused'] as const;

describe.each(MODES)('streaming lists %s', (streamingLists) => {
  it('half-open watches', async () => {
    const api = await start({
      factor: 200,
      prepare: (server) => void (server.streamingLists = streamingLists),
    });
    await api.source.complete();
    await api.untilFollowing();
    for (const watch of api.server.watches()) watch.stall();
    api.mark();
    await api.untilFollowing();
    expect(api.lostSteady()).toEqual([]);
  });

  it.each(['silent', 'event', 'http'] as const)(
    'a restored backup, where a watch from the future gets: %s',
    async (futureWatch) => {
      const api = await start({
        factor: 100,
        prepare: (server) => {
          server.streamingLists = streamingLists;
          server.futureWatch = futureWatch;
        },
      });
      await api.source.complete();
      await api.untilFollowing();
      const snapshot = api.server.snapshot();
      api.server.store.skipVersions(100_000);
      api.server.store.delete('services', 'team-9/web-9');
      api.server.store.put('services', makeService(700));
      api.mark();
      await api.untilEqual();
      api.server.restore(snapshot);
      await api.untilEqual();
      expect(api.facts.has('Service team-9/web-9')).toBe(true);
      expect(api.facts.has('Service team-0/web-700')).toBe(false);
      await api.untilFollowing();
      expect(api.lostSteady()).toEqual([]);
    },
  );

  it('a backup that is restored under an open watch', async () => {
    const api = await start({ prepare: (server) => void (server.streamingLists = streamingLists) });
    await api.source.complete();
    const snapshot = api.server.snapshot();
    api.server.store.skipVersions(100_000);
    await api.untilFollowing();
    // Not server.restore: something in between keeps the connections.
    api.server.store.restore(snapshot);
    await api.untilFollowing();
  });

  it('away for an hour: nothing is told as gone meanwhile', async () => {
    const api = await start({ prepare: (server) => void (server.streamingLists = streamingLists) });
    await api.source.complete();
    await api.untilEqual();
    await api.server.goAway();
    for (let minute = 0; minute < 60; minute++) {
      const { backoffs } = api.source.status.Service;
      await api.server.until(() => api.source.status.Service.backoffs > backoffs);
      api.timers.leap(60_000);
    }
    expect([...api.deleted]).toEqual([]);
    expect(api.facts.size).toBe(41);
    api.mark();
    await api.server.comeBack();
    await api.untilFollowing();
    expect(api.lostSteady()).toEqual([]);
  });
});

it('a line without an end', { timeout: 300_000 }, async () => {
  const api = await start({ factor: 1 });
  // It is given up at 64 MiB.
  api.server.patienceMs = 250_000;
  await api.source.complete();
  await api.untilEqual();
  const first = '{"type":"ADDED","object":{"kind":"Service","metadata":{"name":"';
  const rule = api.server.misbehave(
    { resource: 'services', verb: 'watch' },
    { kind: 'endless', first, again: 'a', bytes: 1e12 },
  );
  for (const watch of api.server.watches('services')) watch.end();
  await api.server.until(() => rule.hits === 1);
  await api.untilFollowing();
  expect(api.lostSteady()).toEqual([]);
});
