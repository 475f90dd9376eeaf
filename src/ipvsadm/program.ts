// The command on this machine's streams. Called as ipvsadm-save or ipvsadm-restore it does what the original's scripts of these names do.

import { withChanges, type IpvsadmIo } from './io.ts';
import { ipvsadm } from './ipvsadm.ts';
import { systemIo } from './system-io.ts';

/** Runs the command line `args`; resolves to the exit code. `calledAs` is the last part of argv[0]. */
export function runProgram(args: readonly string[], calledAs: string): Promise<number> {
  const io = systemIo('ipvsadm');
  if (calledAs === 'ipvsadm-save') return save(args, io);
  if (calledAs === 'ipvsadm-restore') return restore(io);
  return ipvsadm(args, io);
}

async function save(args: readonly string[], io: IpvsadmIo): Promise<number> {
  if (args.some((arg) => arg.startsWith('-') && arg !== '-n')) {
    io.err('ipvsadm-save: prints the IPVS table as rules for ipvsadm-restore; with -n as numbers\n');
    return 1;
  }
  return ipvsadm(['-S', ...args.filter((arg) => arg === '-n').slice(0, 1)], io);
}

/** Reads all rules first, then clears the table and adds them; lines that begin with "#" are comments. */
async function restore(io: IpvsadmIo): Promise<number> {
  const rules = [...io.stdin()].join('').replaceAll(/^#.*\n?/gm, '');
  await ipvsadm(['-C'], io);
  return ipvsadm(['-R'], withChanges(io, { stdin: () => [rules] }));
}
