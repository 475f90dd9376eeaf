// YAML and JSON texts: what is read, every mistake with its place, and hostile texts (bombs, depth, quadratic traps). No text may throw
// anything but DocumentError, or take more than linear time.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  decodeText,
  DEFAULT_DOCUMENT_LIMITS,
  DocumentError,
  formatPath,
  LineIndex,
  type DocumentLimits,
} from './document.ts';
import { jsonDocument } from './json-document.ts';
import { nearestWord } from './nearest.ts';
import { yamlDocuments } from './yaml-documents.ts';

const LIMITS: DocumentLimits = { ...DEFAULT_DOCUMENT_LIMITS, maxValues: 100_000 };

const readYaml = (text: string, limits = LIMITS): unknown[] =>
  [...yamlDocuments(text, limits)].map(({ value }) => value);

/** "line:column message" of the mistake in a text; the values when there is none. */
function mistakeOf(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    return `${error.position.line}:${error.position.column} ${error.message}`;
  }
}

describe('yamlDocuments', () => {
  const repeat = (count: number, make: (index: number) => string): string =>
    Array.from({ length: count }, (_, i) => make(i)).join('');
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${repeat(9, (i) => `${'bcdefghij'[i]}: &${'bcdefghij'[i]} [${Array(9).fill(`*${'abcdefghi'[i]}`).join(',')}]\n`)}`;

  test.each<[name: string, text: string, values: unknown[]]>([
    ['an empty text', '', []],
    ['comments only', '# hi\n---\n# there\n', [null]],
    ['several documents', 'a: 1\n---\nb: 2\n...\n---\nc: 3\n', [{ a: 1 }, { b: 2 }, { c: 3 }]],
    ['a byte order mark', '\ufeffa: 1', [{ a: 1 }]],
    ['Windows line ends', 'a: 1\r\nb:\r\n- 2\r\n', [{ a: 1, b: [2] }]],
    ['JSON', '{"a": [true, null, "x"]}', [{ a: [true, null, 'x'] }]],
    ['aliases and anchors', 'a: &x {b: 1}\nc: *x', [{ a: { b: 1 }, c: { b: 1 } }]],
    ['an anchor given twice', '- &x 1\n- *x\n- &x 2\n- *x', [[1, 1, 2, 2]]],
    [
      'merge keys, own keys first',
      'a: &x {b: 1, c: 2}\nd: {<<: *x, b: 3}',
      [{ a: { b: 1, c: 2 }, d: { b: 3, c: 2 } }],
    ],
    ['a list of merged maps, the first first', 'a: {<<: [{b: 1}, {b: 2, c: 3}]}', [{ a: { b: 1, c: 3 } }]],
    ['keys that are numbers', '80: a\n0x10: b', [{ '80': 'a', '0x10': 'b' }]],
    [
      'YAML 1.1 as text, not as dates and sets',
      '%YAML 1.1\n---\na: 2001-01-01\nb: yes',
      [{ a: '2001-01-01', b: 'yes' }],
    ],
  ])('reads %s', (_name, text, values) => expect(readYaml(text)).toEqual(values));

  test.each<[name: string, text: string, mistake: string | RegExp]>([
    ['tabs as indentation', 'a:\n\tb: 1', /^2:1 not valid YAML: tabs/],
    ['an open quote', 'a: "x\nb: 1\n', /^3:1 not valid YAML: missing closing/],
    ['an open bracket', 'a: [1, 2\nb: 3', /not valid YAML/],
    ['a duplicate key', 'a: 1\nb: 2\na: 3', '3:1 the key "a" is there twice'],
    ['a duplicate key deep inside', 'a:\n- {b: 1, b: 2}', '2:10 the key "b" is there twice'],
    ['an unknown alias', 'a: *nope', /^1:4 /],
    ['an alias inside its own anchor', '&a [*a, *a]', '1:5 *a stands inside what it refers to'],
    ['a map as a key', '? {a: 1}\n: 2', '1:1 a key is no plain text'],
    ['merging a scalar', 'a: {<<: 3}', '1:9 << merges something that is no map'],
    ['an alias bomb', bomb, /more than 100000 values/],
    [
      'a merge bomb',
      `a: &a {${repeat(100, (i) => `k${i}: 1,`)}}\nb:\n${repeat(2000, () => '- {<<: *a}\n')}`,
      /more than 100000 values/,
    ],
    ['deep brackets', '['.repeat(10_000), /nested too deeply/],
    ['deep braces', '{a: '.repeat(10_000), /nested too deeply/],
    ['deep lists', `${'- '.repeat(10_000)}a`, /nested too deeply/],
    ['more levels than allowed', `${'['.repeat(65)}${']'.repeat(65)}`, /nested deeper than 64 levels/],
    ['text that is no YAML at all', '}'.repeat(300_000), /^1:1 not valid YAML/],
  ])('refuses %s, with the place', (_name, text, mistake) => {
    const found = mistakeOf(() => readYaml(text));
    if (typeof mistake === 'string') expect(found).toBe(mistake);
    else expect(found).toMatch(mistake);
  });

  test('refuses more documents than allowed', () => {
    expect(readYaml('---\n1\n---\n2', { ...LIMITS, maxDocuments: 2 })).toEqual([1, 2]);
    expect(mistakeOf(() => readYaml('---\n1\n---\n2\n---\n3', { ...LIMITS, maxDocuments: 2 }))).toMatch(
      /^5:\d there are more than 2 documents/,
    );
  });

  test('makes "__proto__" an ordinary member', () => {
    const [value] = readYaml('__proto__: {polluted: 1}\na: {<<: {__proto__: {polluted: 2}}}') as [
      Record<string, unknown>,
    ];
    expect(Object.hasOwn(value, '__proto__')).toBe(true);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
  });

  test('takes time in proportion to the text, also for maps with many keys', () => {
    // Of this process alone, and the best of some tries: other programs take turns on this machine.
    const workOf = (keys: number): number => {
      const text = repeat(keys, (i) => `k${i}: 1\n`);
      const tries = Array.from({ length: 4 }, () => {
        const before = process.cpuUsage();
        readYaml(text);
        return process.cpuUsage(before).user;
      });
      return Math.min(...tries);
    };
    // Ten times the keys take ten times the work; a quadratic check would take a hundred times.
    expect(workOf(20_000)).toBeLessThan(60 * Math.max(workOf(2000), 2000));
  });

  test('reads back any JSON value, and never throws anything but DocumentError', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5 }), (value) => {
        expect(readYaml(JSON.stringify(value))).toEqual([JSON.parse(JSON.stringify(value))]);
      }),
    );
    const fragment = fc.constantFrom(
      'a',
      ':',
      ' ',
      '\n',
      '- ',
      '{',
      '}',
      '[',
      ']',
      '"',
      "'",
      '&a ',
      '*a',
      '<<: ',
      '#',
      '|',
      '>',
      '%',
      '!',
      '?',
      '\t',
      '---\n',
      '0',
      ',',
      '\0',
      '\ufeff',
    );
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.array(fragment, { maxLength: 40 }).map((parts) => parts.join('')),
        ),
        (text) => {
          mistakeOf(() => readYaml(text));
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('locate', () => {
  const yaml = 'kind: List\nitems:\n- a: &x\n    b: 1\n    c:\n- *x\n';
  const json = '{"kind": "List",\n "items": [\n  {"x": "}"},\n  {"b": {"c": [1, 2]}, "b": {"c": [1,\n 2]}}]}';
  test.each([
    ['YAML, a scalar', yaml, ['items', 0, 'a', 'b'], 4, 8],
    ['YAML, a key without a value', yaml, ['items', 0, 'a', 'c'], 5, 5],
    ['YAML, through an alias', yaml, ['items', 1, 'b'], 4, 8],
    ['YAML, the part around what is missing', yaml, ['items', 0, 'zzz', 'y'], 3, 3],
    ['YAML, the whole', yaml, [], 1, 1],
    ['JSON, the last of two equal keys', json, ['items', 1, 'b', 'c', 1], 5, 2],
    ['JSON, the part around what is missing', json, ['items', 0, 'nope'], 3, 3],
    ['JSON, an index beyond the end', json, ['items', 7], 2, 11],
    ['JSON, the whole', json, [], 1, 1],
  ])('%s', (_name, text, path, line, column) => {
    const document = text === json ? jsonDocument(text, LIMITS) : [...yamlDocuments(text, LIMITS)][0];
    expect(document?.locate(path)).toEqual({ line, column });
  });
});

describe('jsonDocument', () => {
  test.each<[text: string, mistake: string]>([
    ['', '1:1 not valid JSON: it ends too early'],
    ['[1,2', '1:5 not valid JSON: it ends too early'],
    ['{"a":1,}', '1:8 not valid JSON at "}"'],
    ['{"a" 1}', '1:6 not valid JSON at "1}"'],
    ['[1,2]]', '1:6 not valid JSON at "]"'],
    ["{'a':1}", `1:2 not valid JSON at "'a':1}"`],
    ['{"a":\n 01}', '2:2 not valid JSON at "01}"'],
    ['{"a":tru}', '1:6 not valid JSON at "tru}"'],
    ['{"a":1}\n{"b":2}', '2:1 not valid JSON at "{"b":2}"'.replaceAll('"b"', '\\"b\\"')],
  ])('refuses %j with the place', (text, mistake) =>
    expect(mistakeOf(() => jsonDocument(text, LIMITS))).toBe(mistake),
  );

  test.each([
    ['brackets', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    ['braces', `${'{"a":'.repeat(1000)}1${'}'.repeat(1000)}`],
  ])('refuses deep %s', (_name, text) =>
    expect(mistakeOf(() => jsonDocument(text, LIMITS))).toMatch(/nested deeper than 64 levels/),
  );

  test('finds an open quote at the end of long text in no time', () => {
    const text = `{"a": "${'x\\n'.repeat(1_000_000)}`;
    expect(mistakeOf(() => jsonDocument(text, LIMITS))).toMatch(/^1:7 not valid JSON/);
  }, 2000);

  test('finds a mistake exactly where the engine finds one', () => {
    const fragment = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"a"',
      '1',
      '-0.5e3',
      'true',
      'nul',
      ' ',
      '\n',
      '"\\u00zz"',
      '"\\n"',
      "'",
      '01',
    );
    fc.assert(
      fc.property(
        fc.array(fragment, { maxLength: 8 }).map((parts) => parts.join('')),
        (text) => {
          let isValid = true;
          try {
            JSON.parse(text);
          } catch {
            isValid = false;
          }
          const found = mistakeOf(() => jsonDocument(text, LIMITS).value);
          expect(typeof found === 'string' && found.includes('not valid JSON')).toBe(!isValid);
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe('text', () => {
  test('positions agree with splitting the text at newlines', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', '\n', '\r\n', 'é')).map((parts) => parts.join('')),
        fc.nat(30),
        (text, offset) => {
          const before = text.slice(0, Math.min(offset, text.length)).split('\n');
          expect(new LineIndex(text).position(offset)).toEqual({
            line: before.length,
            column: (before.at(-1) ?? '').length + 1,
          });
        },
      ),
    );
  });

  test.each<[name: string, bytes: number[], mistake: RegExp]>([
    ['UTF-16 with a byte order mark', [0xff, 0xfe, 0x61, 0], /^1:1 the file is UTF-16/],
    ['bytes that are no UTF-8', [0x61, 0x0a, 0x62, 0xff, 0x63], /^2:2 the file is not UTF-8/],
  ])('refuses %s', (_name, bytes, mistake) =>
    expect(mistakeOf(() => decodeText(new Uint8Array(bytes)))).toMatch(mistake),
  );

  test('paths are written as people write them', () => {
    expect(formatPath(['spec', 'ports', 0, 'port'])).toBe('spec.ports[0].port');
    expect(formatPath(['metadata', 'labels', 'a.b/c\n'])).toBe('metadata.labels[a.b/c?]');
    expect(formatPath([])).toBe('');
  });

  test.each([
    ['sheduler', ['scheduler', 'strictARP'], 'scheduler'],
    ['strictarp', ['scheduler', 'strictARP'], 'strictARP'],
    ['nothing', ['scheduler', 'strictARP'], null],
    ['x'.repeat(100_000), ['scheduler'], null],
  ])('nearestWord(%s)', (word, known, nearest) => expect(nearestWord(word, known)).toBe(nearest));
});
