// Reads the recorded scheduler experiments (test/fixtures/schedulers/*.txt) into what was set, which servers answered and what the
// table showed. It refuses a line it does not know, so that nothing recorded is passed over. How they are repeated is not its matter.

import { readFileSync, readdirSync } from 'node:fs';

const FOLDER = new URL('../fixtures/schedulers/', import.meta.url);

/** One row of connections. */
export interface RecordedRun {
  /** The sysctl line that stands above it, 'net.ipv4.vs.expire_quiescent_template = 1'. */
  readonly sysctl: string | null;
  /**
   * One word per connection, or per group of connections with a number in front: 's3', 'ECONNREFUSED', '4:s2', '4:s2/s2/s2'. The number
   * is the last part of the client's address, or of the virtual address in a firewall mark's experiment.
   */
  readonly sequence: string;
}

/** One experiment as it was recorded. */
export interface RecordedExperiment {
  /** 'rr.txt'. */
  readonly file: string;
  /** The comment above it: how the connections are made. */
  readonly title: string;
  /** What the comment '# setup:' says; null without one. */
  readonly setup: string | null;
  /** Lines as `ipvsadm -S` printed them: without thresholds, and with the weights of the moment. */
  readonly rules: readonly string[];
  readonly runs: readonly RecordedRun[];
  /** What `ipvsadm -Ln` showed after it from its third line on, this experiment's rows only; null when not recorded. */
  readonly after: string | null;
  /** Lines of `ipvsadm -Lcn`. */
  readonly connections: readonly string[];
}

interface Draft extends RecordedExperiment {
  setup: string | null;
  rules: string[];
  runs: RecordedRun[];
  after: string | null;
  connections: string[];
}

/** All experiments in the order of files and lines. */
export function readRecordings(): RecordedExperiment[] {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith('.txt'));
  return files.sort().flatMap((file) => parseRecording(file, readFileSync(new URL(file, FOLDER), 'utf8')));
}

/** The experiments of one file. Throws for a line of no known kind and for counts that are not those of the sequence. */
export function parseRecording(file: string, text: string): RecordedExperiment[] {
  const experiments: Draft[] = [];
  let sysctl: string | null = null;
  for (const [index, line] of text.split('\n').entries()) {
    const where = `${file}:${index + 1}`;
    const current = experiments.at(-1);
    const [, setup] = /^# setup: (.*)$/.exec(line) ?? [];
    const [, title] = /^# (.+)$/.exec(line) ?? [];
    if (line === '') continue;
    if (setup === undefined && title !== undefined && title !== 'after:') {
      experiments.push({ file, title, setup: null, rules: [], runs: [], after: null, connections: [] });
      sysctl = null;
    } else if (current === undefined) throw new Error(`${where}: nothing may stand above the first comment`);
    else if (setup !== undefined) current.setup = setup;
    else if (line === '# after:') current.after = '';
    else if (/^-[Aa] /.test(line)) current.rules.push(line);
    else if (line.startsWith('net.')) sysctl = line;
    else if (line.startsWith('sequence: '))
      current.runs.push({ sysctl, sequence: line.slice('sequence: '.length) });
    else if (line.startsWith('counts: '))
      checkCounts(where, current.runs.at(-1)?.sequence ?? '', line.slice('counts: '.length));
    else if (/^TCP \d\d:\d\d /.test(line)) current.connections.push(line);
    else if (current.after !== null) current.after += `${line}\n`;
    else throw new Error(`${where}: a line of no known kind: ${line}`);
  }
  return experiments;
}

function checkCounts(where: string, sequence: string, json: string): void {
  const counts: Record<string, number> = {};
  for (const word of sequence.split(' ')) {
    const outcome = word.replace(/^\d+:/, '');
    counts[outcome] = (counts[outcome] ?? 0) + 1;
  }
  if (JSON.stringify(counts) !== json)
    throw new Error(`${where}: counts ${json} do not belong to the sequence above`);
}
