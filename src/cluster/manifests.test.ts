// A real folder, read and watched: every way in which files change, break and come back. Waits for events, never for the clock.

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ClusterEvent } from '../model/objects.ts';
import {
  formatManifestProblem,
  ManifestSource,
  type ManifestOptions,
  type ManifestProblem,
} from './manifests.ts';

const service = (name: string, port = 80): string =>
  `---\napiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {clusterIP: 10.96.0.1, ports: [{port: ${port}}]}\n`;

let folder = '';
let sources: ManifestSource[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman-manifests-'));
});

afterEach(async () => {
  await Promise.all(sources.map((source) => source.close()));
  sources = [];
  rmSync(folder, { recursive: true, force: true });
});

const put = (name: string, text: string | Uint8Array): void => writeFileSync(join(folder, name), text);

/** Sorted: "+web:80" for an object that is there, "-web" for one that is gone. */
function show(events: readonly ClusterEvent[]): string[] {
  return events
    .map((event) => {
      if (event.type === 'delete') return `-${event.name}`;
      const { ports } = (event.object as unknown as { spec: { ports: readonly { port: number }[] } }).spec;
      return `+${event.object.metadata?.name}:${ports[0]?.port}`;
    })
    .sort();
}

/** A source that watches, and a way to wait for what it tells. */
async function watching(
  options: ManifestOptions = {},
): Promise<{ first: string[]; until: (isSo: (told: Told) => boolean) => Promise<Told> }> {
  const told: Told = { events: [], problems: [], calls: 0 };
  let notify = (): void => undefined;
  const source = new ManifestSource(folder, {
    debounceMs: 10,
    pollMs: 60_000,
    ...options,
    onEvents(events, problems) {
      told.events.push(...show(events));
      told.problems = problems.map(formatManifestProblem);
      told.calls++;
      notify();
    },
  });
  sources.push(source);
  const { events, problems } = await source.readAll();
  told.problems = problems.map(formatManifestProblem);
  source.watch();
  return {
    first: show(events),
    async until(isSo) {
      while (!isSo(told)) await new Promise<void>((resolve) => (notify = resolve));
      return told;
    },
  };
}

interface Told {
  events: string[];
  problems: string[];
  calls: number;
}

const read = async (
  options: ManifestOptions = {},
): Promise<{ events: string[]; problems: string[]; warnings: string[] }> => {
  const { events, problems, warnings } = await new ManifestSource(folder, options).readAll();
  const format = (list: readonly ManifestProblem[]): string[] => list.map(formatManifestProblem);
  return { events: show(events), problems: format(problems), warnings: format(warnings) };
};

describe('the first snapshot', () => {
  test('takes *.yaml, *.yml and *.json, follows symlinks, and leaves folders, dot files and the rest alone', async () => {
    put('a.yaml', service('a'));
    put('b.yml', `\ufeff${service('b').replaceAll('\n', '\r\n')}`);
    put(
      'c.json',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'c' },
        spec: { clusterIP: '10.96.0.3', ports: [{ port: 80 }] },
      }),
    );
    put('.hidden.yaml', service('hidden'));
    put('notes.txt', service('notes'));
    put('d.yaml.bak', service('bak'));
    put('empty.yaml', '');
    put('comments.yaml', '# nothing\n');
    put('C:\\with "blanks"\nand lines.yaml', service('e'));
    mkdirSync(join(folder, 'inner.yaml'));
    writeFileSync(join(folder, 'inner.yaml', 'x.yaml'), service('inner'));
    symlinkSync('notes.txt', join(folder, 'link.yaml'));
    expect(await read()).toEqual({
      events: ['+a:80', '+b:80', '+c:80', '+e:80', '+notes:80'],
      problems: [],
      warnings: [],
    });
  });

  test('reports what cannot be read, by file, and goes on with the rest', async () => {
    put('bad.yaml', 'a: [');
    put('good.yaml', service('good'));
    put('utf16.yaml', Buffer.from(`\ufeff${service('x')}`, 'utf16le'));
    symlinkSync('nowhere', join(folder, 'dangling.yaml'));
    execFileSync('mkfifo', [join(folder, 'pipe.yaml')]);
    const { events, problems } = await read();
    expect(events).toEqual(['+good:80']);
    expect(problems).toEqual([
      expect.stringMatching(/^bad\.yaml:1:\d+: not valid YAML.*: nothing of it is used/),
      'dangling.yaml: it cannot be read (ENOENT): nothing of it is used; make it readable or remove it',
      'pipe.yaml: it is no regular file: nothing of it is used; remove it from the folder',
      'utf16.yaml:1:1: the file is UTF-16: nothing of it is used; save it as UTF-8',
    ]);
  });

  test.each([
    ['more bytes than allowed', { maxFileBytes: 200 }, service('a').padEnd(201, '\n'), /more than 200/],
    [
      'more YAML than allowed',
      { maxYamlBytes: 200 },
      service('a').padEnd(201, '\n'),
      /of YAML.*convert it to JSON/,
    ],
    [
      'more documents than allowed',
      { maxDocuments: 2 },
      service('a') + service('b') + service('c'),
      /more than 2 documents/,
    ],
    ['more levels than allowed', { maxDepth: 3 }, service('a'), /deeper than 3 levels/],
    ['more values than allowed', { maxValues: 5 }, service('a'), /more than 5 values/],
  ])('refuses %s', async (_name, limits, text, message) => {
    put('a.yaml', text);
    const { events, problems } = await read({ limits });
    expect(events).toEqual([]);
    expect(problems).toEqual([expect.stringMatching(message)]);
  });

  test('reads only so many files, and says so', async () => {
    for (const name of ['a', 'b', 'c']) put(`${name}.yaml`, service(name));
    const { events, problems } = await read({ limits: { maxFiles: 2 } });
    expect(events).toEqual(['+a:80', '+b:80']);
    expect(problems).toEqual([expect.stringMatching(/3 manifests, only the first 2/)]);
  });

  test('two files with the same object: the first by name wins, and the place of the other is told', async () => {
    put('b.yaml', service('x', 1) + service('web', 2));
    put('a.yaml', service('web', 1));
    const { events, problems } = await read();
    expect(events).toEqual(['+web:1', '+x:1']);
    expect(problems).toEqual([
      expect.stringMatching(/^b\.yaml:7:1: Service default\/web: a\.yaml declares the same object/),
    ]);
  });

  test.each([
    ['is missing', () => rmSync(folder, { recursive: true }), /there is no such folder; create it/],
    ['is a file', () => (rmSync(folder, { recursive: true }), writeFileSync(folder, '')), /it is no folder/],
  ])('is one clear error when the folder %s', async (_name, act, message) => {
    act();
    const error = await new ManifestSource(folder).readAll().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'INVALID_MANIFEST', message: expect.stringMatching(message) });
    expect((error as Error).message).toContain(`--manifests ${folder}`);
  });
});

