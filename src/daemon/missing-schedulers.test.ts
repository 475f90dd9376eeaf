import { describe, expect, it } from 'vitest';
import type { FailedOperation } from '../backends/ipvs/failures.ts';
import { serviceKey } from '../model/names.ts';
import type { Scheduler } from '../model/schedulers.ts';
import { MissingSchedulers } from './missing-schedulers.ts';

const KEY = serviceKey('default', 'web');
const refused = (more: Partial<FailedOperation> = {}): FailedOperation => ({
  service: KEY,
  isRemoval: false,
  object: 'TCP 10.96.0.1:80',
  operation: 'NEW_SERVICE',
  errno: 2,
  errnoName: 'ENOENT',
  message: 'refused',
  ...more,
});

function make(...unavailable: Scheduler[]) {
  const asked: Scheduler[] = [];
  const missing = new MissingSchedulers(async (name) => {
    asked.push(name);
    return unavailable.includes(name)
      ? { isAvailable: false, reason: 'no module', remedy: 'install it' }
      : { isAvailable: true };
  });
  return { asked, missing };
}

describe('schedulers that the kernel does not have', () => {
  it('are learned from a refused virtual server, once', async () => {
    const { asked, missing } = make('twos', 'ovf');
    const before = missing.current();
    expect(await missing.learn([refused(), refused()], () => ['twos', 'rr'])).toBe(true);
    expect(missing.current()).toEqual(['twos']);
    expect(before).toEqual([]);
    expect(await missing.learn([refused()], () => ['twos'])).toBe(false);
    expect(await missing.learn([refused({ operation: 'SET_SERVICE' })], () => ['ovf'])).toBe(true);
    expect(missing.current()).toEqual(['ovf', 'twos']);
    expect(asked).toEqual(['twos', 'rr', 'ovf']);
    missing.forget();
    expect(missing.current()).toEqual([]);
  });

  it.each([
    ['another errno', refused({ errnoName: 'ENOMEM' })],
    ['a real server', refused({ operation: 'NEW_DEST' })],
    ['something of the node', refused({ service: null })],
  ])('are not asked for after the refusal of %s', async (_, failed) => {
    const { asked, missing } = make('twos');
    expect(await missing.learn([failed], () => ['twos'])).toBe(false);
    expect(asked).toEqual([]);
  });
});
