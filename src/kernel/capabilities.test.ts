// Effective sets as texts, and those of children that have fewer.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, test } from 'vitest';
import { missingCapabilities, type Capability } from './capabilities.ts';

const folder = mkdtempSync(join(tmpdir(), 'pointsman-capabilities-'));
afterAll(() => rmSync(folder, { recursive: true }));
const ALL: readonly Capability[] = [
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_SYS_MODULE',
  'CAP_SYS_ADMIN',
  'CAP_SYS_RESOURCE',
];

describe('missing capabilities', () => {
  it.each([
    ['none', '000001ffffffffff', ''],
    ['all', '0000000000000000', ALL.join(' ')],
    ['those of a small container', '0000000000003000', 'CAP_SYS_MODULE CAP_SYS_ADMIN CAP_SYS_RESOURCE'],
    ['the last one', '000001fffeffffff', 'CAP_SYS_RESOURCE'],
    ['not told', 'rubbish', ''],
  ])('%s', (_row, set, missing) => {
    const file = join(folder, 'status');
    writeFileSync(
      file,
      `Name:\tnode\nCapPrm:\t0000000000000000\nCapEff:\t${set}\nCapBnd:\t0000000000000000\n`,
    );
    expect(missingCapabilities(ALL, file).join(' ')).toBe(missing);
  });

  it('none where the kernel does not tell', () =>
    expect(missingCapabilities(ALL, join(folder, 'none'))).toEqual([]));
});

test.runIf(process.getuid?.() === 0)('those that a launcher took away', () => {
  const source = `
    const { missingCapabilities } = await import(${JSON.stringify(import.meta.resolve('./capabilities.ts'))});
    console.log(missingCapabilities(['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN']).join(' '));`;
  const args = ['--bounding-set=-net_raw,-sys_admin', '--inh-caps=-all', process.execPath];
  const { stdout } = spawnSync('setpriv', [...args, '--input-type=module', '-e', source], {
    encoding: 'utf8',
    timeout: 100_000,
  });
  expect(stdout.trim().split(' ')).toEqual(expect.arrayContaining(['CAP_NET_RAW', 'CAP_SYS_ADMIN']));
});
