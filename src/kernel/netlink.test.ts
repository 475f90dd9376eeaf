import { describe, expect, it } from 'vitest';
import {
  ack,
  datagram,
  done,
  message,
  ScriptedTransport,
  seqOf,
  seqsOf,
  type Answer,
} from '../../test/kernel/scripted-transport.ts';
import { NetlinkSocket, NLM_F_ACK } from './netlink.ts';
import { type DataMessage } from './netlink-transport.ts';
import { drainNotifications } from './netlink-monitor.ts';
import { protocolError } from './wire.ts';

const EBUSY = 16;
const EINVAL = 22;
const ENOBUFS = 105;
const NLM_F_DUMP_INTR = 0x10;
const DATA = 100;

function socketOf(answer: (request: Uint8Array, index: number) => Iterable<Answer>): {
  socket: NetlinkSocket;
  transport: ScriptedTransport;
} {
  const transport = new ScriptedTransport(answer);
  return { socket: new NetlinkSocket(transport, { timeoutMs: 50 }), transport };
}

function batchOf(socket: NetlinkSocket, count: number): void {
  for (let i = 0; i < count; i++) {
    socket.begin(DATA, 0).attrU32(1, i);
    socket.end();
  }
}

/** A datagram of data messages whose payload is one byte each. */
function data(seq: number, values: readonly number[], flags = 2): { bytes: Uint8Array } {
  return { bytes: datagram(...values.map((value) => message(DATA, flags, seq, [value]))) };
}

const firstByte = ({ bytes, header }: DataMessage): number => bytes[header.payloadStart] ?? -1;

function dumpNumbers(socket: NetlinkSocket): Promise<number[]> {
  return socket.dump(DATA, () => {}, firstByte, 'numbers');
}

