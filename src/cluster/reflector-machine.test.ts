// What a reflector asks next, story by story. Chance is 0: watches of 300 s, the shortest pauses.

import { describe, expect, test } from 'vitest';
import { ReflectorMachine, type ReflectorFailure, type ReflectorStep } from './reflector-machine.ts';

const fail = (kind: ReflectorFailure['kind'], retryAfterMs = 0): ReflectorFailure => ({ kind, retryAfterMs });

/** A machine, a clock, and short words for its steps: 'list 0', 'list ... page', 'stream', 'watch 5', 'check', 'wait 800'. */
class Story {
  readonly machine: ReflectorMachine;
  nowMs = 0;

  constructor(canStream: boolean) {
    this.machine = new ReflectorMachine({ random: () => 0, canStream });
  }

  get step(): string {
    return word(this.machine.next());
  }

  /** A list of one page, and the watch from it. */
  begin(version = '5'): this {
    this.expect('list 0 of 500');
    this.machine.page(version, '', this.nowMs);
    return this.watch(version);
  }

  watch(version: string): this {
    this.expect(`watch ${version}`);
    this.machine.opened(this.nowMs);
    return this;
  }

  private expect(step: string): void {
    const { step: found } = this;
    if (found !== step) throw new Error(`${step} was to come, and ${found} came`);
  }

  fail(kind: ReflectorFailure['kind'], retryAfterMs = 0): this {
    this.machine.failed(fail(kind, retryAfterMs), this.nowMs);
    return this;
  }

  after(ms: number): this {
    this.nowMs += ms;
    return this;
  }

  /** The waits are left out. */
  steps(count: number): string[] {
    const steps: string[] = [];
    while (steps.length < count) {
      const step = this.machine.next();
      if (step.do === 'wait') this.nowMs += step.delayMs;
      else steps.push(word(step));
    }
    return steps;
  }
}

function word(step: ReflectorStep): string {
  switch (step.do) {
    case 'list':
      return step.token === ''
        ? `list ${step.resourceVersion || 'newest'}${step.limit === 0 ? '' : ` of ${step.limit}`}${step.isTrusted ? '' : ', all anew'}`
        : `page ${step.token}`;
    case 'stream':
    case 'watch':
      return `${step.do} ${step.resourceVersion || 'newest'}`;
    case 'check':
      return 'check';
    case 'wait':
      return `wait ${step.delayMs}`;
  }
}

describe('lists', () => {
  test('begin at any version, page by page, and the watch begins at the version of the first page', () => {
    const { machine } = new Story(false);
    expect(word(machine.next())).toBe('list 0 of 500');
    expect(machine.page('7', 'abc', 0)).toBe(false);
    expect(word(machine.next())).toBe('page abc');
    expect(machine.page('8', '', 0)).toBe(true);
    expect(word(machine.next())).toBe('watch 7');
  });

  test.each([
    ['expired', 'list 5'],
    ['ahead', 'list newest of 500, all anew'],
    ['unsupported', 'list newest of 500, all anew'],
    ['nonsense', 'list 5, all anew'],
    ['lost', 'list 5, all anew'],
    ['silent', 'check'],
    ['other', 'check'],
  ] as const)('after a watch that failed by %s: %s', (kind, expected) => {
    const story = new Story(false).begin().after(10_000).fail(kind);
    expect(story.steps(1)).toEqual([expected]);
  });

  test('a page is asked for again as long as its token may be good; then the list begins anew', () => {
    const story = new Story(false);
    expect(story.step).toBe('list 0 of 500');
    story.machine.page('7', 'abc', 0);
    expect(story.step).toBe('page abc');
    expect(story.fail('other').steps(1)).toEqual(['page abc']);
    expect(story.fail('expired').steps(1)).toEqual(['list 0 of 500']);
    story.machine.page('9', 'def', story.nowMs);
    expect(story.steps(1)).toEqual(['page def']);
    // Two that expired: the third is asked for as a whole.
    expect(story.fail('expired').steps(1)).toEqual(['list 0']);
    story.machine.page('11', '', story.nowMs);
    expect(story.step).toBe('watch 11');
  });

  test('a page after a long outage begins the list anew: its token may be of another history', () => {
    const story = new Story(false);
    expect(story.step).toBe('list 0 of 500');
    story.machine.page('7', 'abc', 0);
    expect(story.step).toBe('page abc');
    expect(story.after(400_000).fail('other').steps(1)).toEqual(['list 0 of 500, all anew']);
  });

  test('a server without a version gives the newest', () => {
    const story = new Story(false).begin().fail('expired');
    expect(story.steps(1)).toEqual(['list 5']);
    expect(story.fail('ahead').steps(1)).toEqual(['list newest of 500, all anew']);
    story.machine.page('3', '', story.nowMs);
    expect(story.step).toBe('watch 3');
  });

  test('a server that cuts lists at version 0 into pages gets the limit in later lists too', () => {
    const story = new Story(false);
    expect(story.step).toBe('list 0 of 500');
    story.machine.page('7', 'abc', 0);
    expect(story.step).toBe('page abc');
    story.machine.page('7', '', 0);
    expect(story.watch('7').fail('expired').steps(1)).toEqual(['list 7 of 500']);
  });
});

