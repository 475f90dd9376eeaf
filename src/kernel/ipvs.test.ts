import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DESTINATIONS, IPVS_SCENARIOS, SERVICES } from '../../test/fixtures/netlink/ipvs-scenarios.ts';
import { recording, replay } from '../../test/fixtures/netlink/replay.ts';
import { ack, message, ScriptedTransport, seqsOf } from '../../test/kernel/scripted-transport.ts';
import { decodeIp } from '../model/ip.ts';
import { IpvsClient, encodeOperation, formatOperationObject, type IpvsOperation } from './ipvs.ts';
import {
  decodeDestination,
  decodeService,
  FORWARDING_METHODS,
  formatServiceKey,
  fullNetmask,
  type IpvsDestination,
  type IpvsService,
} from './ipvs-codec.ts';
import { MessageWriter } from './wire.ts';

async function replayed(name: string): Promise<any> {
  return IPVS_SCENARIOS.find((scenario) => scenario.name === name)?.run(replay(recording(name)));
}

const KIND = 'ipvs services and real servers of every kind';

describe('replayed from the kernel, request for request', () => {
  it('makes and reads back services of every kind, as ipvsadm -Sn prints them', async () => {
    const { failures, services, one, none } = await replayed(KIND);
    expect(failures).toEqual([]);
    const printed = recording(KIND)
      .output.split('\n')
      .filter((line) => line.startsWith('-A'));
    expect(printed).toEqual(SERVICES.map(([command]) => command));
    const withoutStats = services.map(({ stats, ...service }: { stats: unknown }) => {
      expect(stats).toMatchObject({ connections: 0n, outBytesPerSecond: 0n });
      return service;
    });
    expect(withoutStats).toHaveLength(SERVICES.length);
    expect(withoutStats).toEqual(expect.arrayContaining(SERVICES.map(([, service]) => service)));
    expect(one).toEqual({ ...SERVICES[0]?.[1], stats: null });
    expect(none).toBeNull();
  });

  it('makes and reads back real servers of every kind, newest first', async () => {
    const { destinations, ofNone } = await replayed(KIND);
    const settings = destinations.map(
      ({ stats, activeConnections, inactiveConnections, persistentConnections, ...rest }: any) => {
        expect([activeConnections, inactiveConnections, persistentConnections]).toEqual([0, 0, 0]);
        expect(stats.inBytes).toBe(0n);
        return rest;
      },
    );
    expect(settings).toEqual(DESTINATIONS.map(([, destination]) => destination).toReversed());
    const { output } = recording(KIND);
    expect(output).toMatch(/10\.0\.0\.3:80 +20 +10 /);
    expect(output).toMatch(/10\.0\.0\.4:80 +Tunnel +gue:6080:\+c/);
    expect(ofNone).toEqual([]);
  });

  it('changes in place, resets counters and deletes', async () => {
    const { failures, services, destinations } = await replayed('ipvs changes, zero and deletions');
    expect(failures).toEqual([]);
    expect(services).toEqual([
      { ...SERVICES[0]?.[1], scheduler: 'sh', flags: 1, timeoutSeconds: 90, stats: null },
    ]);
    expect(destinations).toMatchObject([{ address: '10.0.0.1', weight: 5 }]);
  });

  it('reads and sets timeouts, reads info and runs a sync daemon', async () => {
    expect(await replayed('ipvs timeouts, info and daemons')).toEqual({
      before: { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 },
      info: { version: 0x010201, connectionTableSize: 4096 },
      failures: [
        'NEW_DAEMON backup on d0: EEXIST (errno 17); a daemon of this role runs already',
        'DEL_DAEMON master: ESRCH (errno 3); no daemon of this role runs',
      ],
      after: { tcpSeconds: 1000, tcpFinSeconds: 120, udpSeconds: 77 },
      daemons: [
        {
          role: 'backup',
          interfaceName: 'd0',
          syncId: 7,
          maxLengthBytes: 1472,
          multicastGroup: '224.0.0.81',
          multicastPort: 8848,
          multicastTtl: 1,
        },
      ],
    });
  });

  it('says of each refused request of a batch what, where and why, and tries all others', async () => {
    const web = 'TCP 10.96.0.1:80';
    const none = 'TCP 10.96.0.1:9999';
    const { failures, kept, flushed, left } = await replayed(
      'ipvs refusals in the middle of a batch, and flush',
    );
    expect(failures).toEqual([
      `NEW_SERVICE ${web}: EEXIST (errno 17); such a virtual server exists already`,
      'NEW_SERVICE TCP 10.96.0.1:82: ENOENT (errno 2); scheduler "nosuch" is not there; load ip_vs_nosuch',
      `NEW_DEST ${web} -> 10.0.0.1:8080: EEXIST (errno 17); such a real server exists already`,
      `NEW_DEST ${web} -> 224.0.0.1:8080: EINVAL (errno 22); the address is not unicast here, or its family does not fit`,
      `NEW_DEST ${web} -> 10.0.0.2:80: ERANGE (errno 34); the weight is negative, or the lower threshold is above the upper one`,
      `SET_DEST ${web} -> 10.0.0.1:1: ENOENT (errno 2); there is no such real server`,
      `DEL_DEST ${web} -> 10.0.0.9:1: ENOENT (errno 2); there is no such real server`,
      `SET_SERVICE ${none}: ESRCH (errno 3); there is no such virtual server`,
      `DEL_SERVICE ${none}: ESRCH (errno 3); there is no such virtual server`,
      `NEW_DEST ${none} -> 10.0.0.1:8080: ESRCH (errno 3); there is no such virtual server`,
      `ZERO ${none}: ESRCH (errno 3); there is no such virtual server`,
    ]);
    expect({ kept, flushed, left }).toEqual({ kept: 1, flushed: [], left: [] });
  });
});