describe('a batch', () => {
  it('asks for one acknowledgement, on its last message', () => {
    const { socket, transport } = socketOf((request) => [{ bytes: ack(seqsOf(request).at(-1) ?? 0) }]);
    batchOf(socket, 3);
    expect(socket.flush()).toEqual([]);
    const [request = new Uint8Array()] = transport.sent;
    const flags = seqsOf(request).map(
      (_, i) => new DataView(request.buffer).getUint16(i * 24 + 6, true) & NLM_F_ACK,
    );
    expect(flags).toEqual([0, 0, NLM_F_ACK]);
  });

  it('reports every refused request with its index, and the last one too', () => {
    const { socket } = socketOf((request) => {
      const seqs = seqsOf(request);
      return [{ bytes: ack(seqs[1] ?? 0, -EBUSY) }, { bytes: ack(seqs[3] ?? 0, -EINVAL) }];
    });
    batchOf(socket, 4);
    expect(socket.flush()).toMatchObject([
      { index: 1, errno: EBUSY },
      { index: 3, errno: EINVAL },
    ]);
  });

  it("hands over the kernel's words, and the request where the kernel sends it back", () => {
    const { socket } = socketOf((request) => {
      const [first = 0, second = 0] = seqsOf(request);
      const status = [0xea, 0xff, 0xff, 0xff];
      const words = [...status, ...new Uint8Array(16), 8, 0, 1, 0, 0x6e, 0x6f, 0x21, 0];
      const echo = [...status, ...new Uint8Array(16), 1, 2, 3, 4];
      return [{ bytes: message(2, 0x300, first, words) }, { bytes: message(2, 0, second, echo) }];
    });
    batchOf(socket, 2);
    expect(socket.flush()).toEqual([
      { index: 0, errno: EINVAL, text: 'no!' },
      { index: 1, errno: EINVAL, text: '', echo: Uint8Array.of(1, 2, 3, 4) },
    ]);
  });

  it('reports all requests when send() itself fails, because the kernel saw none', () => {
    const { socket, transport } = socketOf(() => []);
    transport.sendErrno = 90;
    batchOf(socket, 2);
    expect(socket.flush()).toMatchObject([
      { index: 0, errno: 90 },
      { index: 1, errno: 90 },
    ]);
  });

  it('skips stale replies and other senders', () => {
    const { socket } = socketOf((request) => [
      { bytes: ack(seqOf(request) - 1, -EBUSY) },
      { bytes: ack(seqOf(request), -EBUSY), port: 4711 },
      { bytes: ack(seqOf(request)) },
    ]);
    batchOf(socket, 1);
    socket.flush();
    batchOf(socket, 1);
    expect(socket.flush()).toEqual([]);
  });

  it.each([
    ['nothing at all', () => [], 'KERNEL_TIMEOUT'],
    [
      'only an acknowledgement of another request',
      (seq: number) => [{ bytes: ack(seq + 1000) }],
      'KERNEL_TIMEOUT',
    ],
    ['only datagrams of another process', (seq: number) => [{ bytes: ack(seq), port: 9 }], 'KERNEL_TIMEOUT'],
    [
      'an endless stream for somebody else',
      (seq: number) => endless({ bytes: ack(seq + 1000) }, 30_000),
      'KERNEL_TIMEOUT',
    ],
    [
      'an endless stream of another process',
      (seq: number) => endless({ bytes: ack(seq), port: 9 }, 30_000),
      'KERNEL_TIMEOUT',
    ],
    ['ENOBUFS', () => [{ errno: ENOBUFS }], 'KERNEL_OVERRUN'],
    ['NLMSG_OVERRUN', (seq: number) => [{ bytes: message(4, 0, seq) }], 'KERNEL_OVERRUN'],
    ['EBADF', () => [{ errno: 9 }], 'KERNEL_REFUSED'],
    ['a truncated datagram', (seq: number) => [{ bytes: ack(seq), size: 70_000 }], 'KERNEL_PROTOCOL'],
    ['a datagram that is cut', (seq: number) => [{ bytes: ack(seq).subarray(0, 30) }], 'KERNEL_PROTOCOL'],
    [
      'bytes behind the last message',
      (seq: number) => [{ bytes: datagram(ack(seq + 9), Uint8Array.of(1)) }],
      'KERNEL_PROTOCOL',
    ],
    [
      'an acknowledgement without a status',
      (seq: number) => [{ bytes: message(2, 0, seq) }],
      'KERNEL_PROTOCOL',
    ],
    ['empty datagrams', () => [{ bytes: new Uint8Array() }], 'KERNEL_TIMEOUT'],
  ] as const)('answered with %s throws a typed error, and the next batch is answered', (_, answers, code) => {
    let isHostile = true;
    const { socket } = socketOf((request) =>
      isHostile ? answers(seqOf(request)) : [{ bytes: ack(seqOf(request)) }],
    );
    batchOf(socket, 1);
    expect(() => socket.flush()).toThrow(expect.objectContaining({ code }));
    isHostile = false;
    batchOf(socket, 1);
    // What is left of a long stream still lies in the socket, and is read through.
    expect(socket.flush()).toEqual([]);
  });

  it('is full by bytes, by messages and where the sequence number wraps, never while empty', () => {
    const { socket } = socketOf((request) => [{ bytes: ack(seqsOf(request).at(-1) ?? 0) }]);
    expect(socket.isFull).toBe(false);
    let count = 0;
    for (; !socket.isFull; count++) batchOf(socket, 1);
    expect(count).toBe(Math.ceil(16384 / 24));
    expect(socket.flush()).toEqual([]);
    expect(socket.isFull).toBe(false);
  });

  it('is not harmed by a request whose encoder threw', () => {
    const { socket, transport } = socketOf((request) => [{ bytes: ack(seqsOf(request).at(-1) ?? 0) }]);
    batchOf(socket, 1);
    expect(() => socket.begin(DATA, 0).attrString(1, '\n\u0000')).toThrow('not a kernel name');
    batchOf(socket, 1);
    expect(socket.flush()).toEqual([]);
    expect(seqsOf(transport.sent[0] ?? new Uint8Array())).toHaveLength(2);
  });
});

function* endless(answer: Answer, count: number): Generator<Answer> {
  for (let i = 0; i < count; i++) yield answer;
}

