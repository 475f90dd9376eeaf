// Writes lines of a log so that nobody who reads it can hold up or end the agent: a pipe that is not read costs a bounded amount of memory
// and then lines, a full disk costs lines, a reader that left costs all. What was lost is counted and said as soon as there is room again.
// A stopped terminal (Ctrl-S) does hold up the agent: Node writes to terminals synchronously.
// How the loss is said is for the log to know (`sayLoss`): its readers may expect JSON.

import { fstatSync, writeSync } from 'node:fs';

/** What waits to be read; about ten thousand lines. */
const MAX_WAITING_BYTES = 1 << 20;

/** The part of a stream that is used. */
export interface LineStream {
  readonly writableLength: number;
  write(text: string): boolean;
}

/** The line, without its newline, that says how many lines were lost. */
export type SayLoss = (lines: number) => string;

const sayPlainly: SayLoss = (lines) => `... ${lines} lines of this log were lost: they could not be written`;

/** Writes to a stream whose errors somebody else hears. */
export function makeStreamWriter(
  stream: LineStream,
  maxWaitingBytes = MAX_WAITING_BYTES,
  sayLoss = sayPlainly,
): (line: string) => void {
  return withLosses(sayLoss, (text) => {
    if (stream.writableLength + text.length > maxWaitingBytes) return false;
    stream.write(text);
    return true;
  });
}

/** Writes to a file; a write that fails loses that line alone. */
export function makeFileWriter(fd: number, sayLoss = sayPlainly): (line: string) => void {
  return withLosses(sayLoss, (text) => {
    try {
      return writeSync(fd, text) > 0;
    } catch {
      return false;
    }
  });
}

/** To standard error, whatever it is. */
export function makeStderrWriter(sayLoss = sayPlainly): (line: string) => void {
  return fstatSync(2).isFile()
    ? makeFileWriter(2, sayLoss)
    : makeStreamWriter(process.stderr, MAX_WAITING_BYTES, sayLoss);
}

function withLosses(sayLoss: SayLoss, write: (text: string) => boolean): (line: string) => void {
  let lost = 0;
  return (line) => {
    const news = lost === 0 ? '' : `${sayLoss(lost)}\n`;
    if (write(`${news}${line}\n`)) lost = 0;
    else lost++;
  };
}
