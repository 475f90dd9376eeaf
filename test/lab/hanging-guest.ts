// A caller that boots a guest which never ends, for tests that kill the caller. Prints what the guest prints.

import { ipvsKernel } from '../../lab/boot.ts';

await ipvsKernel.boot({
  program: ['/bin/sh', '-c', 'echo up; sleep 1000'],
  timeoutMs: 300_000,
  memoryMb: 256,
  onOutput: (text) => process.stdout.write(text),
});