describe('a dump', () => {
  it('gathers values over datagrams until the kernel says done', async () => {
    const { socket } = socketOf((request) => {
      const seq = seqOf(request);
      return [
        data(seq, [1, 2]),
        data(seq, [3]),
        data(seq + 5, [99]),
        { bytes: datagram(message(DATA, 2, seq, [4]), done(seq)) },
      ];
    });
    expect(await dumpNumbers(socket)).toEqual([1, 2, 3, 4]);
  });

  it('is repeated while the kernel says that it was interrupted', async () => {
    const { socket, transport } = socketOf((request, index) => {
      const seq = seqOf(request);
      return index < 2
        ? [data(seq, [7], 2 | NLM_F_DUMP_INTR), { bytes: done(seq) }]
        : [data(seq, [8]), { bytes: done(seq) }];
    });
    expect(await dumpNumbers(socket)).toEqual([8]);
    expect(transport.sent).toHaveLength(3);
  });

  it('is given up when it is interrupted at every try', async () => {
    const { socket, transport } = socketOf((request) => [
      data(seqOf(request), [7], 2 | NLM_F_DUMP_INTR),
      { bytes: done(seqOf(request)) },
    ]);
    await expect(dumpNumbers(socket)).rejects.toMatchObject({ code: 'DUMP_INTERRUPTED' });
    expect(transport.sent).toHaveLength(6);
  });

  it('reports an errno at its end as a KernelError and needs no new socket', async () => {
    const { socket, transport } = socketOf((request) => [
      data(seqOf(request), [1]),
      { bytes: done(seqOf(request), -2) },
    ]);
    await expect(dumpNumbers(socket)).rejects.toMatchObject({
      name: 'KernelError',
      errno: 2,
      errnoName: 'ENOENT',
      object: 'numbers',
    });
    expect(transport.reopened).toBe(0);
  });

  it.each([
    ['silence', () => [], 'KERNEL_TIMEOUT'],
    ['silence in the middle', (seq: number) => [data(seq, [1])], 'KERNEL_TIMEOUT'],
    ['ENOBUFS', () => [{ errno: ENOBUFS }], 'KERNEL_OVERRUN'],
    ['NLMSG_OVERRUN', (seq: number) => [{ bytes: message(4, 0, seq) }], 'KERNEL_OVERRUN'],
    [
      'a datagram that is cut',
      (seq: number) => [{ bytes: data(seq, [1]).bytes.subarray(0, 14) }],
      'KERNEL_PROTOCOL',
    ],
    [
      'an endless stream for somebody else',
      (seq: number) => endless(data(seq + 1, [1]), 30_000),
      'KERNEL_TIMEOUT',
    ],
  ] as const)('that meets %s throws a typed error and leaves a fresh socket', async (_, answers, code) => {
    let isHostile = true;
    const { socket, transport } = socketOf((request) =>
      isHostile ? answers(seqOf(request)) : [data(seqOf(request), [5]), { bytes: done(seqOf(request)) }],
    );
    await expect(dumpNumbers(socket)).rejects.toMatchObject({ code });
    expect(transport.reopened).toBe(1);
    isHostile = false;
    expect(await dumpNumbers(socket)).toEqual([5]);
  });

  it('that cannot be decoded leaves a fresh socket, as the kernel would answer EBUSY on the old one', async () => {
    const { socket, transport } = socketOf((request) => [
      data(seqOf(request), [1]),
      data(seqOf(request), [2]),
      { bytes: done(seqOf(request)) },
    ]);
    const decode = (): never => {
      throw protocolError('a test');
    };
    await expect(socket.dump(DATA, () => {}, decode, 'numbers')).rejects.toMatchObject({
      code: 'KERNEL_PROTOCOL',
    });
    expect(transport.reopened).toBe(1);
    expect(await dumpNumbers(socket)).toEqual([1, 2]);
  });

  it('waits for the one before it, also when that fails', async () => {
    const { socket } = socketOf((request, index) => {
      const seq = seqOf(request);
      // More datagrams than are handed over in one turn, so that the dumps would run into each other.
      const many = Array.from({ length: 9 }, () => data(seq, [index]));
      return [...many, index === 0 ? { errno: ENOBUFS } : { bytes: done(seq) }];
    });
    const outcomes = await Promise.allSettled([
      dumpNumbers(socket),
      dumpNumbers(socket),
      dumpNumbers(socket),
    ]);
    expect(outcomes).toMatchObject([
      { status: 'rejected', reason: { code: 'KERNEL_OVERRUN' } },
      { status: 'fulfilled', value: Array.from({ length: 9 }, () => 1) },
      { status: 'fulfilled', value: Array.from({ length: 9 }, () => 2) },
    ]);
  });
});

