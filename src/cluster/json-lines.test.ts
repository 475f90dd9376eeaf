// Lines out of chunks, wherever they are cut.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { hasCode } from '../model/errors.ts';
import { LineSplitter } from './json-lines.ts';

test('gives the same lines wherever the bytes are cut', () => {
  const line = fc.string({ unit: 'grapheme', maxLength: 20 }).map((text) => text.replaceAll('\n', '').trim());
  fc.assert(
    fc.property(
      fc.array(line),
      fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }),
      (lines, sizes) => {
        const bytes = Buffer.from(lines.map((each) => `${each}\n`).join(''));
        const splitter = new LineSplitter(1000);
        const found: string[] = [];
        for (let start = 0, turn = 0; start < bytes.length; turn++) {
          const end = start + (sizes[turn % sizes.length] ?? 1);
          found.push(...splitter.push(bytes.subarray(start, end)));
          start = end;
        }
        expect(found).toEqual(lines.filter((each) => each !== ''));
        expect(splitter.pendingBytes).toBe(0);
      },
    ),
  );
});

test('a line without an end is kept, and CR LF is an end', () => {
  const splitter = new LineSplitter(100);
  expect(splitter.push(Buffer.from('{"a":1}\r\n\r\n{"b"'))).toEqual(['{"a":1}']);
  expect(splitter.pendingBytes).toBe(4);
  expect(splitter.push(Buffer.from(':2}\n'))).toEqual(['{"b":2}']);
});

test.each([
  ['in one chunk', ['x'.repeat(11)]],
  ['in many', ['xxxx', 'xxxx', 'xxxx']],
  ['with its end', [`${'x'.repeat(11)}\n`]],
  ['ended by a later chunk', ['xxxxxxxxxx', 'x\n']],
])('refuses a line that is too long: %s', (_name, chunks) => {
  const splitter = new LineSplitter(10);
  const push = (): unknown => chunks.map((chunk) => splitter.push(Buffer.from(chunk)));
  expect(push).toThrow(/more than 10 bytes/);
  try {
    new LineSplitter(1).push(Buffer.from('xx'));
  } catch (error) {
    expect(hasCode(error, 'API_PROTOCOL')).toBe(true);
  }
});
