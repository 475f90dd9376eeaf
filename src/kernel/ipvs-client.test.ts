// The IPVS client where things go wrong: what an errno is told as, what stays behind a batch that was not sent, answers without data.

import { describe, expect, it } from 'vitest';
import { DESTINATIONS, SERVICES } from '../../test/fixtures/netlink/ipvs-scenarios.ts';
import {
  ack,
  message,
  ScriptedTransport,
  seqsOf,
  type Answer,
} from '../../test/kernel/scripted-transport.ts';
import { IpvsClient, type IpvsOperation } from './ipvs.ts';

const FAMILY_REPLY = Uint8Array.of(1, 2, 0, 0, 6, 0, 1, 0, 30, 0, 0, 0);

/** A client whose requests, but for the look-up of the family, `answer` answers. */
function clientOf(answer: (request: Uint8Array) => Iterable<Answer>): {
  ipvs: IpvsClient;
  sent: Uint8Array[];
} {
  const sent: Uint8Array[] = [];
  const ipvs = IpvsClient.open(
    () =>
      new ScriptedTransport((request) => {
        const seq = seqsOf(request)[0]!;
        if (request[4] === 0x10)
          return [{ bytes: message(0x10, 0, seq, FAMILY_REPLY) }, { bytes: ack(seq, 0) }];
        sent.push(request);
        return answer(request);
      }),
  );
  return { ipvs, sent };
}

const refusing =
  (errno: number) =>
  (request: Uint8Array): Answer[] =>
    seqsOf(request).map((seq) => ({ bytes: ack(seq, -errno) }));
const accepting = (request: Uint8Array): Answer[] => [{ bytes: ack(seqsOf(request).at(-1)!, 0) }];

const [, service] = SERVICES[0]!;
const [, destination] = DESTINATIONS[0]!;
const [, gue] = DESTINATIONS[3]!;
const daemon = { role: 'master', interfaceName: 'eth9', syncId: 1 } as const;
const OPERATION = {
  NEW_SERVICE: { op: 'NEW_SERVICE', service },
  SIP: { op: 'NEW_SERVICE', service: { ...service, persistenceEngine: 'sip' } },
  SET_SERVICE: { op: 'SET_SERVICE', service },
  DEL_SERVICE: { op: 'DEL_SERVICE', service },
  NEW_DEST: { op: 'NEW_DEST', service, destination },
  GUE: { op: 'NEW_DEST', service, destination: gue },
  SET_DEST: { op: 'SET_DEST', service, destination },
  DEL_DEST: { op: 'DEL_DEST', service, destination },
  ZERO: { op: 'ZERO', service },
  FLUSH: { op: 'FLUSH' },
  SET_CONFIG: { op: 'SET_CONFIG', timeouts: { tcpSeconds: 0xffffffff } },
  NEW_DAEMON: { op: 'NEW_DAEMON', daemon },
  DEL_DAEMON: { op: 'DEL_DAEMON', role: 'backup' },
} as const satisfies Record<string, IpvsOperation>;

const SERVER = 'TCP 10.96.0.1:80 -> 10.0.0.1:8080';
const NO_SERVICE = 'there is no such virtual server';
const PRIVILEGE = 'run as root in the initial user namespace (CAP_NET_ADMIN)';

