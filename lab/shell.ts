// `npm run lab`: a shell for a person in an IPVS guest with a network, pods that answer, and examples/hello at hand.
// With a terminal it is interactive; without one the commands on standard input run, and the exit code is the shell's.

import { fileURLToPath } from 'node:url';
import { errorLine } from '../src/model/errors.ts';
import { ipvsKernel, runInGuest } from './boot.ts';

const TERMINAL_TIMEOUT_MS = 8 * 3600_000;
const PIPED_TIMEOUT_MS = 600_000;
/** Standard input is handed over as a whole. */
const MAX_STDIN_BYTES = 1 << 20;
const BIN = fileURLToPath(new URL('../bin', import.meta.url));
const PATH = `${BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;

process.exitCode = await main();

async function main(): Promise<number> {
  const reason = ipvsKernel.probe();
  if (reason !== null) return fail(`the lab cannot run here: ${reason}`, 3);
  const isTerminal = process.stdin.isTTY && process.stdout.isTTY;
  try {
    const stdin = isTerminal ? '' : await readStdin();
    if (stdin === null)
      return fail(`more than ${MAX_STDIN_BYTES} bytes of commands; put them into a script and run that`, 2);
    const result = await runInGuest(new URL('./shell-guest.ts', import.meta.url), [], {
      timeoutMs: isTerminal ? TERMINAL_TIMEOUT_MS : PIPED_TIMEOUT_MS,
      env: { PATH, ...terminalSize() },
      stdin,
      isInteractive: isTerminal,
      onOutput: (text) => process.stdout.write(text),
      onErrorOutput: (text) => process.stderr.write(text),
    });
    if (result.exitCode !== null) return result.exitCode;
    return fail(
      result.timedOut ? 'the shell was ended at its time limit' : 'the guest ended without an exit code',
      1,
    );
  } catch (error) {
    return fail(errorLine(error), 1);
  }
}

/** The guest's console does not know how large the person's window is. */
function terminalSize(): Record<string, string> {
  const { columns, rows } = process.stdout;
  return columns > 0 && rows > 0
    ? { POINTSMAN_TTY_COLUMNS: String(columns), POINTSMAN_TTY_ROWS: String(rows) }
    : {};
}

/** null when it is larger than allowed. */
async function readStdin(): Promise<string | null> {
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MAX_STDIN_BYTES) return null;
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

function fail(line: string, code: number): number {
  process.stderr.write(`error: ${line}\n`);
  return code;
}
