// Runs one case of a case file in a fresh network namespace of this machine's kernel, as a process of its own (a namespace belongs to a
// thread, and Node's main thread must keep its own), and gives back what the case returned. The namespace ends with the process.

import { execFile } from 'node:child_process';
import { getuid } from 'node:process';
import { fileURLToPath } from 'node:url';

/** Why cases cannot run here, or null. */
export const whyNoNamespaces: string | null = getuid?.() === 0 ? null : 'needs root for network namespaces';

if (whyNoNamespaces !== null) process.stderr.write(`kernel tests are skipped: ${whyNoNamespaces}\n`);

/** What case `name` of `file` returned, as JSON. Rejects with its standard error when it throws or takes longer than 30 s. */
export function runInNamespace(file: URL, name: string): Promise<any> {
  return new Promise((resolve, reject) => {
    const args = ['-n', process.execPath, fileURLToPath(file), name];
    execFile(
      'unshare',
      args,
      { encoding: 'utf8', timeout: 180_000, maxBuffer: 64 << 20 },
      (error, stdout, stderr) => {
        if (error !== null) reject(new Error(`${name}: ${error.message}\n${stderr}`));
        else resolve(JSON.parse(stdout));
      },
    );
  });
}

/** The other side of runInNamespace, called at the end of a case file: runs the case named on the command line and prints its result. */
export async function serveCases(cases: Readonly<Record<string, () => Promise<unknown>>>): Promise<void> {
  const name = process.argv[2] ?? '';
  const run = cases[name];
  if (run === undefined)
    throw new Error(`no case ${JSON.stringify(name)}; there are ${Object.keys(cases).join(', ')}`);
  process.stdout.write(JSON.stringify(await run()));
}
