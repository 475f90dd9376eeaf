// Items out of a list that arrives in pieces: the same as JSON.parse finds in the whole, or an error.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ListSplitter } from './json-list.ts';

/** What the splitter makes of a text that comes in pieces of these sizes, in turns. */
function split(text: string, sizes: readonly number[] = [65_536], maxItemBytes = 1_000_000) {
  const bytes = Buffer.from(text);
  const splitter = new ListSplitter(maxItemBytes);
  const items: unknown[] = [];
  for (let start = 0, turn = 0; start < bytes.length; turn++) {
    const end = start + (sizes[turn % sizes.length] ?? 1);
    for (const item of splitter.push(bytes.subarray(start, end))) items.push(JSON.parse(item));
    start = end;
  }
  return { envelope: splitter.finish(), items };
}

describe('a list', () => {
  test('is the same in pieces as in one, whatever its items are and wherever they stand', () => {
    const value = fc.jsonValue({ maxDepth: 2 });
    const member = fc.tuple(fc.string({ unit: 'binary', maxLength: 8 }), value);
    const members = fc.array(member, { maxLength: 4 });
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 6 }),
        members,
        members,
        fc.constantFrom(0, 1, 2),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 5 }),
        (items, before, after, indent, sizes) => {
          const outer = (members: [string, unknown][]): object =>
            Object.fromEntries(members.filter(([name]) => name !== 'items' && name !== '__proto__'));
          const list = { kind: 'ServiceList', ...outer(before), items, ...outer(after) };
          const found = split(JSON.stringify(list, null, indent), sizes);
          expect(found.items).toEqual(JSON.parse(JSON.stringify(items)));
          expect(found.envelope).toEqual(JSON.parse(JSON.stringify({ ...list, items: [] })));
        },
      ),
      { numRuns: 50 },
    );
  });

  test.each([
    ['none', '{"kind":"ServiceList","metadata":{"resourceVersion":"1"}}', []],
    ['null', '{"kind":"ServiceList","items":null}', []],
    ['empty', '{"kind":"ServiceList","items":[ ]}', []],
    ['brackets in texts', '{"items":[{"a":"]}[{\\"]"},{"b":"\\\\"}]}', [{ a: ']}[{"]' }, { b: '\\' }]],
    [
      'items of other things',
      '{"metadata":{"items":[1]},"x":["items",[2]],"items":[3,null,"4",[5]]}',
      [3, null, '4', [5]],
    ],
  ])('with items: %s', (_name, text, expected) => {
    expect(split(text).items).toEqual(expected);
    expect(split(text, [1]).items).toEqual(expected);
  });

  test.each([
    ['nothing', ''],
    ['half of it', '{"kind":"ServiceList","items":[{"a":1}'],
    ['all but its end', '{"kind":"ServiceList","items":[{"a":1}]'],
    ['two', '{"items":[]}{"items":[]}'],
    ['HTML', '<html><body>no</body></html>'],
    ['a number', '5'],
    ['brackets that do not match', '{"items":[]]'],
  ])('that is none is refused: %s', (_name, text) => {
    expect(() => split(text)).toThrow(/no JSON object/);
  });

  test('with an item that is too large is refused, as soon as that is known', () => {
    const splitter = new ListSplitter(100);
    splitter.push(Buffer.from('{"items":[{"a":"'));
    expect(() => {
      for (let each = 0; each < 20; each++) splitter.push(Buffer.from('x'.repeat(10)));
    }).toThrow(/more than 100 bytes/);
  });

  test('with a megabyte around its items is refused', () => {
    const text = `{"kind":"${'x'.repeat(1 << 20)}","items":[]}`;
    expect(() => split(text)).toThrow(/around its items/);
  });
});
