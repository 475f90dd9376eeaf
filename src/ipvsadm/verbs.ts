// The verbs that ipvsadm 1.31 does not have: from their command lines to what carries each out, which is loaded only when it is called.
// Options follow the custom of today's tools; services and servers are written as in the rest of the command.

import { formatVerbHelp } from './help.ts';
import { withChanges, type IpvsadmIo } from './io.ts';
import { tellOf, withTable } from './open.ts';
import { EXIT } from './refusal.ts';
import { VerbArguments, VerbUsageError } from './verb-arguments.ts';
import { VERB_USAGES } from './verb-usages.ts';

type Verb = (args: VerbArguments, io: IpvsadmIo) => Promise<number>;

/** Runs `args`, whose first is a verb; resolves to the exit code. */
export async function runVerb(args: readonly string[], io: IpvsadmIo): Promise<number> {
  const [verb = '', ...rest] = args;
  const run = VERBS[verb];
  const usage = VERB_USAGES.find((each) => each.verb === verb);
  if (run === undefined || usage === undefined) throw new Error(`no verb "${verb}"`);
  if (rest.includes('--help') || rest.includes('-h')) {
    io.out(formatVerbHelp(usage));
    return EXIT.GOOD;
  }
  try {
    return await run(new VerbArguments(verb, rest), io);
  } catch (error) {
    if (!(error instanceof VerbUsageError)) throw error;
    io.err(`${io.program} ${verb}: ${error.message}; usage: ${io.program} ${usage.usage}\n`);
    return EXIT.USAGE;
  }
}

const VERBS: Readonly<Record<string, Verb>> = { diff, restore, top, drain, undrain, completion };

async function diff(args: VerbArguments, io: IpvsadmIo): Promise<number> {
  const file = args.onlyWord('a FILE of rules, or "-"');
  const { diffCommand } = await import('./merge.ts');
  const options = { file, isJson: args.has('json'), isAppend: args.has('append') };
  return withTable(io, (table) => diffCommand(options, table, io), tellOf('diff', io));
}

async function restore(args: VerbArguments, io: IpvsadmIo): Promise<number> {
  args.noWordAfter(1);
  const file = args.words[0] ?? '-';
  if (args.has('merge')) {
    const { mergeCommand } = await import('./merge.ts');
    const options = { file, isJson: args.has('json'), isAppend: false };
    return withTable(io, (table) => mergeCommand(options, table, io), tellOf('restore', io));
  }
  if (args.has('json')) throw new VerbUsageError('--json goes with --merge');
  const { readInput } = await import('./merge.ts');
  const rules = readInput(file, io);
  if (rules === null) return EXIT.USAGE;
  const { runRequest } = await import('./session.ts');
  const source = withChanges(io, { stdin: () => [rules] });
  return withTable(io, (table) => runRequest({ kind: 'restore' }, table, source), tellOf('restore', io));
}

async function top(args: VerbArguments, io: IpvsadmIo): Promise<number> {
  args.noWordAfter(1);
  const { DEFAULT_TOP_OPTIONS, MIN_TOP_INTERVAL_MS, TOP_SORTS, topCommand } = await import('./top.ts');
  const wanted = args.text('sort') ?? DEFAULT_TOP_OPTIONS.sort;
  const sort = TOP_SORTS.find((each) => each === wanted);
  if (sort === undefined)
    throw new VerbUsageError(`--sort takes one of ${TOP_SORTS.join(', ')}, not "${wanted}"`);
  return topCommand(
    {
      intervalMs: args.durationMs('interval', MIN_TOP_INTERVAL_MS) ?? DEFAULT_TOP_OPTIONS.intervalMs,
      iterations: args.number('iterations', 1, MAX_COUNT) ?? null,
      sort,
      filter: args.words[0] ?? null,
      limit: args.number('limit', 1, MAX_COUNT) ?? null,
      hasServers: !args.has('no-servers'),
      isNumeric: args.has('numeric'),
      isJson: args.has('json'),
    },
    io,
  );
}

async function drain(args: VerbArguments, io: IpvsadmIo): Promise<number> {
  const { DEFAULT_DRAIN_OPTIONS, MIN_DRAIN_INTERVAL_MS, drainCommand } = await import('./drain.ts');
  return drainCommand(
    {
      ...args.server(io.names),
      deadlineMs: args.durationMs('deadline', 0) ?? DEFAULT_DRAIN_OPTIONS.deadlineMs,
      intervalMs: args.durationMs('interval', MIN_DRAIN_INTERVAL_MS) ?? DEFAULT_DRAIN_OPTIONS.intervalMs,
      removes: args.has('remove'),
      waits: !args.has('no-wait'),
      ignoresPersistent: args.has('ignore-persistent'),
      isJson: args.has('json'),
    },
    io,
  );
}

async function undrain(args: VerbArguments, io: IpvsadmIo): Promise<number> {
  const { undrainCommand } = await import('./drain-undo.ts');
  const weight = args.number('weight', 1, MAX_WEIGHT) ?? null;
  return undrainCommand({ ...args.server(io.names), weight, isJson: args.has('json') }, io);
}

async function completion(args: VerbArguments, io: IpvsadmIo): Promise<number> {
  const shell = args.onlyWord('bash, zsh or fish');
  const { COMPLETIONS } = await import('./completion.ts');
  const text = COMPLETIONS[shell];
  if (text === undefined) throw new VerbUsageError(`there is no completion for "${shell}"`);
  io.out(text());
  return EXIT.GOOD;
}

const MAX_COUNT = 1_000_000_000;
const MAX_WEIGHT = 0x7fffffff;
