// A small shell that was started before Node (see twins.sh, session.sh) and runs scripts one after the other: a process start from Node takes
// seconds in a guest, because its kernel copies Node's whole address space; one from dash takes 20 ms.
// It knows nothing of ipvsadm. Source: dash(1), fifo(7).

import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { quoteForShell, type CommandLine, type Outcome } from './command-line.ts';

/** Where the shell reads scripts, and where it says how each ended. */
const SCRIPTS = '/run/shell-scripts';
const ANSWERS = '/run/shell-answers';
const TIME_LIMIT_MS = 100_000;

/** The shell; there is one in a guest, with one script at a time. Close it. */
export class ShellProcess {
  readonly #folder = mkdtempSync('/run/shell-');
  // Open in both directions, so that opening waits for nobody.
  readonly #scripts = openSync(SCRIPTS, constants.O_RDWR);
  readonly #answers = new Socket({
    fd: openSync(ANSWERS, constants.O_RDWR | constants.O_NONBLOCK),
    readable: true,
    writable: false,
  });
  #onAnswer: ((text: string) => void) | null = null;

  constructor() {
    this.#answers.setEncoding('latin1').on('data', (text) => this.#onAnswer?.(String(text)));
  }

  /** Runs `command` of sh(1), with these bytes as standard input, to its end. Throws after 30 s. */
  async run(command: string, stdin: string | null = null): Promise<Outcome> {
    const file = (name: string): string => join(this.#folder, name);
    if (stdin !== null) writeFileSync(file('stdin'), stdin, 'latin1');
    const input = stdin === null ? '/dev/null' : file('stdin');
    const answer = await this.#ask(
      `{ ${command}\n} <${input} >${file('stdout')} 2>${file('stderr')} 3>&-; echo $? >&3\n`,
    );
    return {
      exitCode: Number(answer),
      stdout: readFileSync(file('stdout'), 'latin1'),
      stderr: readFileSync(file('stderr'), 'latin1'),
    };
  }

  /** Runs the program ipvsadm. */
  ipvsadm({ args, stdin }: CommandLine): Promise<Outcome> {
    return this.run(['ipvsadm', ...args].map(quoteForShell).join(' '), stdin);
  }

  #ask(script: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no end after ${TIME_LIMIT_MS} ms: ${script}`)),
        TIME_LIMIT_MS,
      );
      let text = '';
      this.#onAnswer = (piece) => {
        text += piece;
        if (!text.endsWith('\n')) return;
        clearTimeout(timer);
        this.#onAnswer = null;
        resolve(text.trim());
      };
      writeSync(this.#scripts, script);
    });
  }

  close(): void {
    this.#answers.destroy();
    closeSync(this.#scripts);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
