// `npm run test:cluster -- [--node NAME] [--wait SECONDS]`: tries Pointsman's reading of the API on the real cluster that KUBECONFIG names.
// Makes a namespace of its own with a few Services and EndpointSlices, checks what the agent sees of them, and removes it, also after
// Ctrl-C. Touches nothing else. Exit code: 0; 1 when something failed; 2 when it was called wrongly.

import { randomBytes } from 'node:crypto';
import { parseArgs } from 'node:util';
import { REAL_TIMERS } from '../../src/cluster/api-timers.ts';
import { kubeconfigPaths, openKubeconfig } from '../../src/cluster/kubeconfig.ts';
import { VERSION } from '../../src/files/version.ts';
import { errorLine } from '../../src/model/errors.ts';
import { runRealCluster } from './real-cluster-run.ts';

const USAGE = 'usage: KUBECONFIG=FILE npm run test:cluster -- [--node NAME] [--wait SECONDS]';
const DEFAULT_WAIT_S = 30;
const MAX_WAIT_S = 600;
const STOPPING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

process.exitCode = await main();

async function main(): Promise<number> {
  let values: { node?: string | undefined; wait?: string | undefined; help?: boolean | undefined };
  try {
    const options = {
      node: { type: 'string' },
      wait: { type: 'string' },
      help: { type: 'boolean' },
    } as const;
    ({ values } = parseArgs({ options }));
  } catch (error) {
    return misuse(errorLine(error));
  }
  if (values.help === true) {
    process.stdout.write(`${USAGE}\n`);
    return 0;
  }
  const waitS = Number(values.wait ?? DEFAULT_WAIT_S);
  if (!(waitS > 0 && waitS <= MAX_WAIT_S)) return misuse(`--wait takes seconds, at most ${MAX_WAIT_S}`);
  // Never the cluster that happens to be in ~/.kube/config: this one is written to.
  if ((process.env['KUBECONFIG'] ?? '') === '')
    return misuse('KUBECONFIG is not set; name the cluster to try');
  const stop = new AbortController();
  for (const name of STOPPING) process.on(name, () => stop.abort(new Error(`stopped by ${name}`)));
  // A terminal that is gone must not end the removal.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  return await runRealCluster(
    {
      credentials: openKubeconfig({ paths: kubeconfigPaths(process.env) }),
      nodeName: values.node ?? null,
      userAgent: `pointsman/${VERSION} (test:cluster)`,
      waitMs: waitS * 1000,
      run: randomBytes(5).toString('hex'),
      timers: REAL_TIMERS,
      onLine: (line) => void process.stdout.write(`${line}\n`),
      onError: (line) => void process.stderr.write(`${line}\n`),
    },
    stop.signal,
  );
}

function misuse(message: string): number {
  process.stderr.write(`error: ${message}\n${USAGE}\n`);
  return 2;
}
