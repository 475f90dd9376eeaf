// One agent per network namespace, with real processes.

import { createServer } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { endHelpers, startProgram, type HelperProcess } from '../../test/helper-process.ts';
import { AF_UNIX, bind, close, SOCK_STREAM, socket } from '../kernel/libc.ts';
import { takeAgentLock } from './agent-lock.ts';
import { openLog } from './log.ts';

const PROGRAM = new URL('../../test/lock-program.ts', import.meta.url);
const IS_ROOT = process.getuid?.() === 0;

let counter = 0;
const freshName = (): string => `pointsman-lock-test-${process.pid}-${counter++}`;
const agent = (name: string, waitMs: number): HelperProcess =>
  startProgram(PROGRAM, ['agent', name, String(waitMs)]);

const lines: string[] = [];
const log = openLog({ write: (line) => lines.push(line), now: () => new Date(), pid: process.pid });

afterEach(async () => {
  lines.length = 0;
  await endHelpers();
});

// Only root's processes count as agents.
describe.skipIf(!IS_ROOT)('the lock of the agent', () => {
  it('goes to exactly one of those that start at once, and the others say who has it', async () => {
    for (let round = 0; round < 6; round++) {
      const name = freshName();
      const all = [agent(name, 300), agent(name, 300), agent(name, 300)];
      await Promise.all(all.map((each) => each.until(/held|refused/)));
      const holders = all.filter(({ stdout }) => stdout === 'held\n');
      expect(holders).toHaveLength(1);
      for (const each of all.filter(({ stdout }) => stdout !== 'held\n'))
        expect(each.stdout).toBe(
          `refused: another agent runs in this network namespace: process ${holders[0]?.pid}, still there after 0.3 s; stop it first ("ss -xlp src @pointsman-agent" shows it)\n`,
        );
      await Promise.all(all.map((each) => each.finish()));
    }
  }, 60_000);

  it('is handed over by one that ends, and by one that is killed', async () => {
    const name = freshName();
    const first = agent(name, 0);
    await first.until('held');
    const second = agent(name, 30_000);
    await second.until('waiting for its end');
    expect(second.stderr).toContain(`pid=${first.pid}`);
    first.child.stdin?.write('release\n');
    await second.until('held');
    const third = agent(name, 30_000);
    await third.until('waiting for its end');
    second.child.kill('SIGKILL');
    await third.until('held');
    expect(third.stderr.match(/waiting/g)).toHaveLength(1);
  });

  it('cannot be kept from us by another user, who is named', async () => {
    const name = freshName();
    const squatter = startProgram(PROGRAM, ['bare', name], 65534);
    await squatter.until('held');
    (await takeAgentLock({ log, name, waitMs: 30_000 })).release();
    expect(lines).toEqual([
      expect.stringMatching(new RegExp(`no agent.* name="@${name}" pid=${squatter.pid} uid=65534$`)),
    ]);
  });

  it('cannot be kept from us by a socket that does not listen', async () => {
    const name = freshName();
    const fd = socket(AF_UNIX, SOCK_STREAM, 0).value;
    bind(fd, Uint8Array.from([AF_UNIX, 0, 0, ...Buffer.from(name)]));
    (await takeAgentLock({ log, name, waitMs: 50 })).release();
    close(fd);
    expect(lines).toEqual([expect.stringContaining('no agent')]);
  });

  it('is a name that Node and ss know', async () => {
    const name = freshName();
    const lock = await takeAgentLock({ log, name });
    const other = createServer();
    const code = await new Promise((resolve) => {
      other.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      other.listen(`\0${name}`, () => resolve('listening'));
    });
    expect(code).toBe('EADDRINUSE');
    lock.release();
  });
});