describe('streams', () => {
  test('begin with the newest and go on as a watch', () => {
    const story = new Story(true);
    expect(story.step).toBe('stream newest');
    story.machine.opened(0);
    story.machine.initialEnd('5');
    story.machine.progress('6', false);
    story.after(300_000).machine.closed(story.nowMs);
    expect(story.step).toBe('watch 6');
    story.machine.opened(story.nowMs);
    expect(story.fail('expired').steps(1)).toEqual(['stream 6']);
  });

  test.each(['unsupported', 'silent'] as const)('%s: a list at once, and streams never again', (kind) => {
    const story = new Story(true);
    expect(story.step).toBe('stream newest');
    expect(story.fail(kind).step).toBe('list 0 of 500');
    story.machine.page('5', '', 0);
    expect(story.watch('5').fail('expired').steps(1)).toEqual(['list 5']);
  });

  test('that fail three times otherwise give way to a list, this time', () => {
    const story = new Story(true);
    expect(story.steps(1)).toEqual(['stream newest']);
    for (let each = 0; each < 2; each++) expect(story.fail('other').steps(1)).toEqual(['stream newest']);
    expect(story.fail('other').steps(1)).toEqual(['list 0 of 500']);
    story.machine.page('5', '', story.nowMs);
    expect(story.watch('5').fail('expired').steps(1)).toEqual(['stream 5']);
  });

  test('that end before their beginning ends count as failed', () => {
    const story = new Story(true);
    expect(story.step).toBe('stream newest');
    story.machine.opened(0);
    story.machine.closed(10);
    expect([story.step, story.step]).toEqual(['wait 800', 'stream newest']);
  });
});

describe('watches', () => {
  test('that end are asked for again at once, from the last event or bookmark', () => {
    const story = new Story(false).begin();
    expect(story.machine.progress('8', false)).toBe(true);
    expect(story.machine.progress('9', true)).toBe(true);
    story.after(300_000).machine.closed(story.nowMs);
    expect(story.step).toBe('watch 9');
  });

  test('that end without a word make us ask whether the server is still the same', () => {
    const story = new Story(false).begin('100');
    story.after(300_000).machine.closed(story.nowMs);
    expect(story.step).toBe('check');
    story.machine.checked('100', story.nowMs);
    expect(story.step).toBe('watch 100');
    story.machine.opened(story.nowMs);
    story.after(300_000).machine.closed(story.nowMs);
    expect(story.step).toBe('check');
    story.machine.checked('99', story.nowMs);
    expect(story.step).toBe('list newest of 500, all anew');
  });

  test('that end within a second, but with events, come back after the shortest pause each time', () => {
    const story = new Story(false).begin();
    for (const version of ['6', '7', '8']) {
      story.machine.progress(version, false);
      story.after(100).machine.closed(story.nowMs);
      expect(story.step).toBe('wait 800');
      story.watch(version);
    }
  });

  test('that end at once without a word come back after longer and longer pauses, and a question', () => {
    const story = new Story(false).begin();
    for (const expected of ['wait 800', 'wait 1600', 'wait 3200']) {
      story.after(100).machine.closed(story.nowMs);
      expect([story.step, story.step]).toEqual([expected, 'check']);
      story.machine.checked('5', story.nowMs);
      story.watch('5');
    }
  });

  test('repeated and late bookmarks do no harm; events must not go back', () => {
    const { machine } = new Story(false).begin('50');
    expect(machine.progress('60', true)).toBe(true);
    expect(machine.progress('55', true)).toBe(true);
    expect(machine.progress('60', true)).toBe(true);
    expect(machine.resourceVersion).toBe('60');
    expect(machine.progress('60', false)).toBe(true);
    expect(machine.progress('59', false)).toBe(false);
    expect(machine.progress('100', false)).toBe(true);
    // No numbers: no order, so they are believed.
    expect(machine.progress('abc', false)).toBe(true);
    expect(machine.resourceVersion).toBe('abc');
  });

  test('that fail three times without a word give way to a list', () => {
    const story = new Story(false).begin();
    for (let each = 0; each < 2; each++) {
      expect(story.after(10).fail('other').steps(1)).toEqual(['check']);
      story.machine.checked('5', story.nowMs);
      story.watch('5');
    }
    expect(story.after(10).fail('other').steps(1)).toEqual(['list 5']);
  });

  test('cut after a good while come back after the shortest pause; refused ones after longer and longer ones', () => {
    const story = new Story(false).begin().after(5000).fail('other');
    expect(story.step).toBe('wait 800');
    expect(story.step).toBe('check');
    const waits = [1, 2, 3].map(() => story.fail('other').step);
    expect(waits).toEqual(['wait 800', 'wait 1600', 'wait 3200']);
    expect(story.fail('other', 30_000).step).toBe('wait 30000');
  });

  test('after five minutes without an answer everything is listed, and nothing believed by its version', () => {
    const story = new Story(false).begin().after(60_000).fail('other');
    story.steps(1);
    expect(story.after(299_000).fail('other').steps(1)).toEqual(['check']);
    expect(story.after(2000).fail('other').steps(1)).toEqual(['list 5, all anew']);
  });
});
