// `npm run demo`: the main job on real input, in a real IPVS kernel, in under a minute. What is shown is measured while it is shown.

import { ipvsKernel, runInGuest } from './boot.ts';

const reason = ipvsKernel.probe();
if (reason !== null) {
  process.stderr.write(`error: the demo cannot run here: ${reason}\n`);
  process.exit(3);
}
process.stdout.write(
  'Booting a small Linux with IPVS (user-mode Linux; your files are read-only in it) ...\n',
);
const result = await runInGuest(new URL('./demo-guest.ts', import.meta.url), [], {
  onOutput: (text) => process.stdout.write(text),
});
if (result.exitCode !== 0) {
  process.stderr.write(
    `error: the demo ended ${result.timedOut ? 'at its time limit' : `with ${result.exitCode ?? 'no exit code'}`}\n${result.stderr}\n`,
  );
}
process.exit(result.exitCode ?? 1);
