// Runs a program while this process has no free descriptor, then with some. For tests: its limit is a process's own.

import { closeSync, openSync } from 'node:fs';
import { runTool } from '../src/kernel/process.ts';
import { PointsmanError } from '../src/model/errors.ts';

async function tell(): Promise<void> {
  try {
    process.stdout.write(`true: ${(await runTool('true', [])).exitCode}\n`);
  } catch (error) {
    process.stdout.write(
      error instanceof PointsmanError ? `${error.code}: ${error.message}\n` : `${String(error)}\n`,
    );
  }
}

await runTool('true', []);
process.stdout.write('');
const taken: number[] = [];
try {
  for (;;) taken.push(openSync('/dev/null', 'r'));
} catch {
  // EMFILE: now there is none left.
}
await tell();
for (const fd of taken) closeSync(fd);
await tell();
