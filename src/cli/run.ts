// `pointsman run`: the agent. One at a time in a network namespace, and not beside a kube-proxy. Ends at SIGTERM or SIGINT, in bounded time,
// and leaves forwarding as it is.

import { parseReplaySpeed, type ReplaySpeed } from '../cluster/replay.ts';
import type { Config } from '../config/config.ts';
import { NO_FLAGS, type GivenFlags } from '../config/given-flags.ts';
import { takeAgentLock, type AgentLock } from '../daemon/agent-lock.ts';
import { Daemon } from '../daemon/daemon.ts';
import { NODE_TIMERS } from '../daemon/node-timers.ts';
import type { FactsOrigin } from '../daemon/facts-origin.ts';
import type { AgentLog, Log } from '../daemon/log.ts';
import { describeRival, findRival, rivalError } from '../daemon/rival.ts';
import { logSettings } from '../daemon/settings.ts';
import { readConfig } from '../daemon/start-up.ts';
import { agentRoutes } from '../http/agent-routes.ts';
import { ControlChannel } from '../http/control-channel.ts';
import { ProxyPorts } from '../http/proxy-ports.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { ownFolderDanger } from './own-folder.ts';
import { openStderrLog } from './stderr-log.ts';
import { followSignals, stopInTime } from './stopping.ts';

export interface RunOptions extends Omit<FactsOrigin, 'replaySpeed'> {
  /** As parseReplaySpeed reads it. */
  readonly replaySpeed?: string;
  /** A new file for a recording of the facts. */
  readonly record?: string;
  readonly config?: string;
  /** Flags of kube-proxy, those that are options here among them; default none. */
  readonly flags?: GivenFlags;
  readonly once?: boolean;
  readonly force?: boolean;
  /** Only prepare the machine, then end. */
  readonly initOnly?: boolean;
  /** Remove everything instead of running. */
  readonly cleanup?: boolean;
  readonly socket: string;
  readonly v: number;
}

/** Runs until it is told to stop; with `once` until the first sync is done. Returns the exit code. */
export async function runCommand(options: RunOptions): Promise<number> {
  if (options.cleanup === true) return (await import('./cleanup.ts')).cleanUpAll(options);
  const log = openStderrLog(options.v);
  const danger = ownFolderDanger();
  if (danger !== null) log.warn(danger);
  const start = {
    facts: { ...options, replaySpeed: speedOf(options) },
    record: options.record,
    configPath: options.config,
    flags: options.flags ?? NO_FLAGS,
    log,
  };
  const { config, loaded, nodeName } = await readConfig(start, (read) => log.configure(logSettings(read)));
  if (options.initOnly === true) {
    await (await import('../daemon/init-only.ts')).initOnly(config, log);
    return EXIT.GOOD;
  }
  const signals = followSignals(log, options.once === true ? EXIT.FAILED : EXIT.GOOD);
  let lock: AgentLock | undefined;
  const daemon = await Daemon.open({ ...start, loaded, nodeName }, async () => {
    lock = await takeAgentLock({ log });
    await refuseRival(config, options.force === true, log);
  });
  signals.setStarted();
  const code =
    options.once === true
      ? await once(daemon, signals.asked)
      : await follow(daemon, options, log, signals.asked);
  lock?.release();
  return code;
}

function speedOf({ replay, replaySpeed }: RunOptions): ReplaySpeed | undefined {
  if (replaySpeed === undefined) return undefined;
  if (replay === undefined) throw new PointsmanError('USAGE', '--replay-speed needs --replay FILE');
  return parseReplaySpeed(replaySpeed);
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
  log: AgentLog,
  asked: Promise<NodeJS.Signals>,
): Promise<number> {
  let ports: ProxyPorts;
  try {
    ports = await ProxyPorts.open({ daemon, log, timers: NODE_TIMERS });
  } catch (error) {
    await stopInTime((onWait) => daemon.stop(onWait));
    throw error;
  }
  daemon.run(options.config);
  const channel = await ControlChannel.open({
    path: options.socket,
    routes: agentRoutes(daemon),
    log,
    timers: NODE_TIMERS,
  });
  const end = await Promise.race([asked, daemon.whenFailed]);
  if (typeof end === 'string') log.info('Stopping; forwarding stays as it is', { signal: end });
  else log.error('Stopping; forwarding stays as it is', { err: errorLine(end) });
  await stopInTime(async (onWait) => {
    onWait('the control socket');
    await channel.close();
    await daemon.stop(onWait);
    onWait('the ports');
    await ports.close();
  });
  return typeof end === 'string' ? EXIT.GOOD : exitCodeOf(end);
}

async function once(daemon: Daemon, asked: Promise<NodeJS.Signals>): Promise<number> {
  let reasons: readonly string[];
  try {
    reasons = await Promise.race([
      daemon.runOnce(),
      asked.then((name) => [`${name} came before the sync was done`]),
    ]);
  } finally {
    await stopInTime((onWait) => daemon.stop(onWait));
  }
  for (const reason of reasons) process.stderr.write(`error: ${reason}\n`);
  return reasons.length === 0 ? EXIT.GOOD : EXIT.FAILED;
}
