// How a command line falls into switches, values and words. The rows are what ipvsadm 1.31 with popt 1.19 does.

import { describe, expect, it } from 'vitest';
import { COMMAND_SWITCHES, OPTION_SWITCHES } from './grammar.ts';
import { indexSwitches, Popt } from './popt.ts';

const TABLE = indexSwitches([...COMMAND_SWITCHES, ...OPTION_SWITCHES]);

/** "list numeric tcp-service=1.1.1.1:80 | word" or "... ! -x: unknown option". */
function walk(args: readonly string[]): string {
  const popt = new Popt(args, TABLE);
  const seen: string[] = [];
  for (let step = popt.next(); ; step = popt.next()) {
    if (step === 'end')
      return [...seen, ...(popt.leftovers.length > 0 ? ['|', ...popt.leftovers] : [])].join(' ');
    if ('error' in step) return [...seen, '!', `${step.argument}: ${step.error}`].join(' ');
    seen.push(step.value === null ? step.switch.long : `${step.switch.long}=${step.value}`);
  }
}

describe('a command line', () => {
  it.each([
    [['-L', '-n'], 'list numeric'],
    [['-Ln'], 'list numeric'],
    [['-LnX'], 'list numeric exact'],
    [['-l'], 'list'],
    [['-A', '-t', 'a:1'], 'add-service tcp-service=a:1'],
    [['-A', '-ta:1'], 'add-service tcp-service=a:1'],
    [['-A', '-t=a:1'], 'add-service tcp-service=a:1'],
    [['-A', '-t='], 'add-service tcp-service='],
    [['-At', 'a:1'], 'add-service tcp-service=a:1'],
    [['-Ata:1'], 'add-service tcp-service=a:1'],
    [['-A', '--tcp-service', 'a:1'], 'add-service tcp-service=a:1'],
    [['-A', '--tcp-service=a:1'], 'add-service tcp-service=a:1'],
    [['-A', '--tcp-service='], 'add-service tcp-service='],
    [['-A', '-t', '-u'], 'add-service tcp-service=-u'],
    [['-A', '-p'], 'add-service persistent'],
    [['-A', '-p', '5'], 'add-service persistent=5'],
    [['-A', '-p5'], 'add-service persistent=5'],
    [['-A', '-p', '-s', 'rr'], 'add-service persistent scheduler=rr'],
    [['-A', '-p', '-1'], 'add-service persistent ! -1: unknown option'],
    [['--start-daemon', 'master'], 'start-daemon=master'],
    [['word', '-L'], 'list | word'],
    [['-L', '-', 'x'], 'list | - x'],
    [['-L', '--', '-n'], 'list | -n'],
    [['-L', ''], 'list | '],
    [[], ''],
    [['-A', '-t'], 'add-service ! -t: missing argument'],
    [['-Lx'], 'list ! -Lx: missing argument'],
    [['-Ln', '--bogus'], 'list numeric ! --bogus: unknown option'],
    [['-LnQ'], 'list numeric ! -LnQ: unknown option'],
    [['--lis'], '! --lis: unknown option'],
    [['-list'], 'list ipip scheduler=t'],
    [['--list=x'], '! --list=x: option does not take an argument'],
    [['-Ln='], 'list ! -Ln=: option does not take an argument'],
    [['--='], '! --=: unknown option'],
  ])('%j is %s', (args, expected) => {
    expect(walk(args)).toBe(expected);
  });
});
