// Lines and words of a restore. The rows are what ipvsadm 1.31 does.

import { describe, expect, it } from 'vitest';
import { splitLines, splitWords } from './words.ts';

describe('a line', () => {
  it.each([
    ['-A -t a:1', ['-A', '-t', 'a:1']],
    ['  -A\t-t \r a:1 \r', ['-A', '-t', 'a:1']],
    ['ipvsadm -A', ['-A']],
    ['-A ipvsadm -t ipvsadm', ['-A', '-t']],
    ['ipvsadm', []],
    ['/sbin/ipvsadm -A', ['/sbin/ipvsadm', '-A']],
    ['-s "rr"', ['-s', '"rr"']],
    ['-s rr\v-p', ['-s', 'rr\v-p']],
    ['-s rr\0-p 5', ['-s', 'rr', '5']],
    ['# -A', ['#', '-A']],
    ['', []],
    [' \t ', []],
    ['\xc3\xa9', ['é']],
  ])('%j has the words %j', (line, words) => {
    expect(splitWords(line, 'ipvsadm')).toEqual(words);
  });

  it('falls into pieces where a word is too long', () => {
    expect(splitWords(`-s ${'x'.repeat(5000)}`, 'ipvsadm').map((word) => word.length)).toEqual([
      2, 4096, 904,
    ]);
  });
});

describe('text in pieces', () => {
  it('gives whole lines with their numbers, and says where each piece ended', () => {
    const lines = [...splitLines(['a\nb', 'c\n', '\nd'])];
    expect(lines).toEqual([
      { number: 1, text: 'a' },
      null,
      { number: 2, text: 'bc' },
      null,
      { number: 3, text: '' },
      null,
      { number: 4, text: 'd' },
    ]);
  });
});
