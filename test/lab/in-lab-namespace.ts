// Runs one case of a lab case file on this machine's kernel, in a network and mount namespace of its own with an empty /run, so that the
// namespaces it names exist for it alone and all of it ends with the process. The case file ends with serveCases of in-namespace.ts.

import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** What case `name` of `file` returned, as JSON. Rejects with its standard error when it throws or takes longer than 120 s. */
export function runInLabNamespace(file: URL, name: string): Promise<any> {
  const mountAndRun = 'mount -t tmpfs tmpfs /run && exec "$@"';
  const args = ['-n', '-m', 'sh', '-c', mountAndRun, 'sh', process.execPath, fileURLToPath(file), name];
  return new Promise((resolve, reject) => {
    execFile('unshare', args, { encoding: 'utf8', timeout: 120_000 }, (error, stdout, stderr) => {
      if (error !== null) reject(new Error(`${name}: ${error.message}\n${stderr}`));
      else resolve(JSON.parse(stdout));
    });
  });
}
