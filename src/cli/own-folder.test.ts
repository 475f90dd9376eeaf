import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { makePrivateFolder } from '../../test/private-folder.ts';
import { describeDanger } from './own-folder.ts';

const place = makePrivateFolder();
afterAll(() => rmSync(place ?? '', { recursive: true, force: true }));

describe.skipIf(place === null)('describeDanger', () => {
  const folder = join(place ?? '', 'lib');
  const file = join(folder, 'program.js');
  mkdirSync(folder, { recursive: true });
  writeFileSync(file, '');

  it.each([
    ['nobody else can write', 0o755, 0o644, null],
    ['everybody can write to the file', 0o755, 0o666, file],
    ['everybody can write to its folder', 0o777, 0o644, folder],
  ])('says in one line when %s', (_case, folderMode, fileMode, named) => {
    chmodSync(folder, folderMode);
    chmodSync(file, fileMode);
    const line = describeDanger(['/usr/bin/env', file]);
    if (named === null) expect(line).toBeNull();
    else
      expect(line).toMatch(
        new RegExp(`^Others than root .*: ${named} can be written to by everybody; install it .*$`),
      );
  });
});
