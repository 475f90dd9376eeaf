// `pointsman run`: the agent. Ends at SIGTERM or SIGINT and leaves forwarding as it is.

import { Daemon } from '../daemon/daemon.ts';
import { agentRoutes } from '../http/agent-routes.ts';
import { serveAgentSocket } from '../http/agent-socket.ts';
import { EXIT } from './exit-codes.ts';
import { openStderrLog } from './stderr-log.ts';

export interface RunOptions {
  readonly manifests: string;
  readonly config?: string;
  readonly hostnameOverride?: string;
  readonly once?: boolean;
  readonly socket: string;
  readonly v: number;
}

/** Runs until it is told to stop; with `once` until the first sync is done. Returns the exit code. */
export async function runCommand(options: RunOptions): Promise<number> {
  const log = openStderrLog(options.v);
  const daemon = await Daemon.open({
    manifests: options.manifests,
    configPath: options.config,
    hostnameOverride: options.hostnameOverride,
    log,
  });
  if (options.once === true) return once(daemon);
  const server = await serveAgentSocket(options.socket, agentRoutes(daemon));
  daemon.run(options.config);
  await stopSignal();
  log.info('Stopping; forwarding stays as it is');
  await server.close();
  await daemon.stop();
  return EXIT.GOOD;
}

async function once(daemon: Daemon): Promise<number> {
  const reasons = await daemon.runOnce();
  await daemon.stop();
  for (const reason of reasons) process.stderr.write(`error: ${reason}\n`);
  return reasons.length === 0 ? EXIT.GOOD : EXIT.FAILED;
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
}
