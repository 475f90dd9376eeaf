// The Events of a start, written over HTTP to a server, against those that were recorded of kube-proxy 1.36 in mode ipvs. Apart from names,
// times and what a server gives each object they are the same, but for IPVSDeprecation: kube-proxy's mode ipvs is deprecated, this is not.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ApiClient } from '../../src/cluster/api-client.ts';
import { EventWriter } from '../../src/cluster/event-writer.ts';
import { NodeEvents } from '../../src/daemon/node-events.ts';
import { FakeApiServer } from '../cluster/fake-api-server.ts';

const NOT_WRITTEN = 'IPVSDeprecation';

interface RecordedEvent {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly eventTime: string;
  readonly reason: string;
}

it('a start writes what kube-proxy writes, but for its deprecation', async () => {
  const text = readFileSync(join(import.meta.dirname, 'events/kube-proxy-1.36.json'), 'utf8');
  const recorded = (JSON.parse(text) as { items: RecordedEvent[] }).items;
  const server = await FakeApiServer.start();
  const access = {
    server: new URL(server.url),
    proxy: null,
    tls: { ca: null, serverName: null, insecureSkipVerify: false, client: null },
    authorization: null,
    headers: {},
  };
  const credentials = { description: 'a test', access: () => Promise.resolve(access), reject: () => {} };
  const client = new ApiClient({ credentials, userAgent: 'pointsman/test' });
  const writer = new EventWriter({ transport: client, onProblem: () => {} });
  new NodeEvents({
    ...{ writer, nodeName: 'node1', hostname: 'node1', now: Date.now, random: Math.random },
  }).starting();
  await server.until(() => writer.counts.written === 1);
  await writer.close();
  client.close();
  const written = [...server.store.objectsOf('events').values()] as RecordedEvent[];
  await server.close();
  expect(written.map(comparable)).toEqual(
    recorded.filter(({ reason }) => reason !== NOT_WRITTEN).map(comparable),
  );
  expect(recorded.map(({ reason }) => reason)).toEqual([NOT_WRITTEN, 'Starting']);
  expect(written.map(shapes)).toEqual([shapes(recorded[1] as RecordedEvent)]);
});

/** Without what differs from one to the next. */
function comparable({ metadata, eventTime: _eventTime, ...rest }: RecordedEvent): object {
  return { namespace: metadata.namespace, ...rest };
}

/** How name and time look: each digit as 9. */
function shapes({ metadata, eventTime }: RecordedEvent): string {
  return `${metadata.name.replace(/[0-9a-f]{16}$/, 'HEX')} ${eventTime.replaceAll(/\d/g, '9')}`;
}
