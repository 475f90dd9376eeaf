// Writes 64 MiB of log as a command does, then "done MEGABYTES" with its memory on standard output. A process of its own for tests.

import { openStderrLog } from '../src/cli/stderr-log.ts';

process.stderr.on('error', () => {});
const log = openStderrLog();
const text = 'x'.repeat(4000);
for (let i = 0; i < 16_384; i++) {
  log.info(text);
  if (i % 256 === 0) await new Promise((resolve) => setImmediate(resolve));
}
process.stdout.write(`done ${Math.round(process.memoryUsage.rss() / (1 << 20))}\n`, () => process.exit(0));
