// A program in the original's place that hands its arguments and standard input to this process and prints what comes back: so a shell's
// pipes and redirections, su(1) and Debian's wrapper scripts work with ours without a start of Node. Only in a guest, whose files are its own.

import { chmodSync, constants, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { CommandLine, Outcome } from './command-line.ts';
import type { ShellProcess } from './shell-process.ts';

const FOLDER = '/run/shim';
const REQUESTS = `${FOLDER}/requests`;
const SCRIPT = `#!/bin/bash
call=$(mktemp -d ${FOLDER}/call-XXXXXX)
printf '%s\\0' "$EUID" "$@" > "$call/args"
case $1 in -R*|--restore*) cat > "$call/stdin" ;; esac
mkfifo "$call/done"
echo "$call" > ${REQUESTS}
read -r code < "$call/done"
cat "$call/stdout"
cat "$call/stderr" >&2
exit "$code"
`;

/** Runs a line for a caller with this user id. */
export type Answer = (line: CommandLine, uid: number) => Promise<Outcome>;

/** Puts the shim in the place of `program` and answers its calls, one after the other, until it is closed. */
export class Shim {
  readonly #requests: Socket;
  #work: Promise<void> = Promise.resolve();

  private constructor(answer: Answer) {
    // Open in both directions: a writer of its own keeps it open between calls.
    const fd = openSync(REQUESTS, constants.O_RDWR | constants.O_NONBLOCK);
    this.#requests = new Socket({ fd, readable: true, writable: false });
    let text = '';
    this.#requests.setEncoding('latin1').on('data', (piece) => {
      text += String(piece);
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const call of lines) this.#work = this.#work.then(() => respond(call, answer));
    });
  }

  static async install(program: string, shell: ShellProcess, answer: Answer): Promise<Shim> {
    if (!readFileSync('/proc/cpuinfo', 'latin1').includes('User Mode Linux'))
      throw new Error(`only a guest's ${program} may be replaced`);
    mkdirSync(FOLDER);
    // Callers that are not root make their folders here, too.
    chmodSync(FOLDER, 0o1777);
    await shell.run(`mkfifo -m 666 ${REQUESTS}`);
    writeFileSync(program, SCRIPT);
    chmodSync(program, 0o755);
    return new Shim(answer);
  }

  close(): void {
    this.#requests.destroy();
  }
}

async function respond(call: string, answer: Answer): Promise<void> {
  const [uid = '', ...args] = readFileSync(join(call, 'args'), 'utf8').split('\0').slice(0, -1);
  const stdin = join(call, 'stdin');
  const line = { args, stdin: existsSync(stdin) ? readFileSync(stdin, 'latin1') : null };
  const { exitCode, stdout, stderr } = await answer(line, Number(uid));
  writeFileSync(join(call, 'stdout'), stdout, 'latin1');
  writeFileSync(join(call, 'stderr'), stderr, 'latin1');
  chmodSync(call, 0o755);
  writeFileSync(join(call, 'done'), `${exitCode}\n`);
}