const v4 = fc.uint8Array({ minLength: 4, maxLength: 4 }).map((bytes) => decodeIp(bytes, 0, 'IPv4'));
const v6 = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => decodeIp(bytes, 0, 'IPv6'));
const port = fc.integer({ min: 0, max: 65535 });
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,14}$/);
const key = fc.oneof(
  fc.record({
    family: fc.constant('IPv4' as const),
    protocol: fc.constantFrom(6, 17, 132),
    address: v4,
    port,
  }),
  fc.record({
    family: fc.constant('IPv6' as const),
    protocol: fc.constantFrom(6, 17, 132),
    address: v6,
    port,
  }),
  fc.record({ family: fc.constantFrom('IPv4' as const, 'IPv6' as const), fwmark: u32 }),
);
const service: fc.Arbitrary<IpvsService> = fc
  .tuple(
    key,
    fc.record({ scheduler: name, flags: fc.nat(0x3d), timeoutSeconds: u32, netmask: u32 }),
    fc.boolean(),
  )
  .map(([id, settings, isSip]) => ({
    ...id,
    ...settings,
    flags: settings.flags & ~2,
    ...(isSip ? { persistenceEngine: 'sip' } : {}),
  }));
const destination: fc.Arbitrary<IpvsDestination> = fc
  .record({
    address: fc.oneof(v4, v6),
    port,
    forwarding: fc.constantFrom(...FORWARDING_METHODS),
    weight: fc.nat(0x7fffffff),
    upperThreshold: u32,
    lowerThreshold: u32,
    tunnel: fc.record({
      type: fc.constantFrom('ipip' as const, 'gue' as const, 'gre' as const),
      port,
      flags: fc.nat(3),
    }),
  })
  .map(({ tunnel, ...rest }) => (rest.forwarding === 'tunnel' ? { ...rest, tunnel } : rest));

/** The counters that the kernel adds to what one configures, as attributes of a nest that ends the message. */
function addToNest(
  bytes: Uint8Array,
  outer: number,
  attributes: readonly [type: number, payload: number][],
): Uint8Array {
  const grown = new Uint8Array(bytes.length + attributes.length * 8);
  grown.set(bytes);
  const view = new DataView(grown.buffer);
  attributes.forEach(([type, payload], i) => {
    view.setUint16(bytes.length + i * 8, 8, true);
    view.setUint16(bytes.length + i * 8 + 2, type, true);
    view.setUint32(bytes.length + i * 8 + 4, payload, true);
  });
  view.setUint16(outer, view.getUint16(outer, true) + attributes.length * 8, true);
  return grown;
}

function encoded(operation: IpvsOperation): Uint8Array {
  const writer = new MessageWriter(4096);
  writer.begin(30, 0, 1);
  encodeOperation(writer, operation);
  writer.end();
  return writer.bytes.slice(16, writer.length);
}