describe('a paced dump', () => {
  const paced = (socket: NetlinkSocket): AsyncGenerator<number[], boolean, void> =>
    socket.dumpPaced(DATA, () => {}, firstByte, 'numbers');
  /** Answers of a dump; `taken` counts the datagrams that were received. */
  function counted(answers: (seq: number) => Iterable<Answer>) {
    const taken = { count: 0 };
    const { socket, transport } = socketOf(function* (request) {
      for (const answer of answers(seqOf(request))) {
        taken.count++;
        yield answer;
      }
    });
    return { socket, transport, taken };
  }

  it('receives a datagram only when its piece is asked for, and closes the socket behind the last', async () => {
    const { socket, transport, taken } = counted((seq) => [
      data(seq, [1, 2]),
      data(seq, [3]),
      data(seq + 5, [99]),
      { bytes: datagram(message(DATA, 2, seq, [4]), done(seq)) },
    ]);
    const pieces = paced(socket);
    expect([transport.sent.length, taken.count]).toEqual([0, 0]);
    expect(await pieces.next()).toEqual({ done: false, value: [1, 2] });
    let turns = 0;
    setImmediate(() => turns++);
    expect([taken.count, transport.isClosed]).toEqual([1, false]);
    expect(await pieces.next()).toEqual({ done: false, value: [3] });
    expect([taken.count, turns]).toEqual([2, 1]);
    expect(await pieces.next()).toEqual({ done: false, value: [4] });
    expect(await pieces.next()).toEqual({ done: true, value: true });
    expect([transport.isClosed, transport.sent.length]).toEqual([true, 1]);
  });

  it('of nothing has no piece', async () => {
    const { socket, transport } = counted((seq) => [{ bytes: done(seq) }]);
    expect(await paced(socket).next()).toEqual({ done: true, value: true });
    expect(transport.isClosed).toBe(true);
  });

  it('that ends early closes the socket, and opens none', async () => {
    const { socket, transport, taken } = counted((seq) => [
      data(seq, [1]),
      data(seq, [2]),
      { bytes: done(seq) },
    ]);
    for await (const piece of paced(socket)) {
      expect(piece).toEqual([1]);
      break;
    }
    expect([transport.isClosed, transport.reopened, taken.count]).toEqual([true, 0, 1]);
  });

  it('that was interrupted goes on to its end and says so there', async () => {
    const { socket, transport } = counted((seq) => [
      data(seq, [1], 2 | NLM_F_DUMP_INTR),
      data(seq, [2]),
      { bytes: done(seq) },
    ]);
    const pieces = paced(socket);
    expect([await pieces.next(), await pieces.next()].map(({ value }) => value)).toEqual([[1], [2]]);
    expect(await pieces.next()).toEqual({ done: true, value: false });
    expect(transport.sent).toHaveLength(1);
  });

  it.each([
    ['silence', () => [], 'KERNEL_TIMEOUT'],
    ['ENOBUFS', () => [{ errno: ENOBUFS }], 'KERNEL_OVERRUN'],
    ['an errno at the end', (seq: number) => [{ bytes: done(seq, -ENOBUFS) }], 'KERNEL_REFUSED'],
    ['a datagram that is cut', (seq: number) => [{ bytes: done(seq).subarray(0, 14) }], 'KERNEL_PROTOCOL'],
  ] as const)(
    'that meets %s behind a piece throws a typed error and closes the socket',
    async (_, answers, code) => {
      const { socket, transport } = counted((seq) => [data(seq, [1]), ...answers(seq)]);
      const pieces = paced(socket);
      expect(await pieces.next()).toEqual({ done: false, value: [1] });
      await expect(pieces.next()).rejects.toMatchObject({ code });
      expect(transport.isClosed).toBe(true);
      expect(await pieces.next()).toEqual({ done: true, value: undefined });
    },
  );
});

describe('notifications', () => {
  function drain(answers: readonly Answer[]): { seen: number[]; lost: string[]; stops: number } {
    const transport = new ScriptedTransport(() => answers);
    transport.send(new Uint8Array(0), 0);
    const seen: number[] = [];
    const lost: string[] = [];
    let stops = 0;
    drainNotifications(
      transport,
      new Uint8Array(65536),
      (one) => {
        const value = firstByte(one);
        if (value === 13) throw protocolError('thirteen');
        seen.push(value);
      },
      (why, isStopped) => {
        lost.push(why);
        if (isStopped) stops++;
      },
    );
    return { seen, lost, stops };
  }

  it.each<[string, Answer[], { seen: number[]; lost: string[]; stops: number }]>([
    ['are handed over in order', [data(0, [1, 2]), data(0, [3])], { seen: [1, 2, 3], lost: [], stops: 0 }],
    [
      'of other senders are passed over',
      [{ ...data(0, [1]), port: 5 }, data(0, [2])],
      { seen: [2], lost: [], stops: 0 },
    ],
    [
      'lost to ENOBUFS are told of once, when the queue is empty',
      [data(0, [1]), { errno: ENOBUFS }, data(0, [2])],
      { seen: [1], lost: ['ENOBUFS'], stops: 1 },
    ],
    ['end at another errno', [{ errno: 9 }, data(0, [2])], { seen: [], lost: ['EBADF'], stops: 1 }],
    [
      'that are truncated count as lost',
      [{ ...data(0, [1]), size: 70_000 }, data(0, [2])],
      { seen: [2], lost: ['truncated'], stops: 0 },
    ],
    [
      'lost inside the kernel count as lost',
      [{ bytes: message(4, 0, 0) }],
      { seen: [], lost: ['NLMSG_OVERRUN'], stops: 0 },
    ],
  ])('%s', (_, answers, expected) => {
    expect(drain(answers)).toEqual(expected);
  });

  it('that cannot be decoded count as lost, and later ones are still seen', () => {
    const { seen, lost } = drain([data(0, [1, 13, 2]), { bytes: Uint8Array.of(1, 2, 3) }, data(0, [4])]);
    expect(seen).toEqual([1, 4]);
    expect(lost).toHaveLength(2);
  });

  it('are taken at most 64 datagrams at a time', () => {
    expect(drain(Array.from({ length: 100 }, () => data(0, [1]))).seen).toHaveLength(64);
  });
});