describe('a refused operation is told as', () => {
  it.each<[keyof typeof OPERATION, number, string]>([
    [
      'NEW_SERVICE',
      17,
      'NEW_SERVICE TCP 10.96.0.1:80: EEXIST (errno 17); such a virtual server exists already',
    ],
    [
      'NEW_SERVICE',
      2,
      'NEW_SERVICE TCP 10.96.0.1:80: ENOENT (errno 2); scheduler "rr" is not there; load ip_vs_rr',
    ],
    [
      'SIP',
      2,
      'NEW_SERVICE TCP 10.96.0.1:80: ENOENT (errno 2); scheduler "rr" or persistence engine "sip" is not there; load ip_vs_rr and ip_vs_pe_sip',
    ],
    [
      'NEW_SERVICE',
      22,
      "NEW_SERVICE TCP 10.96.0.1:80: EINVAL (errno 22); the netmask or the length of the scheduler's name is not valid",
    ],
    ['SET_SERVICE', 3, `SET_SERVICE TCP 10.96.0.1:80: ESRCH (errno 3); ${NO_SERVICE}`],
    [
      'NEW_SERVICE',
      97,
      'NEW_SERVICE TCP 10.96.0.1:80: EAFNOSUPPORT (errno 97); this kernel has no IPVS for the address family',
    ],
    ['DEL_SERVICE', 3, `DEL_SERVICE TCP 10.96.0.1:80: ESRCH (errno 3); ${NO_SERVICE}`],
    ['ZERO', 3, `ZERO TCP 10.96.0.1:80: ESRCH (errno 3); ${NO_SERVICE}`],
    ['NEW_DEST', 3, `NEW_DEST ${SERVER}: ESRCH (errno 3); ${NO_SERVICE}`],
    ['NEW_DEST', 17, `NEW_DEST ${SERVER}: EEXIST (errno 17); such a real server exists already`],
    [
      'NEW_DEST',
      22,
      `NEW_DEST ${SERVER}: EINVAL (errno 22); the address is not unicast here, or its family does not fit`,
    ],
    [
      'GUE',
      22,
      'NEW_DEST TCP 10.96.0.1:80 -> 10.0.0.4:80: EINVAL (errno 22); the address is not unicast here, or its family or tunnel does not fit',
    ],
    [
      'SET_DEST',
      34,
      `SET_DEST ${SERVER}: ERANGE (errno 34); the weight is negative, or the lower threshold is above the upper one`,
    ],
    ['SET_DEST', 2, `SET_DEST ${SERVER}: ENOENT (errno 2); there is no such real server`],
    ['DEL_DEST', 2, `DEL_DEST ${SERVER}: ENOENT (errno 2); there is no such real server`],
    ['SET_CONFIG', 22, 'SET_CONFIG: EINVAL (errno 22); a timeout is too large'],
    ['NEW_DAEMON', 17, 'NEW_DAEMON master on eth9: EEXIST (errno 17); a daemon of this role runs already'],
    ['NEW_DAEMON', 19, 'NEW_DAEMON master on eth9: ENODEV (errno 19); there is no such interface'],
    [
      'NEW_DAEMON',
      22,
      'NEW_DAEMON master on eth9: EINVAL (errno 22); the group is not multicast, or a real server of another family exists',
    ],
    [
      'NEW_DAEMON',
      101,
      'NEW_DAEMON master on eth9: ENETUNREACH (errno 101); the interface has no address or route to the group',
    ],
    ['DEL_DAEMON', 3, 'DEL_DAEMON backup: ESRCH (errno 3); no daemon of this role runs'],
    ['FLUSH', 1, `FLUSH: EPERM (errno 1); ${PRIVILEGE}`],
    ['NEW_DEST', 1, `NEW_DEST ${SERVER}: EPERM (errno 1); ${PRIVILEGE}`],
    ['NEW_DEST', 12, `NEW_DEST ${SERVER}: ENOMEM (errno 12)`],
  ])('%s with errno %i', async (name, errno, text) => {
    const operation = OPERATION[name];
    const { ipvs } = clientOf(refusing(errno));
    const [failure, ...others] = await ipvs.apply([operation]);
    expect(failure?.operation).toBe(operation);
    expect(failure?.error).toMatchObject({ code: 'KERNEL_REFUSED', errno, operation: operation.op });
    expect(failure?.error.message).toBe(text);
    expect(others).toEqual([]);
  });

  it.each(['timeouts', 'info'] as const)('an error when %s are asked for', (name) => {
    const { ipvs } = clientOf(refusing(1));
    expect(() => ipvs[name]()).toThrow(expect.objectContaining({ code: 'KERNEL_REFUSED', errno: 1 }));
    expect(() => ipvs[name]()).toThrow(PRIVILEGE);
  });

  it('an error when one service is asked for, unless it is only not there', () => {
    expect(clientOf(refusing(3)).ipvs.service(service)).toBeUndefined();
    expect(() => clientOf(refusing(1)).ipvs.service(service)).toThrow(
      `GET_SERVICE TCP 10.96.0.1:80: EPERM (errno 1); ${PRIVILEGE}`,
    );
  });

  it.each(['services', 'daemons'] as const)('an error when all %s are listed', async (name) => {
    await expect(clientOf(refusing(1)).ipvs[name]()).rejects.toMatchObject({ errno: 1 });
  });
});

