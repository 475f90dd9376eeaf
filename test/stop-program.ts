// A process that stops as the agent does: "starting" until standard input says so, then "started"; when asked to stop it waits for the next
// line of standard input. `EARLY_CODE TIMEOUT_MS`. For tests.

import { createInterface } from 'node:readline';
import { followSignals, stopInTime } from '../src/cli/stopping.ts';
import { openStderrLog } from '../src/cli/stderr-log.ts';

const [earlyCode, timeoutMs] = process.argv.slice(2).map(Number);
const input = createInterface(process.stdin)[Symbol.asyncIterator]();
const signals = followSignals(openStderrLog(), earlyCode ?? 0);
process.stdout.write('starting\n');
await input.next();
signals.setStarted();
process.stdout.write('started\n');
process.stdout.write(`asked by ${await signals.asked}\n`);
await stopInTime(async (onWait) => {
  onWait('the first thing');
  onWait('a line');
  await input.next();
}, timeoutMs);
process.stdout.write('stopped\n');
process.exit(0);
