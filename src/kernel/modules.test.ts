// Lists of modules as files of a made-up kernel; loading for real is in tools.kernel.test.ts.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { isModuleInstalled, loadModule, moduleState, type ModuleFiles } from './modules.ts';

const folder = mkdtempSync(join(tmpdir(), 'pointsman-modules-'));
afterAll(() => rmSync(folder, { recursive: true }));

const FILES: ModuleFiles = {
  loaded: join(folder, 'modules'),
  sys: join(folder, 'sys'),
  builtin: join(folder, 'modules.builtin'),
  loadable: join(folder, 'modules.dep'),
};
writeFileSync(
  FILES.loaded,
  'ip_vs_rr 16384 2 - Live 0x0000000000000000\nip_vs 196608 4 ip_vs_rr, Live 0x0\n',
);
writeFileSync(
  FILES.builtin,
  'kernel/net/netfilter/ipvs/ip_vs_wrr.ko\nkernel/drivers/net/dummy.ko.xz\nkernel/x/nf-conntrack-test.ko\n',
);
writeFileSync(
  FILES.loadable,
  'kernel/net/netfilter/ipvs/ip_vs_lc.ko.zst: kernel/net/netfilter/ipvs/ip_vs.ko.zst kernel/lib/libcrc32c.ko.zst\nkernel/net/nf-x.ko:\n',
);
mkdirSync(join(FILES.sys, 'ip_vs_sh'), { recursive: true });
writeFileSync(join(FILES.sys, 'ip_vs_sh', 'initstate'), 'live\n');
mkdirSync(join(FILES.sys, 'bridge'));

const NOWHERE: ModuleFiles = {
  loaded: '/nowhere',
  sys: '/nowhere',
  builtin: '/nowhere',
  loadable: '/nowhere',
};

describe('moduleState', () => {
  test.each([
    ['ip_vs', 'loaded'],
    ['ip-vs-rr', 'loaded'],
    ['ip_vs_sh', 'loaded'],
    ['bridge', 'builtin'],
    ['ip_vs_wrr', 'builtin'],
    ['dummy', 'builtin'],
    ['nf_conntrack_test', 'builtin'],
    ['ip_vs_r', 'absent'],
    ['vs', 'absent'],
  ])('%s is %s', (name, state) => expect(moduleState(name, FILES)).toBe(state));

  test('no lists at all mean absent, not an error', () => {
    expect(moduleState('ip_vs', NOWHERE)).toBe('absent');
  });

  test.each(['', '-r; id', 'a b', '../x', 'a\n'])('%j is a programmer error', (name) =>
    expect(() => moduleState(name, FILES)).toThrow(/no name of a kernel module/),
  );
});

describe('isModuleInstalled', () => {
  test.each([
    ['ip_vs_rr', true],
    ['ip_vs_sh', true],
    ['ip_vs_wrr', true],
    ['ip_vs_lc', true],
    ['nf_x', true],
    ['libcrc32c', false],
    ['ip_vs_fo', false],
  ])('%s: %s', (name, isInstalled) => expect(isModuleInstalled(name, FILES)).toBe(isInstalled));

  test('without lists nothing is known of what is not there', () => {
    expect(isModuleInstalled('ip_vs_fo', NOWHERE)).toBeNull();
    expect(isModuleInstalled('ip_vs_rr', { ...NOWHERE, loaded: FILES.loaded })).toBe(true);
  });
});

describe('loadModule', () => {
  test('a module that exists nowhere is MISSING_MODULE with what helps', async () => {
    await expect(loadModule('pointsman_no_such_module')).rejects.toMatchObject({
      code: 'MISSING_MODULE',
      message: expect.stringMatching(
        /^kernel module pointsman_no_such_module is not there \(.+\); run "modprobe .*linux-modules-extra-.*mount \/lib\/modules/,
      ),
    });
  });
});
