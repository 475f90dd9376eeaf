import { describe, expect, it } from 'vitest';
import { formatCommandLine, type CommandLine } from './command-line.ts';
import { minimise } from './minimise.ts';
import type { Script } from './script-arbitrary.ts';

const line = (text: string, stdin: string | null = null): CommandLine => ({ args: text.split(' '), stdin });
const text = (script: Script): string => script.map(formatCommandLine).join('\n');
const never = (): boolean => false;

describe('minimise', () => {
  const script = [
    line('-A -t 10.0.0.1:80 -s rr'),
    line('-C'),
    line('-R', '-A -f 1\n-bad\n-D -f 1\n'),
    line('-a -w 5 -r x'),
  ];

  it('leaves the lines and words without which nothing shows', async () => {
    const shows = async (each: Script): Promise<boolean> =>
      /-A .*\n(?:.*\n)*.*-a.* -r/.test(text(each)) && text(each).includes('-s rr');
    expect(text(await minimise(script, shows, never))).toBe('ipvsadm -A -s rr\nipvsadm -a -r');
  });

  it('leaves the lines of standard input without which nothing shows', async () => {
    const shows = async (each: Script): Promise<boolean> => text(each).includes('-bad');
    expect(text(await minimise(script.slice(0, 3), shows, never))).toBe("printf %s $'-bad' | ipvsadm -R");
  });

  it('stops when it is late, with what it has', async () => {
    let runs = 0;
    const shows = async (): Promise<boolean> => ++runs < 100;
    expect(await minimise(script, shows, () => runs >= 1)).toEqual(script.toSpliced(2, 1));
    expect(runs).toBe(1);
  });
});
