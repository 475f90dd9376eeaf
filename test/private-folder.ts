// A temporary folder that nobody else can put anything into or above: below the home folder, because everybody may write to /tmp.

import { mkdtempSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { dangerOf } from '../src/kernel/native-library.ts';

/** Its path, or null where this user's home is no such place. The caller removes it. */
export function makePrivateFolder(): string | null {
  const { homedir } = userInfo();
  return dangerOf(homedir) === null ? mkdtempSync(join(homedir, '.pointsman-test-')) : null;
}
