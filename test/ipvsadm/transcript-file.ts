// Reads a transcript: commands with what they printed and returned. The format is in transcripts/README.md. Pure but for the file.

import { readFileSync } from 'node:fs';

/** One recorded command. */
export interface TranscriptEntry {
  readonly command: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

const STDERR = '[stderr] ';

/** All entries of `transcripts/NAME.txt`. Throws when an entry has no end. */
export function readTranscript(name: string): readonly TranscriptEntry[] {
  const text = readFileSync(new URL(`transcripts/${name}.txt`, import.meta.url), 'latin1');
  const entries: TranscriptEntry[] = [];
  let command: string | null = null;
  let stdout = '';
  let stderr = '';
  for (const line of text.split(/\r?\n/)) {
    const exit = /^\[exit (\d+)\]$/.exec(line);
    if (command === null) {
      if (line.startsWith('$ ')) command = line.slice(2);
    } else if (exit !== null) {
      entries.push({ command, stdout, stderr, exitCode: Number(exit[1]) });
      [command, stdout, stderr] = [null, '', ''];
    } else if (line.startsWith(STDERR)) {
      stderr += `${line.slice(STDERR.length)}\n`;
    } else {
      stdout += `${line}\n`;
    }
  }
  if (command !== null) throw new Error(`${name}: no end of ${command}`);
  return entries;
}
