import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PointsmanError } from '../model/errors.ts';
import { AttributeTable, MessageWriter, visitAttributes, visitMessages } from './wire.ts';

interface Seen {
  type: number;
  flags: number;
  seq: number;
  payload: number[];
}

function messagesOf(bytes: Uint8Array, length = bytes.length): Seen[] {
  const seen: Seen[] = [];
  visitMessages(bytes, length, ({ type, flags, seq, payloadStart, payloadEnd }) =>
    seen.push({ type, flags, seq, payload: [...bytes.subarray(payloadStart, payloadEnd)] }),
  );
  return seen;
}

const written = (writer: MessageWriter): Uint8Array => writer.bytes.subarray(0, writer.length);

describe('MessageWriter', () => {
  it('lays out a message as the kernel header says', () => {
    const writer = new MessageWriter(256);
    writer.begin(0x0102, 0x0305, 7);
    writer.attrU8(1, 0xab);
    writer.attrU16Be(2, 0x1234);
    writer.attrString(3, 'rr');
    writer.end();
    expect(Buffer.from(written(writer)).toString('hex')).toBe(
      [
        '28000000',
        '0201',
        '0503',
        '07000000',
        '00000000',
        '05000100ab000000',
        '0600020012340000',
        '0700030072720000',
      ].join(''),
    );
  });

  it.each([
    ['attrU8', 255],
    ['attrU16', 65535],
    ['attrU16Be', 65534],
    ['attrU32', 0xfffffffe],
    ['attrU32Be', 0xfffffffd],
  ] as const)('writes %s so that the table reads the same number', (method, value) => {
    const writer = new MessageWriter(64);
    writer.begin(1, 0, 1);
    writer[method](5, value);
    writer.end();
    const table = new AttributeTable('test', 5).parse(writer.bytes, 16, writer.length);
    const read = method.slice(4).replace(/^U/, 'u') as 'u8' | 'u16' | 'u16Be' | 'u32' | 'u32Be';
    expect(table[read](5)).toBe(value);
  });

  it('writes text of any characters as UTF-8 with its end, but not one with an end inside', () => {
    const writer = new MessageWriter(64);
    writer.begin(1, 0, 1);
    writer.attrText(1, 'a ☃');
    writer.end();
    expect([...writer.bytes.subarray(16, writer.length)]).toEqual([
      10, 0, 1, 0, 97, 32, 0xe2, 0x98, 0x83, 0, 0, 0,
    ]);
    writer.begin(1, 0, 1);
    expect(() => writer.attrText(1, 'a\0b')).toThrow('not a kernel name');
  });

  it('drops a message whose encoder threw when the next one begins', () => {
    const writer = new MessageWriter(256);
    writer.begin(1, 0, 1);
    writer.end();
    writer.begin(2, 0, 2);
    expect(() => writer.attrString(1, 'snow\u2603')).toThrow('not a kernel name');
    writer.begin(3, 0, 3);
    writer.attrFlag(1);
    writer.end();
    expect(messagesOf(written(writer)).map(({ type }) => type)).toEqual([1, 3]);
  });

  it('leaves no old bytes in the padding when the buffer is used again', () => {
    const writer = new MessageWriter(64);
    writer.bytes.fill(0xff);
    writer.begin(1, 0, 1);
    writer.attrU8(1, 1);
    writer.end();
    expect([...writer.bytes.subarray(20, 24)]).toEqual([1, 0, 0, 0]);
  });

  it.each([
    ['a message past the capacity', (writer: MessageWriter) => writer.attrBytes(1, new Uint8Array(64))],
    [
      'a payload whose length would wrap',
      (writer: MessageWriter) => writer.attrBytes(1, new Uint8Array(65532)),
    ],
  ])('throws RangeError for %s', (_, write) => {
    const writer = new MessageWriter(64);
    writer.begin(1, 0, 1);
    expect(() => write(writer)).toThrow(RangeError);
  });

  it('throws RangeError for a nest whose length would wrap', () => {
    const writer = new MessageWriter(1 << 18);
    writer.begin(1, 0, 1);
    const nest = writer.beginNest(1);
    for (let i = 0; i < 3; i++) writer.attrBytes(1, new Uint8Array(30_000));
    expect(() => writer.endNest(nest)).toThrow(RangeError);
  });

  it('gives back through visitMessages and visitAttributes whatever was written', () => {
    const attribute = fc.record({
      type: fc.integer({ min: 1, max: 40 }),
      payload: fc.uint8Array({ maxLength: 40 }),
    });
    const anyMessage = fc.record({
      type: fc.integer({ min: 0, max: 0xffff }),
      seq: fc.integer({ min: 0, max: 0xffffffff }),
      attributes: fc.array(attribute, { maxLength: 5 }),
    });
    fc.assert(
      fc.property(fc.array(anyMessage, { maxLength: 8 }), (batch) => {
        const writer = new MessageWriter(1 << 14);
        for (const one of batch) {
          writer.begin(one.type, 1, one.seq);
          for (const { type, payload } of one.attributes) writer.attrBytes(type, payload);
          writer.end();
        }
        const bytes = written(writer);
        const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        const read: unknown[] = [];
        visitMessages(bytes, bytes.length, ({ type, seq, payloadStart, payloadEnd }) => {
          const attributes: unknown[] = [];
          visitAttributes(view, payloadStart, payloadEnd, 'test', (attributeType, from, to) =>
            attributes.push({ type: attributeType, payload: [...bytes.subarray(from, to)] }),
          );
          read.push({ type, seq, attributes });
        });
        const expected = batch.map(({ type, seq, attributes }) => ({
          type,
          seq,
          attributes: attributes.map((one) => ({ type: one.type, payload: [...one.payload] })),
        }));
        expect(read).toEqual(expected);
      }),
    );
  });
});