describe('answers without data', () => {
  it('are protocol errors, never "there is none"', () => {
    const { ipvs } = clientOf(accepting);
    for (const ask of [() => ipvs.timeouts(), () => ipvs.info(), () => ipvs.service(service)])
      expect(ask).toThrow(
        expect.objectContaining({ code: 'KERNEL_PROTOCOL', message: expect.stringMatching(/without data$/) }),
      );
  });

  it('are not made up from messages of another type', () => {
    const { ipvs } = clientOf((request) => {
      const seq = seqsOf(request)[0]!;
      return [{ bytes: message(1, 0, seq, [12, 1, 0, 0]) }, { bytes: ack(seq, 0) }];
    });
    expect(() => ipvs.timeouts()).toThrow('GET_CONFIG: an answer without data');
  });
});

describe('a batch that could not be built', () => {
  const good = { op: 'NEW_DEST', service, destination } as const;
  const bad = { op: 'NEW_SERVICE', service: { ...service, scheduler: 'r\0r' } } as const;

  it('sends nothing, and leaves nothing for the next one', async () => {
    const { ipvs, sent } = clientOf(accepting);
    await expect(ipvs.apply([good, good, bad, good])).rejects.toThrow('not a kernel name');
    expect(sent).toEqual([]);
    expect(await ipvs.apply([{ op: 'FLUSH' }])).toEqual([]);
    expect(sent.map((request) => seqsOf(request).length)).toEqual([1]);
    expect(sent[0]?.[16]).toBe(17);
  });

  it('also when the operations themselves come to an end with an error', async () => {
    function* operations(): Generator<IpvsOperation> {
      yield good;
      throw new Error('no more');
    }
    const { ipvs, sent } = clientOf(refusing(17));
    await expect(ipvs.apply(operations())).rejects.toThrow('no more');
    const flush: IpvsOperation = { op: 'FLUSH' };
    expect((await ipvs.apply([flush])).map(({ operation }) => operation)).toEqual([flush]);
    expect(sent).toHaveLength(1);
  });
});

describe('sockets', () => {
  const opened = (answers: readonly ((request: Uint8Array) => Iterable<Answer>)[]) => {
    const transports: ScriptedTransport[] = [];
    const open = (): ScriptedTransport => {
      const answer = answers[transports.length];
      if (answer === undefined) throw new Error('no more sockets');
      const transport = new ScriptedTransport(answer);
      transports.push(transport);
      return transport;
    };
    return { transports, open };
  };
  const found = (request: Uint8Array): Answer[] => {
    const seq = seqsOf(request)[0]!;
    return [{ bytes: message(0x10, 0, seq, FAMILY_REPLY) }, { bytes: ack(seq, 0) }];
  };

  it.each([
    ['without IPVS', [refusing(2)], 'modprobe ip_vs'],
    ['that refuses the look-up', [refusing(1)], 'cannot look up the netlink family IPVS: EPERM'],
    ['that does not answer', [() => [{ errno: 105 }]], 'lost replies'],
    ['that answers without a number', [accepting], 'modprobe ip_vs'],
    ['with one descriptor left', [found], 'no more sockets'],
  ] as const)('are closed again on a kernel %s', (_, answers, text) => {
    const { transports, open } = opened(answers);
    expect(() => IpvsClient.open(open)).toThrow(text);
    expect(transports.map(({ isClosed }) => isClosed)).toEqual([true]);
  });

  it('are closed with the client', () => {
    const { transports, open } = opened([found, accepting]);
    IpvsClient.open(open).close();
    expect(transports.map(({ isClosed }) => isClosed)).toEqual([true, true]);
  });
});

