// Whose guest folders are removed: only those whose owner is gone. Guests themselves are started in boot.test.ts.

import { spawn, type ChildProcess } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeGuestFolder, removeDeadOwners, removeGuestFolder } from './uml-leftovers.ts';

/** A process name that reads like the rest of /proc/PID/stat of a zombie. */
const MISLEADING_NAME = 'x) Z 1 1 1 (';

/** Larger than the largest process id there can be, 4194304. */
const NO_PROCESS = 4194305;

describe('the folder of a guest', () => {
  let scratch: string;
  let owner: ChildProcess;
  let startTime: string;
  let made: string[] = [];

  beforeEach(async () => {
    scratch = mkdtempSync(join(tmpdir(), 'lab-leftovers-test-'));
    const program = join(scratch, MISLEADING_NAME);
    copyFileSync('/bin/sleep', program);
    owner = spawn(program, ['60'], { stdio: 'ignore' });
    await new Promise((resolve, reject) => {
      owner.once('spawn', resolve);
      owner.once('error', reject);
    });
    const [, rest] = readFileSync(`/proc/${owner.pid}/stat`, 'latin1').split(`(${MISLEADING_NAME}) `);
    startTime = rest?.split(' ')[19] ?? '';
  });

  afterEach(() => {
    owner.kill('SIGKILL');
    for (const folder of [scratch, ...made]) rmSync(folder, { recursive: true, force: true });
    made = [];
  });

  const make = (name: string): string => {
    const folder = join(tmpdir(), `pointsman-lab-${name}`);
    mkdirSync(folder);
    made.push(folder);
    return folder;
  };

  it('names its owner, and stays while that runs', () => {
    const folder = makeGuestFolder();
    made.push(folder);
    expect(basename(folder)).toMatch(new RegExp(`^pointsman-lab-${process.pid}-\\d+-[^-]+$`));
    removeDeadOwners();
    expect(existsSync(folder)).toBe(true);
    removeGuestFolder(folder);
    expect(existsSync(folder)).toBe(false);
  });

  it.each([
    ['stays while its owner runs, whatever that is called', () => `${owner.pid}-${startTime}-a`, true],
    ['of an older version stays while its owner runs', () => `${owner.pid}-a`, true],
    ['goes when its owner started at another time', () => `${owner.pid}-${Number(startTime) + 1}-a`, false],
    ['goes when there is no such process', () => `${NO_PROCESS}-${startTime}-${process.pid}`, false],
    ['of an older version goes when there is no such process', () => `${NO_PROCESS}-${process.pid}`, false],
    ['stays when its name is not of a guest', () => `x-${NO_PROCESS}-${process.pid}`, true],
  ])('%s', (_, name, isKept) => {
    expect(startTime).toMatch(/^\d+$/);
    const folder = make(name());
    removeDeadOwners();
    expect(existsSync(folder)).toBe(isKept);
  });

  it('is not what a link of such a name leads to', () => {
    const outside = join(scratch, 'outside');
    mkdirSync(outside);
    const link = join(tmpdir(), `pointsman-lab-${NO_PROCESS}-1-link${process.pid}`);
    symlinkSync(outside, link);
    made.push(link);
    removeDeadOwners();
    expect(existsSync(outside)).toBe(true);
  });
});