describe('encoding and decoding', () => {
  it('are inverse for services of any kind', () => {
    fc.assert(
      fc.property(service, (value) => {
        const bytes = encoded({ op: 'NEW_SERVICE', service: value });
        expect(decodeService(bytes, 0, bytes.length, false)).toEqual({ ...value, stats: null });
      }),
    );
  });

  it('are inverse for real servers of any kind', () => {
    fc.assert(
      fc.property(destination, (value) => {
        const writer = new MessageWriter(4096);
        writer.begin(30, 0, 1);
        encodeOperation(writer, {
          op: 'NEW_DEST',
          service: { family: 'IPv4', fwmark: 1 },
          destination: value,
        });
        writer.end();
        const bytes = writer.bytes.slice(16, writer.length);
        // Behind the generic header and the SERVICE nest (two u32 attributes in 20 bytes) comes the DEST nest.
        const withCounts = addToNest(bytes, 4 + 20, [
          [7, 1],
          [8, 2],
          [9, 3],
        ]);
        expect(decodeDestination(withCounts, 0, withCounts.length, 'IPv4', false)).toEqual({
          ...value,
          activeConnections: 1,
          inactiveConnections: 2,
          persistentConnections: 3,
          stats: null,
        });
      }),
    );
  });

  it('gives every key a text of its own', () => {
    fc.assert(
      fc.property(key, key, (a, b) => {
        expect(formatServiceKey(a) === formatServiceKey(b)).toBe(JSON.stringify(a) === JSON.stringify(b));
      }),
    );
    expect([fullNetmask('IPv4'), fullNetmask('IPv6')]).toEqual([0xffffffff, 128]);
  });

  it('refuses a name that the kernel would read half', () => {
    const bad = { ...SERVICES[0]![1], scheduler: 'a\0b' };
    expect(() => encoded({ op: 'NEW_SERVICE', service: bad })).toThrow('not a kernel name');
  });
});

describe('batches', () => {
  it('are cut at their size, and each failure is reported at its own operation', async () => {
    const refusedAt = new Set([0, 1, 250, 399]);
    let seen = 0;
    const open = (): ScriptedTransport => {
      let requests = 0;
      return new ScriptedTransport(function* (request) {
        const seqs = seqsOf(request);
        if (requests++ === 0) {
          // The answer to the family look-up: id 30.
          const payload = Uint8Array.of(1, 2, 0, 0, 6, 0, 1, 0, 30, 0, 0, 0);
          yield { bytes: message(0x10, 0, seqs[0]!, payload) };
          yield { bytes: ack(seqs[0]!, 0) };
          return;
        }
        for (const [i, seq] of seqs.entries()) {
          const isLast = i === seqs.length - 1;
          if (refusedAt.has(seen)) yield { bytes: ack(seq, -17) };
          else if (isLast) yield { bytes: ack(seq, 0) };
          seen++;
        }
      });
    };
    const ipvs = IpvsClient.open(open, 1024);
    const operations: IpvsOperation[] = Array.from({ length: 400 }, (_, i) => ({
      op: 'NEW_SERVICE',
      service: { ...SERVICES[0]![1], family: 'IPv4', fwmark: i + 1 } as IpvsService,
    }));
    const failures = await ipvs.apply(operations);
    expect(failures.map(({ operation }) => operations.indexOf(operation))).toEqual([...refusedAt]);
    expect(failures.map(({ error }) => error.object)).toEqual([...refusedAt].map((i) => `FWM ${i + 1}`));
    ipvs.close();
  });

  it('name the object of every operation', () => {
    const [, server] = DESTINATIONS[0]!;
    const [, first] = SERVICES[0]!;
    expect(
      [
        { op: 'ZERO', service: null } as const,
        { op: 'FLUSH' } as const,
        { op: 'DEL_DAEMON', role: 'master' } as const,
        { op: 'DEL_DEST', service: first, destination: server } as const,
        { op: 'SET_CONFIG', timeouts: {} } as const,
      ].map(formatOperationObject),
    ).toEqual(['all', '', 'master', 'TCP 10.96.0.1:80 -> 10.0.0.1:8080', '']);
  });

  it('fail with one clear line on a kernel without IPVS', () => {
    const open = (): ScriptedTransport =>
      new ScriptedTransport((request) => [{ bytes: ack(seqsOf(request)[0]!, -2) }]);
    expect(() => IpvsClient.open(open)).toThrow(/this kernel has no IPVS .*modprobe ip_vs/);
  });
});
