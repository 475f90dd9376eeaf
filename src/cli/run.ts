// `pointsman run`: the agent. One at a time in a network namespace, and not beside a kube-proxy. Ends at SIGTERM or SIGINT, in bounded time,
// and leaves forwarding as it is.

import type { Config } from '../config/config.ts';
import { takeAgentLock, type AgentLock } from '../daemon/agent-lock.ts';
import { Daemon, NODE_TIMERS } from '../daemon/daemon.ts';
import type { Log } from '../daemon/log.ts';
import { describeRival, findRival, rivalError } from '../daemon/rival.ts';
import { agentRoutes } from '../http/agent-routes.ts';
import { ControlChannel } from '../http/control-channel.ts';
import { PointsmanError } from '../model/errors.ts';
import { EXIT } from './exit-codes.ts';
import { openStderrLog } from './stderr-log.ts';
import { followSignals, stopInTime } from './stopping.ts';

export interface RunOptions {
  /** Required but for `cleanup`. */
  readonly manifests?: string;
  readonly config?: string;
  readonly hostnameOverride?: string;
  readonly once?: boolean;
  readonly force?: boolean;
  /** Remove everything instead of running. */
  readonly cleanup?: boolean;
  readonly socket: string;
  readonly v: number;
}

/** Runs until it is told to stop; with `once` until the first sync is done. Returns the exit code. */
export async function runCommand(options: RunOptions): Promise<number> {
  if (options.cleanup === true) return (await import('./cleanup.ts')).cleanUpAll(options);
  const { manifests } = options;
  if (manifests === undefined)
    throw new PointsmanError(
      'USAGE',
      `required option '--manifests <dir>' not specified; try "pointsman --help"`,
    );
  const log = openStderrLog(options.v);
  const signals = followSignals(log, options.once === true ? EXIT.FAILED : EXIT.GOOD);
  let lock: AgentLock | undefined;
  const daemon = await Daemon.open(
    {
      manifests,
      configPath: options.config,
      hostnameOverride: options.hostnameOverride,
      log,
    },
    async (config) => {
      lock = await takeAgentLock({ log });
      await refuseRival(config, options.force === true, log);
    },
  );
  signals.setStarted();
  const code =
    options.once === true
      ? await once(daemon, signals.asked)
      : await follow(daemon, options, log, signals.asked);
  lock?.release();
  return code;
}

/** Throws RIVAL_PROXY when a kube-proxy runs here; with `isForced` it only warns. */
async function refuseRival(config: Config, isForced: boolean, log: Log): Promise<void> {
  const rival = await findRival({ metricsAddress: config.metricsBindAddress });
  if (rival === null) return;
  if (!isForced) throw rivalError(rival);
  log.warn(`${describeRival(rival)}; going on because of --force: the two will undo each other's work`);
}

async function follow(
  daemon: Daemon,
  options: RunOptions,
  log: Log,
  asked: Promise<NodeJS.Signals>,
): Promise<number> {
  daemon.run(options.config);
  const channel = await ControlChannel.open({
    path: options.socket,
    routes: agentRoutes(daemon),
    log,
    timers: NODE_TIMERS,
  });
  log.info('Stopping; forwarding stays as it is', { signal: await asked });
  await stopInTime(async (onWait) => {
    onWait('the control socket');
    await channel.close();
    await daemon.stop(onWait);
  });
  return EXIT.GOOD;
}

async function once(daemon: Daemon, asked: Promise<NodeJS.Signals>): Promise<number> {
  const reasons = await Promise.race([
    daemon.runOnce(),
    asked.then((name) => [`${name} came before the sync was done`]),
  ]);
  await stopInTime((onWait) => daemon.stop(onWait));
  for (const reason of reasons) process.stderr.write(`error: ${reason}\n`);
  return reasons.length === 0 ? EXIT.GOOD : EXIT.FAILED;
}
