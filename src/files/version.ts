// The version of this program: where it is bundled the one that setup/bundle.mjs wrote into it, otherwise that of package.json.

import { readFileSync } from 'node:fs';

/** What setup/bundle.mjs puts in the place of this name; there is no such variable otherwise. */
declare const POINTSMAN_VERSION: string | undefined;

export const VERSION: string = typeof POINTSMAN_VERSION === 'string' ? POINTSMAN_VERSION : versionOfPackage();

function versionOfPackage(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
