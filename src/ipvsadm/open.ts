// Opens the kernel's table for a command, or says in the original's words why not.

import { KernelError, PointsmanError } from '../model/errors.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import { formatKernelError } from './kernel-errors.ts';

/** Opens the table and sees that it may be read; null when not, which is said then. */
export function openTable(io: IpvsadmIo): IpvsTable | null {
  let table: IpvsTable | undefined;
  try {
    table = io.openTable();
    table.info();
    return table;
  } catch (error) {
    if (!(error instanceof PointsmanError)) throw error;
    table?.close();
    const reason =
      error instanceof KernelError
        ? formatKernelError('OPEN', error.errno, error.errnoName)
        : error.code === 'MISSING_MODULE'
          ? 'Protocol not available'
          : error.message;
    io.err(
      `Can't initialize ipvs: ${reason}\nAre you sure that IP Virtual Server is built in the kernel or as module?\n`,
    );
    return null;
  }
}