describe('reading', () => {
  it.each([
    ['a header that is cut', '1000000001000000', /behind the last message/],
    ['a length under the header', '0f000000010000000000000000000000', /message length 15/],
    ['a length past the end', '11000000010000000000000000000000', /message length 17/],
    ['a length of 4 GiB', 'ffffffff010000000000000000000000', /message length 4294967295/],
  ])('refuses %s', (_, hex, text) => {
    expect(() => messagesOf(Uint8Array.from(Buffer.from(hex, 'hex')))).toThrow(text);
  });

  it.each([
    ['shorter than its header', '03000100', /attribute length 3/],
    ['longer than its place', '0900010000000000', /attribute length 9/],
  ])('refuses an attribute that is %s', (_, hex, text) => {
    const bytes = Uint8Array.from(Buffer.from(hex, 'hex'));
    expect(() => new AttributeTable('thing', 3).parse(bytes, 0, bytes.length)).toThrow(text);
  });

  it('says which attribute is missing or short, instead of reading next to it', () => {
    const bytes = Uint8Array.from(Buffer.from('050001007f000000', 'hex'));
    const table = new AttributeTable('thing', 3).parse(bytes, 0, bytes.length);
    expect(table.u8(1)).toBe(0x7f);
    expect(() => table.u32(1)).toThrow('thing: attribute 1 has 1 bytes instead of 4');
    expect(() => table.u32(2)).toThrow('thing lacks attribute 2');
    expect(() => table.string(99)).toThrow('thing lacks attribute 99');
  });

  it('forgets the attributes of the message before', () => {
    const bytes = Uint8Array.from(Buffer.from('050001007f00000005000200ff000000', 'hex'));
    const table = new AttributeTable('thing', 3).parse(bytes, 0, 8);
    table.parse(bytes, 8, 16);
    expect([table.has(1), table.has(2)]).toEqual([false, true]);
  });

  it('takes arbitrary bytes with a value or a KERNEL_PROTOCOL error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(80), (bytes, cut) => {
        const length = Math.min(cut, bytes.length);
        try {
          messagesOf(bytes, length);
          const table = new AttributeTable('thing', 4).parse(bytes, 0, length);
          for (let type = 0; type < 6; type++) if (table.has(type)) table.string(type);
        } catch (error) {
          expect(error).toBeInstanceOf(PointsmanError);
          expect(error).toMatchObject({ code: 'KERNEL_PROTOCOL' });
        }
      }),
    );
  });
});
