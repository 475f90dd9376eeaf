// What the agent's first sync would write, without writing it: the same agent and the same backend on a port that only writes down.
// Changes nothing in the kernel. From an empty kernel it needs no root.

import { IpvsBackend } from '../backends/ipvs/backend.ts';
import { UNKNOWN_BEHAVIOUR } from '../backends/ipvs/kernel-behaviour.ts';
import { probeKernelBehaviour } from '../backends/ipvs/kernel-behaviour-probe.ts';
import { KernelPort } from '../backends/ipvs/kernel-port.ts';
import { EMPTY_KERNEL, RecordingPort, type PlannedWrite } from '../backends/ipvs/recording-port.ts';
import { nextTurn } from '../kernel/netlink.ts';
import { makePacer } from './pacer.ts';
import { PointsmanError } from '../model/errors.ts';
import { formatProblem } from '../model/problem.ts';
import { Agent } from './agent.ts';
import { NODE_TIMERS } from './node-timers.ts';
import { chooseSource } from './facts-origin.ts';
import { readFactsOnce } from './read-facts.ts';
import { detectFamilies } from './address-families.ts';
import { askedByPerson, readConfig, type DaemonOptions } from './start-up.ts';
import { LocalAddresses } from './local-addresses.ts';
import type { Log } from './log.ts';
import { ipvsSettings, nodeOptionsFrom } from './settings.ts';

export interface PreviewOptions extends DaemonOptions {
  /** Compare with a kernel on which nothing was ever set up instead of with this one. */
  readonly isFromEmpty: boolean;
}

/** What `pointsman plan -o json` prints: keys are added to, never renamed. */
export interface Preview {
  /** Name of the node. */
  readonly node: string;
  /** In the order in which the agent would write. */
  readonly changes: readonly PlannedWrite[];
  /** One line each: objects that are wrong and left out. */
  readonly problems: readonly string[];
}

/** The agent speaks here for itself alone: what is wrong is in the preview, or thrown. */
const SILENT: Log = { info: () => {}, warn: () => {}, error: () => {}, verbose: () => {} };

/** Makes the preview. Throws as Daemon.open does, and KERNEL_REFUSED when the kernel cannot be read. */
export async function makePreview(options: PreviewOptions): Promise<Preview> {
  const { config, nodeName } = await readConfig(options);
  const families = detectFamilies();
  const source = chooseSource(options.facts, config, askedByPerson(options));
  const report = await readFactsOnce(source, config, nodeName, NODE_TIMERS);
  for (const warning of report.warnings) options.log.warn(warning);
  const kernel = options.isFromEmpty ? null : await KernelPort.open(families);
  const addresses = new LocalAddresses();
  try {
    const port = new RecordingPort(kernel ?? EMPTY_KERNEL);
    const localAddresses = await addresses.read();
    const pace = makePacer(() => performance.now(), nextTurn);
    const backend = new IpvsBackend(
      port,
      families,
      ipvsSettings(
        config,
        { now: () => performance.now(), pace },
        // As the agent would: it decides what is written to the switches.
        kernel === null ? UNKNOWN_BEHAVIOUR : probeKernelBehaviour(),
      ),
    );
    const node = nodeOptionsFrom(config, { nodeName, families, node: undefined, localAddresses });
    const agent = new Agent({ backend, log: SILENT, node, pace, onDirty: () => {} });
    agent.onEvents(report.events);
    agent.setNode(
      nodeOptionsFrom(config, { nodeName, families, node: agent.snapshot.node(nodeName), localAddresses }),
    );
    agent.setComplete();
    await agent.sync('request');
    if (agent.status.lastError !== '') throw new PointsmanError('KERNEL_REFUSED', agent.status.lastError);
    const problems = [...report.problems, ...agent.problems().map(formatProblem)];
    return { node: nodeName, changes: port.writes, problems };
  } finally {
    addresses.close();
    kernel?.close();
  }
}
