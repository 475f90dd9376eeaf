// A process of its own for tests of abstract names: `agent NAME WAIT_MS` takes the lock as the agent does, `bare NAME` only binds and
// listens. Prints one line (held, or the error's code), and keeps what it has until its standard input ends.

import { takeAgentLock } from '../src/daemon/agent-lock.ts';
import { openLog } from '../src/daemon/log.ts';
import { takeAbstractName } from '../src/kernel/unix-socket.ts';
import { hasCode } from '../src/model/errors.ts';

const [kind, name = '', waitMs = '0'] = process.argv.slice(2);
const say = (line: string): boolean => process.stdout.write(`${line}\n`);
try {
  if (kind === 'bare') say(takeAbstractName(name) === null ? 'taken' : 'held');
  else {
    const log = openLog({
      write: (line) => process.stderr.write(`${line}\n`),
      now: () => new Date(),
      pid: process.pid,
    });
    const lock = await takeAgentLock({ log, name, waitMs: Number(waitMs) });
    say('held');
    process.stdin.on('data', () => lock.release());
  }
} catch (error) {
  say(hasCode(error, 'AGENT_RUNNING') ? `refused: ${error.message}` : String(error));
}
process.stdin.resume().on('end', () => process.exit(0));
