// The Events that the agent writes, field by field, and that no text, however long or odd, makes one that the API would refuse.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { API_RESOURCES } from '../../test/cluster/api-resources.ts';
import { completeEvent } from '../../test/cluster/api-events.ts';
import type { ApiEvent } from '../cluster/api-event.ts';
import {
  healthServerFailedEvent,
  invalidConfigurationEvent,
  metricsServerFailedEvent,
  serviceHealthServerFailedEvent,
  startingEvent,
  type EventOrigin,
} from './events.ts';
import { NodeEvents } from './node-events.ts';

const ORIGIN: EventOrigin = { nodeName: 'node1', hostname: 'Host', atNs: 0x18e9f7c5b1b0d94cn };
const SERVICE = { namespace: 'team', name: 'web', uid: 'a-b' };

describe('an Event', () => {
  it.each<[string, ApiEvent, object]>([
    ['Starting', startingEvent(ORIGIN), { type: 'Normal', action: 'StartKubeProxy' }],
    [
      'FailedToStartProxierHealthcheck',
      healthServerFailedEvent(ORIGIN, '0.0.0.0:10256', 'EADDRINUSE'),
      {
        type: 'Warning',
        action: 'StartKubeProxy',
        note: 'healthz server failed: failed to start proxy healthz on 0.0.0.0:10256: EADDRINUSE',
      },
    ],
    [
      'FailedToStartMetricServer',
      metricsServerFailedEvent(ORIGIN, 'EADDRINUSE'),
      { type: 'Warning', action: 'StartKubeProxy', note: 'starting metrics server failed: EADDRINUSE' },
    ],
    [
      'InvalidConfiguration',
      invalidConfigurationEvent(ORIGIN, 'mode: "x"'),
      {
        type: 'Warning',
        action: 'Reconfigure',
        note: 'the changed configuration is refused, the running one stays: mode: "x"',
      },
    ],
  ])('%s of the Node', (reason, event, expected) => {
    expect(event).toEqual({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      metadata: { name: 'node1.18e9f7c5b1b0d94c', namespace: 'default' },
      eventTime: '2026-11-21T05:19:14.945628Z',
      reportingController: 'kube-proxy',
      reportingInstance: 'kube-proxy-Host',
      reason,
      regarding: { kind: 'Node', name: 'node1', apiVersion: 'v1' },
      ...expected,
    });
  });

  it('of a Service is in its namespace, and about that very one where it is known', () => {
    const event = serviceHealthServerFailedEvent(ORIGIN, SERVICE, 30_000, 'EADDRINUSE');
    expect(event).toMatchObject({
      metadata: { name: 'web.18e9f7c5b1b0d94c', namespace: 'team' },
      reason: 'FailedToStartServiceHealthcheck',
      action: 'Listen',
      note: 'node node1 failed to start healthcheck "team/web" on port 30000: EADDRINUSE',
      type: 'Warning',
    });
    const regarding = { kind: 'Service', namespace: 'team', name: 'web', apiVersion: 'v1' };
    expect(event.regarding).toEqual({ ...regarding, uid: 'a-b' });
    const unknown = { ...SERVICE, uid: '' };
    expect(serviceHealthServerFailedEvent(ORIGIN, unknown, 1, 'x').regarding).toEqual(regarding);
  });

  it.each([
    [0n, '1970-01-01T00:00:00.000000Z'],
    [1_795_238_354_945_507_999n, '2026-11-21T05:19:14.945507Z'],
    [1_795_238_354_000_001_000n, '2026-11-21T05:19:14.000001Z'],
  ])('of %d has the time %s', (atNs, expected) => {
    expect(startingEvent({ ...ORIGIN, atNs }).eventTime).toBe(expected);
  });

  it('is cut where the API has limits, between characters', () => {
    const note = invalidConfigurationEvent(ORIGIN, 'é'.repeat(2000)).note ?? '';
    expect(Buffer.byteLength(note)).toBeGreaterThan(1020);
    expect(note).toMatch(/é\.\.\.$/);
    const long = startingEvent({ ...ORIGIN, nodeName: `${'n'.repeat(235)}.${'m'.repeat(17)}` });
    expect(long.metadata.name).toBe(`${'n'.repeat(235)}.18e9f7c5b1b0d94c`);
    expect(long.regarding.name).toHaveLength(253);
  });

  it('is one that the API takes, whatever the texts', () => {
    const label = fc.stringMatching(/^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/);
    const name = fc
      .array(label, { minLength: 1, maxLength: 9 })
      .map((labels) => labels.join('.').slice(0, 253));
    const text = fc
      .tuple(fc.string({ unit: 'binary', maxLength: 20 }), fc.constantFrom(1, 10, 100, 1000))
      .map(([part, times]) => part.repeat(times));
    const atNs = fc.bigInt({ min: 0n, max: 1n << 62n });
    fc.assert(
      fc.property(
        name,
        fc.string({ minLength: 1, maxLength: 300 }),
        atNs,
        text,
        (nodeName, hostname, at, said) => {
          const origin = { nodeName: nodeName.replace(/[-.]+$/, ''), hostname, atNs: at };
          for (const event of [
            startingEvent(origin),
            healthServerFailedEvent(origin, '[::]:1', said),
            metricsServerFailedEvent(origin, said),
            serviceHealthServerFailedEvent(origin, { ...SERVICE, name: origin.nodeName }, 1, said),
            invalidConfigurationEvent(origin, said),
          ]) {
            const { name: eventName, namespace } = event.metadata;
            expect(() => completeEvent(API_RESOURCES.events, namespace, eventName, event)).not.toThrow();
            expect(eventName).toMatch(
              /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/,
            );
            expect(event.note ?? '').not.toMatch(/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u);
          }
        },
      ),
    );
  });
});

describe('the Events of a node', () => {
  it('have names of their own, later ones later ones, also when the clock goes back', () => {
    const written: ApiEvent[] = [];
    let nowMs = 1_795_238_354_945;
    const events = new NodeEvents({
      writer: { write: (event) => void written.push(event) },
      nodeName: 'node1',
      hostname: 'host',
      now: () => nowMs,
      random: () => 0.5,
    });
    events.starting();
    events.healthServerFailed('[::]:1', 'x');
    nowMs -= 5000;
    events.metricsServerFailed('x');
    events.serviceHealthServerFailed(SERVICE, 1, 'x');
    nowMs += 10_000;
    events.invalidConfiguration('x');
    expect(written.map(({ reason }) => reason)).toEqual([
      'Starting',
      'FailedToStartProxierHealthcheck',
      'FailedToStartMetricServer',
      'FailedToStartServiceHealthcheck',
      'InvalidConfiguration',
    ]);
    const times = written.map(({ metadata }) => BigInt(`0x${metadata.name.split('.')[1]}`));
    expect(times[0]).toBe(1_795_238_354_945_500_000n);
    expect(times.every((time, index) => index === 0 || time > (times[index - 1] ?? 0n))).toBe(true);
    expect(written[0]?.eventTime).toBe('2026-11-21T05:19:14.945500Z');
  });

  it('are nobody’s where there is no server', () => {
    const options = { nodeName: 'node1', hostname: 'host', now: () => 0, random: () => 0 };
    expect(() => new NodeEvents({ ...options, writer: null }).starting()).not.toThrow();
  });
});
