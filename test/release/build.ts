// Builds a release of these sources into a temporary folder, for tests that run it. Takes some seconds.

import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const ROOT = join(import.meta.dirname, '../..');
export const MANIFESTS = join(ROOT, 'examples/hello/manifests');
export const { version: VERSION } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  version: string;
};

/** Where the parts of a release are. */
export interface Release {
  /** Holds all of it; nobody can write to it but this user, everybody can run what is in it. */
  readonly folder: string;
  /** The launcher of the form that needs a Node.js. */
  readonly launcher: string;
  /** The form that has Node.js in it. */
  readonly executable: string;
  remove(): void;
}

type Start = (args: readonly string[], cwd?: string) => Promise<void>;
/** The set-up is plain JavaScript without declarations. */
const { builder } = (await import(new URL('../../setup/build.mjs', import.meta.url).href)) as {
  builder: (root: string, node: string, env: NodeJS.ProcessEnv) => Start;
};
const { buildRelease } = (await import(new URL('../../setup/release.mjs', import.meta.url).href)) as {
  buildRelease: (work: { root: string; node: string; start: Start; folder: string }) => Promise<void>;
};

/** Builds as `npm run build` does, with the Node.js that runs the tests. */
export async function makeRelease(): Promise<Release> {
  const above = mkdtempSync(join(tmpdir(), 'pointsman release-'));
  chmodSync(above, 0o755);
  const folder = join(above, 'release');
  const start = builder(ROOT, process.execPath, { PATH: process.env['PATH'] });
  await buildRelease({ root: ROOT, node: process.execPath, start, folder });
  const machine = `linux-${process.arch}`;
  return {
    folder,
    launcher: join(folder, `pointsman-${VERSION}-${machine}/bin/pointsman`),
    executable: join(folder, `pointsman-standalone-${VERSION}-${machine}`),
    remove: () => rmSync(above, { recursive: true, force: true }),
  };
}