describe('the services in pieces', () => {
  const GET_SERVICE = 4;

  it('have a socket of their own, from the first piece to the last or an early end', async () => {
    const transports: ScriptedTransport[] = [];
    const ipvs = IpvsClient.open(() => {
      const transport = new ScriptedTransport((request) => {
        const seq = seqsOf(request)[0]!;
        if (request[4] === 0x10)
          return [{ bytes: message(0x10, 0, seq, FAMILY_REPLY) }, { bytes: ack(seq, 0) }];
        return [{ bytes: message(3, 2, seq, [0, 0, 0, 0]) }];
      });
      transports.push(transport);
      return transport;
    });
    const pieces = ipvs.servicePieces();
    expect(transports).toHaveLength(2);
    expect(await pieces.next()).toEqual({ done: true, value: undefined });
    expect(transports).toHaveLength(3);
    expect(transports[2]?.sent.map((request) => request[16])).toEqual([GET_SERVICE]);
    expect(transports.map(({ isClosed }) => isClosed)).toEqual([false, false, true]);
    const unused = ipvs.servicePieces();
    await unused.return();
    expect(await unused.next()).toEqual({ done: true, value: undefined });
    expect(transports).toHaveLength(3);
  });

  it('end with the error of the listing', async () => {
    const pieces = clientOf(refusing(1)).ipvs.servicePieces();
    await expect(pieces.next()).rejects.toMatchObject({ code: 'KERNEL_REFUSED', errno: 1 });
  });
});

describe('a daemon that is stopped before it ran', () => {
  const GET_DAEMON = 11;
  const DONE = (seq: number): Uint8Array => message(3, 2, seq, [0, 0, 0, 0]);
  /** DEL_DAEMON stays without an answer; the daemons are then listed as `listed` says. */
  const silent =
    (listed: (seq: number) => Answer[]) =>
    (request: Uint8Array): Answer[] => {
      const seq = seqsOf(request)[0]!;
      if (request[16] === GET_DAEMON) return [...listed(seq), { bytes: DONE(seq) }];
      return request[16] === 10 ? [] : accepting(request);
    };

  it('is gone although the kernel does not answer, which is seen at once', async () => {
    const { ipvs, sent } = clientOf(silent(() => []));
    const startMs = performance.now();
    expect(await ipvs.apply([{ op: 'FLUSH' }, OPERATION.DEL_DAEMON, { op: 'FLUSH' }])).toEqual([]);
    expect(performance.now() - startMs).toBeLessThan(2000);
    expect(sent.map((request) => request[16])).toEqual([17, 10, GET_DAEMON, 17]);
  });

  it('is a failure when it runs on', async () => {
    const running = (seq: number): Answer[] => [{ bytes: recordedDaemon(seq) }];
    const { ipvs } = clientOf(silent(running));
    const failures = await ipvs.apply([OPERATION.DEL_DAEMON]);
    expect(failures.map(({ error }) => error.errnoName)).toEqual(['EINTR']);
  });
});

/** A backup daemon on eth0 as GET_DAEMON tells it. */
function recordedDaemon(seq: number): Uint8Array {
  const attribute = (type: number, payload: readonly number[]): number[] => [
    payload.length + 4,
    0,
    type,
    0,
    ...payload,
    ...Array.from({ length: (4 - (payload.length % 4)) % 4 }, () => 0),
  ];
  const daemon = [
    ...attribute(1, [2, 0, 0, 0]),
    ...attribute(2, [101, 116, 104, 48, 0]),
    ...attribute(3, [0, 0, 0, 0]),
    ...attribute(4, [0xc0, 5]),
    ...attribute(5, [224, 0, 0, 81]),
    ...attribute(7, [0x90, 0x22]),
    ...attribute(8, [1]),
  ];
  return message(30, 2, seq, [9, 1, 0, 0, ...attribute(3, daemon)]);
}
