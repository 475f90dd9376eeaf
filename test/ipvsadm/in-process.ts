// Runs `pointsman ipvsadm` inside this process: thousands of command lines for one start of Node. Its kernel is the network
// namespace that the calling thread is in. It must not reach the process's own standard streams.

import { readFileSync } from 'node:fs';
import { ipvsadm } from '../../src/ipvsadm/ipvsadm.ts';
import type { IpvsadmIo } from '../../src/ipvsadm/io.ts';
import { IpvsClient } from '../../src/kernel/ipvs.ts';
import { systemNames } from '../../src/kernel/name-service.ts';
import type { CommandLine, Outcome } from './command-line.ts';

const PIECE_LENGTH = 37;

/** Runs one line to its end; what is thrown is thrown. */
export async function runInProcess({ args, stdin }: CommandLine): Promise<Outcome> {
  let stdout = '';
  let stderr = '';
  const io: IpvsadmIo = {
    out: (text) => void (stdout += text),
    err: (text) => void (stderr += text),
    program: 'ipvsadm',
    stdin: () => inPieces(stdin ?? ''),
    readFile: (path) => readFileSync(path, 'latin1'),
    openTable: () => IpvsClient.open(),
    // The thread's, not the process's: the two may be in different namespaces.
    readConnections: () => readFileSync('/proc/thread-self/net/ip_vs_conn', 'latin1'),
    names: systemNames,
    nowMs: () => performance.now(),
    wait: (ms) => new Promise((resolve) => void setTimeout(resolve, ms)),
    terminal: () => null,
    signal: new AbortController().signal,
  };
  const exitCode = await ipvsadm(args, io);
  return { exitCode, stdout: bytes(stdout), stderr: bytes(stderr) };
}

/** Standard input comes in pieces of any size; their ends must not matter. */
function* inPieces(text: string): Generator<string> {
  for (let at = 0; at < text.length; at += PIECE_LENGTH) yield text.slice(at, at + PIECE_LENGTH);
}

/** What the program writes, as Latin-1 characters. */
function bytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
