// The guest's program of the transcripts' test: replays the recorded session with ours and writes what every command gave to session.json
// (section -> outcomes in order). Plain commands run in this process; the others in bash, where a shim leads back here.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quoteForShell, type CommandLine, type Outcome } from './command-line.ts';
import { asCompatible } from './deliberate-differences.ts';
import { runInProcess } from './in-process.ts';
import { SECTIONS, TRAFFIC } from './session.ts';
import { ShellProcess } from './shell-process.ts';
import { Shim } from './shim.ts';
import { readTranscript } from './transcript-file.ts';

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const PLAIN = /^ipvsadm(?: [\w@%+:,./[\]-]+)*$/;

const shell = new ShellProcess();

/** Runs bash -c to its end, as the session was recorded. */
const bash = (command: string): Promise<Outcome> => shell.run(`bash -c ${quoteForShell(command)}`);

async function must(command: string): Promise<void> {
  const { exitCode, stderr } = await bash(command);
  if (exitCode !== 0) throw new Error(`${command}: exit ${exitCode}: ${stderr}`);
}

/** Runs ours as `uid`: what the kernel allows depends on this process's effective user. */
async function runAs(line: CommandLine, uid: number): Promise<Outcome> {
  if (uid !== 0) process.seteuid?.(uid);
  try {
    return await runInProcess(asCompatible(line, 0));
  } finally {
    if (uid !== 0) process.seteuid?.(0);
  }
}

function run(command: string): Promise<Outcome> {
  return PLAIN.test(command) ? runAs({ args: command.split(' ').slice(1), stdin: null }, 0) : bash(command);
}

async function traffic(): Promise<void> {
  for (const server of ['172.31.1.2', '172.31.2.2']) {
    await must(`curl -s -o /dev/null --retry 100 --retry-connrefused --retry-delay 0 http://${server}:8080/`);
  }
  await must(`sh ${path('session-traffic.sh')}`);
}

const shim = await Shim.install('/usr/sbin/ipvsadm', shell, runAs);
const outcomes: Record<string, Outcome[]> = {};
for (const { name, before, afterEach } of SECTIONS) {
  for (const command of before) await (command === TRAFFIC ? traffic() : must(command));
  const own: Outcome[] = (outcomes[name] = []);
  for (const { command } of readTranscript(name)) {
    own.push(await run(command));
    if (afterEach !== undefined) await run(afterEach);
  }
}
shim.close();
shell.close();
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '.', 'session.json'), JSON.stringify(outcomes));