describe('a change', () => {
  test('yields only the events of the objects that changed in it', async () => {
    put('a.yaml', service('a') + service('b') + service('c'));
    const { first, until } = await watching();
    expect(first).toEqual(['+a:80', '+b:80', '+c:80']);
    put('a.yaml', `${service('c')}# moved\n${service('b', 81)}${service('d')}`);
    const told = await until(({ events }) => events.length >= 3);
    expect(told.events).toEqual(['+b:81', '+d:80', '-a']);
  });

  test('of a file that comes, is renamed over and goes', async () => {
    const { until } = await watching();
    put('a.yaml', service('a'));
    await until(({ events }) => events.includes('+a:80'));
    put('.a.yaml.tmp', service('a', 81));
    renameSync(join(folder, '.a.yaml.tmp'), join(folder, 'a.yaml'));
    await until(({ events }) => events.includes('+a:81'));
    unlinkSync(join(folder, 'a.yaml'));
    expect((await until(({ events }) => events.includes('-a'))).events).toEqual(['+a:80', '+a:81', '-a']);
  });

  test('is seen although size, time and inode are as they were', async () => {
    put('a.yaml', service('a', 81));
    const { until } = await watching();
    put('a.yaml', service('a', 82));
    await until(({ events }) => events.includes('+a:82'));
    put('a.yaml', service('a', 83));
    expect((await until(({ events }) => events.includes('+a:83'))).events).toEqual(['+a:82', '+a:83']);
  });

  test('between readAll and watch is not missed', async () => {
    put('a.yaml', service('a'));
    const events: string[] = [];
    const seen = Promise.withResolvers<void>();
    const source = new ManifestSource(folder, {
      pollMs: 60_000,
      onEvents: (news) => (events.push(...show(news)), seen.resolve()),
    });
    sources.push(source);
    await source.readAll();
    put('b.yaml', service('b'));
    source.watch();
    await seen.promise;
    expect(events).toEqual(['+b:80']);
  });

  test('through the symlink swap of a ConfigMap volume', async () => {
    const publish = (version: string, text: string): void => {
      mkdirSync(join(folder, `..${version}`));
      writeFileSync(join(folder, `..${version}`, 'a.yaml'), text);
      symlinkSync(`..${version}`, join(folder, '..data_tmp'));
      renameSync(join(folder, '..data_tmp'), join(folder, '..data'));
    };
    publish('1', service('a'));
    symlinkSync('..data/a.yaml', join(folder, 'a.yaml'));
    const { first, until } = await watching();
    expect(first).toEqual(['+a:80']);
    publish('2', service('a', 81));
    rmSync(join(folder, '..1'), { recursive: true });
    expect((await until(({ events }) => events.length > 0)).events).toEqual(['+a:81']);
  });

  test('behind a symlink to another folder is found by the poll', async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'pointsman-elsewhere-'));
    try {
      writeFileSync(join(elsewhere, 'real'), service('a'));
      symlinkSync(join(elsewhere, 'real'), join(folder, 'a.yaml'));
      const { until } = await watching({ pollMs: 20 });
      writeFileSync(join(elsewhere, 'real'), service('a', 81));
      await until(({ events }) => events.includes('+a:81'));
    } finally {
      rmSync(elsewhere, { recursive: true });
    }
  });

  test('of the folder itself: gone it is a problem and everything stays, back again it is watched again', async () => {
    put('a.yaml', service('a'));
    const { until } = await watching({ pollMs: 20 });
    renameSync(folder, `${folder}.away`);
    const told = await until(({ problems }) =>
      problems.some((line) => line.includes('there is no such folder')),
    );
    expect(told.events).toEqual([]);
    rmSync(`${folder}.away`, { recursive: true });
    mkdirSync(folder);
    put('a.yaml', service('a', 81));
    await until(({ events, problems }) => events.includes('+a:81') && problems.length === 0);
  });

  test('that breaks a file keeps its last good state until it is repaired', async () => {
    put('a.yaml', service('a') + service('b'));
    const { until } = await watching();
    put('a.yaml', `${service('a', 81)}---\nkind: [`);
    const broken = await until(({ problems }) => problems.length > 0);
    expect(broken).toMatchObject({
      events: [],
      problems: [expect.stringMatching(/its last good version stays \(2 objects\)/)],
    });
    put('a.yaml', service('a') + service('b'));
    await until(({ problems }) => problems.length === 0);
    put('a.yaml', service('a', 82));
    expect((await until(({ events }) => events.length >= 2)).events).toEqual(['+a:82', '-b']);
  });

  test('that breaks one object keeps its last good version while the others go on', async () => {
    put('a.yaml', service('a') + service('b') + service('c'));
    const { until } = await watching();
    put('a.yaml', service('a', 0) + service('b', 81));
    const told = await until(({ problems }) => problems.length > 0);
    expect(told.events).toEqual(['+b:81', '-c']);
    expect(told.problems).toEqual([
      expect.stringMatching(/^a\.yaml:5:\d+: Service default\/a: spec\.ports\[0\]\.port: 0 is not valid/),
    ]);
    unlinkSync(join(folder, 'a.yaml'));
    await until(({ events }) => events.includes('-a') && events.includes('-b'));
  });

  test('that breaks the name of an object deletes nothing of its kind', async () => {
    put('a.yaml', service('a') + service('b'));
    const { until } = await watching();
    put('a.yaml', service('"A!"') + service('b'));
    expect(await until(({ problems }) => problems.length > 0)).toMatchObject({
      events: [],
      problems: [expect.stringMatching(/Service \?: metadata\.name/)],
    });
  });

  test('to an empty file deletes nothing: it is being written', async () => {
    put('a.yaml', service('a'));
    const { until } = await watching();
    put('a.yaml', '');
    expect(await until(({ problems }) => problems.length > 0)).toMatchObject({
      events: [],
      problems: [expect.stringMatching(/^a\.yaml: the file is empty/)],
    });
    put('a.yaml', '# on purpose\n');
    expect((await until(({ events }) => events.length > 0)).events).toEqual(['-a']);
  });

  test('that touches a file without changing it tells nobody', async () => {
    put('a.yaml', service('a'));
    const { until } = await watching();
    utimesSync(join(folder, 'a.yaml'), 1, 1);
    put('b.yaml', service('b'));
    expect(await until(({ calls }) => calls > 0)).toMatchObject({ events: ['+b:80'], calls: 1 });
  });

  test('of permissions is no change; an unreadable file is a problem and keeps its state', async () => {
    put('a.yaml', service('a'));
    unlinkSync(join(folder, 'a.yaml'));
    symlinkSync('b.txt', join(folder, 'a.yaml'));
    put('b.txt', service('a'));
    const { until } = await watching();
    renameSync(join(folder, 'b.txt'), join(folder, 'c.txt'));
    expect(await until(({ problems }) => problems.length > 0)).toMatchObject({
      events: [],
      problems: [expect.stringMatching(/ENOENT.*: its last good version stays \(1 object\)/)],
    });
    chmodSync(join(folder, 'c.txt'), 0o600);
    renameSync(join(folder, 'c.txt'), join(folder, 'b.txt'));
    expect((await until(({ problems }) => problems.length === 0)).events).toEqual([]);
  });
});

test('10,000 Services in JSON are read in a moment, and one change in them is one event', async () => {
  const items = Array.from({ length: 10_000 }, (_, i) => ({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: `svc-${i}` },
    spec: { clusterIP: `10.96.${i >> 8}.${i & 255}`, ports: [{ port: 80 }] },
  }));
  put('all.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  const source = new ManifestSource(folder);
  expect((await source.readAll()).events).toHaveLength(10_000);
  items[5000]!.spec.ports[0]!.port = 81;
  put('all.json', JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
  expect(show((await source.readAll()).events)).toEqual(['+svc-5000:81']);
});

test('close ends the watch', async () => {
  const source = new ManifestSource(folder, { debounceMs: 1, onEvents: () => expect.unreachable('closed') });
  await source.readAll();
  source.watch();
  await source.close();
  put('a.yaml', service('a'));
  await source.refresh();
});
