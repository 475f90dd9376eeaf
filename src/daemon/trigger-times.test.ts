// Which changes of endpoints are told as programmed, and when: each once, and only those that are.

import { describe, expect, it } from 'vitest';
import { serviceKey } from '../model/names.ts';
import { MAX_CHANGES_PER_SERVICE, TriggerTimes } from './trigger-times.ts';

const WEB = serviceKey('default', 'web');
const API = serviceKey('default', 'api');
const START_MS = 1000;
const at = (triggeredAtMs: number) => ({ family: 'IPv4' as const, triggeredAtMs });
const times = (changes: readonly { readonly triggeredAtMs: number }[]): number[] =>
  changes.map(({ triggeredAtMs }) => triggeredAtMs);

describe('trigger times', () => {
  // The scenarios of kube-proxy's own tests (spec of scenarios, 6.2), then ours.
  it.each<[string, (triggers: TriggerTimes) => void, number[]]>([
    ['one change', (t) => t.note(WEB, at(1500)), [1500]],
    [
      'several of one Service',
      (t) => {
        t.note(WEB, at(1500));
        t.note(WEB, at(1700));
      },
      [1500, 1700],
    ],
    [
      'those of two Services',
      (t) => {
        t.note(WEB, at(1500));
        t.note(API, at(1600));
      },
      [1500, 1600],
    ],
    ['nothing of a change without a time', (t) => t.note(WEB, at(0)), []],
    ['nothing of what was before the start', (t) => t.note(WEB, at(START_MS)), []],
    [
      'nothing of endpoints that went again',
      (t) => {
        t.note(WEB, at(1500));
        t.drop(WEB);
      },
      [],
    ],
    ['nothing of endpoints that only went', (t) => t.drop(WEB), []],
    [
      'what came after endpoints went',
      (t) => {
        t.note(WEB, at(1500));
        t.drop(WEB);
        t.note(WEB, at(1600));
      },
      [1600],
    ],
  ])('tell %s', (_, happen, expected) => {
    const triggers = new TriggerTimes(START_MS);
    happen(triggers);
    triggers.take();
    expect(times(triggers.settle([]))).toEqual(expected);
    expect(triggers.settle([])).toEqual([]);
  });

  it('leave what comes during a sync for the next one', () => {
    const triggers = new TriggerTimes(START_MS);
    triggers.note(WEB, at(1500));
    triggers.take();
    triggers.note(WEB, at(1600));
    expect(times(triggers.settle([]))).toEqual([1500]);
    triggers.take();
    expect(times(triggers.settle([]))).toEqual([1600]);
  });

  it('keep those of a Service that failed until it is programmed', () => {
    const triggers = new TriggerTimes(START_MS);
    triggers.note(WEB, at(1500));
    triggers.note(API, at(1600));
    triggers.take();
    expect(times(triggers.settle([WEB]))).toEqual([1600]);
    triggers.note(WEB, at(1700));
    triggers.take();
    expect(triggers.settle([WEB])).toEqual([]);
    expect(times(triggers.settle([]))).toEqual([1500, 1700]);
  });

  it('keep those of a sync that was given up for the next one', () => {
    const triggers = new TriggerTimes(START_MS);
    triggers.note(WEB, at(1500));
    triggers.take();
    triggers.take();
    expect(times(triggers.settle([]))).toEqual([1500]);
  });

  it('forget those of a failed Service whose endpoints went', () => {
    const triggers = new TriggerTimes(START_MS);
    triggers.note(WEB, at(1500));
    triggers.take();
    triggers.settle([WEB]);
    triggers.drop(WEB);
    expect(triggers.settle([])).toEqual([]);
  });

  it('hold no more than their limit, the first ones', () => {
    const triggers = new TriggerTimes(START_MS);
    const count = MAX_CHANGES_PER_SERVICE * 2;
    for (let i = 1; i <= count; i++) triggers.note(WEB, at(START_MS + i));
    triggers.take();
    triggers.note(WEB, at(START_MS + count));
    triggers.take();
    const told = times(triggers.settle([]));
    expect(told).toHaveLength(MAX_CHANGES_PER_SERVICE);
    expect(told[0]).toBe(START_MS + 1);
  });
});
