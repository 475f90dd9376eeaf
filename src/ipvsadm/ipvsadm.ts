// `ipvsadm`: one command line, from its arguments to its exit code. Everything outside is reached through IpvsadmIo.

import { formatAbout } from './help.ts';
import type { IpvsadmIo } from './io.ts';
import { formatTableError, withTable } from './open.ts';
import { parseCommandLine } from './parse.ts';
import { EXIT } from './refusal.ts';
import type { ListFormat, Request } from './request.ts';
import { runRequest } from './session.ts';
import { VERB_USAGES } from './verb-usages.ts';

const PLAIN_FORMAT: ListFormat = {
  style: 'default',
  isNumeric: false,
  isExact: false,
  isUnsorted: false,
  isJson: false,
};
/** What the command does without any argument. */
const PLAIN_LIST: Request = { kind: 'list', target: 'table', service: null, format: PLAIN_FORMAT };

/** Runs the command line `args` (without the program's name); resolves to the exit code. Rejects only for defects of ours. */
export async function ipvsadm(args: readonly string[], io: IpvsadmIo): Promise<number> {
  const [first] = args;
  if (VERB_USAGES.some(({ verb }) => verb === first)) {
    const { runVerb } = await import('./verbs.ts');
    return runVerb(args, io);
  }
  const request = first === undefined ? PLAIN_LIST : parseCommandLine(args, io.program, io.names);
  // The original needs the kernel even for these.
  if (request.kind === 'help' || request.kind === 'version') {
    io.out(formatAbout(request.kind));
    return EXIT.GOOD;
  }
  return withTable(
    io,
    (table) => runRequest(request, table, io),
    (error) => {
      io.err(`${formatTableError(error)}\n`);
      return EXIT.FAILED;
    },
  );
}
