// `undrain`: gives drained servers their weights back: the one that is asked for, else what `drain` remembered, else 1. It changes the
// weight alone.

import type { IpvsOperation } from '../kernel/ipvs.ts';
import { drainedServerOf, drainMemoryFile, type DrainedServer, type DrainMemory } from './drain-memory.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import { formatJsonLine } from './json.ts';
import { tellOf, withTable } from './open.ts';
import { EXIT } from './refusal.ts';
import {
  applyEach,
  selectServers,
  weightOperation,
  type SelectedServer,
  type ServerChoice,
} from './server-selection.ts';

/** What `undrain` is asked for. */
export interface UndrainOptions extends ServerChoice {
  /** 1 to 2147483647; null = what was remembered, else DEFAULT_UNDRAIN_WEIGHT. */
  readonly weight: number | null;
  /** One JSON object per line instead of text. */
  readonly isJson: boolean;
}

/** The weight of a server that nothing was said of, as in the rest of the command. */
export const DEFAULT_UNDRAIN_WEIGHT = 1;

interface Change {
  readonly id: DrainedServer;
  readonly selected: SelectedServer;
  readonly weight: number;
}

/**
 * Exit code 0 when every server has a weight (one that has one already keeps it unless `weight` is given); 1 when the kernel refuses; 2
 * when there is no such server. `memory` is for tests.
 */
export async function undrainCommand(
  options: UndrainOptions,
  io: IpvsadmIo,
  memory: DrainMemory = drainMemoryFile((ms) => io.wait(ms)),
): Promise<number> {
  const fail = (text: string): void => io.err(`${io.program} undrain: ${text}\n`);
  return withTable(io, (table) => undrainServers(options, table, io, memory, fail), tellOf('undrain', io));
}

async function undrainServers(
  options: UndrainOptions,
  table: IpvsTable,
  io: IpvsadmIo,
  memory: DrainMemory,
  fail: (text: string) => void,
): Promise<number> {
  const selection = await selectServers(table, options, io.signal);
  if (selection === null) return EXIT.FAILED_LIST;
  if (selection.servers === null) {
    fail(selection.reason);
    return EXIT.USAGE;
  }
  const changes = chooseWeights(selection.servers, options.weight, memory, fail);
  const refused = await setWeights(changes, table, fail);
  const done = changes.filter((change) => !refused.has(change));
  for (const change of done) report(change, options.isJson, io);
  const note = await memory.change(
    [],
    done.map(({ id }) => id),
  );
  if (note !== null) fail(`note: ${note}`);
  return refused.size > 0 ? EXIT.FAILED_LIST : EXIT.GOOD;
}

function chooseWeights(
  servers: readonly SelectedServer[],
  asked: number | null,
  memory: DrainMemory,
  fail: (text: string) => void,
): Change[] {
  const { weightOf, note } = memory.read();
  let unknown = 0;
  const changes = servers.map((selected): Change => {
    const { server } = selected;
    const id = drainedServerOf(selected);
    if (asked !== null) return { id, selected, weight: asked };
    if (server.weight > 0) return { id, selected, weight: server.weight };
    const remembered = weightOf(id);
    if (remembered === null) unknown++;
    return { id, selected, weight: remembered ?? DEFAULT_UNDRAIN_WEIGHT };
  });
  if (note !== null && asked === null) fail(`note: ${note}`);
  if (unknown > 0) {
    const whose =
      servers.length === 1
        ? 'the weight before the drain is'
        : `the weights of ${unknown} servers before the drain are`;
    fail(`note: ${whose} not remembered; weight ${DEFAULT_UNDRAIN_WEIGHT} is set (--weight N sets another)`);
  }
  return changes;
}

/** Gives the changes that were refused. */
async function setWeights(
  changes: readonly Change[],
  table: IpvsTable,
  fail: (text: string) => void,
): Promise<Set<Change>> {
  const refused = new Set<Change>();
  const needed = changes.filter(({ selected, weight }) => selected.server.weight !== weight);
  const operationOf = ({ selected, weight }: Change): IpvsOperation => weightOperation(selected, weight);
  await applyEach(needed, operationOf, table, (change, { error }) => {
    refused.add(change);
    fail(error.message);
  });
  return refused;
}

function report({ id, selected, weight }: Change, isJson: boolean, io: IpvsadmIo): void {
  const before = selected.server.weight;
  if (isJson) {
    io.out(formatJsonLine({ event: 'weight', ...id, before, weight }));
    return;
  }
  const text = before === weight ? `weight is ${weight} already` : `weight ${before} -> ${weight}`;
  io.out(`${id.service} -> ${id.server}: ${text}\n`);
}
