// Opens the kernel's table for a command, or says in the original's words why not, and closes it when the command is done.

import { KernelError, PointsmanError } from '../model/errors.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import { formatKernelError } from './kernel-errors.ts';
import { EXIT } from './refusal.ts';

/**
 * Gives `run` the table; resolves to its exit code, to 2 when the table cannot be opened or read, which is said then, and to what `tell`
 * gives for an error of the kernel or the table that `run` throws.
 */
export async function withTable(
  io: IpvsadmIo,
  run: (table: IpvsTable) => Promise<number>,
  tell: (error: PointsmanError) => number,
): Promise<number> {
  const table = openTable(io);
  if (table === null) return EXIT.USAGE;
  try {
    return await run(table);
  } catch (error) {
    if (!(error instanceof PointsmanError)) throw error;
    return tell(error);
  } finally {
    table.close();
  }
}

/** What a verb does about such an error: one line with the verb's name, exit code 1. */
export function tellOf(verb: string, io: IpvsadmIo): (error: PointsmanError) => number {
  return ({ message }) => {
    io.err(`${io.program} ${verb}: ${message}\n`);
    return EXIT.FAILED_LIST;
  };
}

function openTable(io: IpvsadmIo): IpvsTable | null {
  let table: IpvsTable | undefined;
  try {
    table = io.openTable();
    table.info();
    return table;
  } catch (error) {
    if (!(error instanceof PointsmanError)) throw error;
    table?.close();
    const reason = error.code === 'MISSING_MODULE' ? 'Protocol not available' : formatTableError(error);
    io.err(
      `Can't initialize ipvs: ${reason}\nAre you sure that IP Virtual Server is built in the kernel or as module?\n`,
    );
    return null;
  }
}

/** In the original's words where the kernel gave an errno, else in ours. */
export function formatTableError(error: PointsmanError): string {
  return error instanceof KernelError
    ? formatKernelError('OPEN', error.errno, error.errnoName)
    : error.message;
}
