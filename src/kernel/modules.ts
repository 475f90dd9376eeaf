// Kernel modules: is one there, and load it when not. A module may be built into the kernel, which neither lsmod nor modprobe show as
// loaded; missing that made kube-proxy fall back silently. Source: modprobe(8), Documentation/kbuild/kbuild.rst (modules.builtin).

import { existsSync, readFileSync } from 'node:fs';
import { PointsmanError } from '../model/errors.ts';
import { findTool, firstLines, runTool } from './process.ts';
import { kernelRelease } from './sysctl.ts';

/** What is known of a module. */
export type ModuleState = 'loaded' | 'builtin' | 'absent';

/** Where the kernel and its package keep their lists. */
export interface ModuleFiles {
  /** /proc/modules */
  readonly loaded: string;
  /** /sys/module */
  readonly sys: string;
  /** /lib/modules/RELEASE/modules.builtin */
  readonly builtin: string;
  /** /lib/modules/RELEASE/modules.dep */
  readonly loadable: string;
}

const LOAD_TIMEOUT_MS = 30_000;

/** The lists of the running kernel. */
export function moduleFiles(): ModuleFiles {
  const folder = `/lib/modules/${kernelRelease()}`;
  return {
    loaded: '/proc/modules',
    sys: '/sys/module',
    builtin: `${folder}/modules.builtin`,
    loadable: `${folder}/modules.dep`,
  };
}

/** What is known of a module ("ip_vs_wrr"; '-' and '_' are the same). 'absent' says only that it is not there yet. Never throws for files that are missing. */
export function moduleState(name: string, files: ModuleFiles = moduleFiles()): ModuleState {
  const module = normalize(name);
  if (
    textOf(files.loaded)
      .split('\n')
      .some((line) => line.startsWith(`${module} `))
  )
    return 'loaded';
  // Parts of the kernel have a folder too, but only when they have parameters.
  if (existsSync(`${files.sys}/${module}`))
    return existsSync(`${files.sys}/${module}/initstate`) ? 'loaded' : 'builtin';
  return isListed(module, textOf(files.builtin)) ? 'builtin' : 'absent';
}

/**
 * True when the kernel has the module or can load it by itself when it needs it, false when it cannot: no list names it. null when that
 * cannot be known here, because the kernel's package does not show its lists (a container without /lib/modules of the host).
 */
export function isModuleInstalled(name: string, files: ModuleFiles = moduleFiles()): boolean | null {
  if (moduleState(name, files) !== 'absent') return true;
  const loadable = textOf(files.loadable);
  if (loadable === '') return null;
  return isListed(normalize(name), loadable);
}

/** Each line begins with the path of a module: "kernel/net/netfilter/ipvs/ip_vs_rr.ko.xz: ...". */
function isListed(module: string, list: string): boolean {
  return list.split('\n').some((line) => {
    const [path = ''] = line.split(':', 1);
    return normalizeText(path.slice(path.lastIndexOf('/') + 1).replace(/\.ko.*$/, '')) === module;
  });
}

/** Makes sure that a module is there. Throws MISSING_MODULE, with what helps, when it is neither there nor loadable. */
export async function loadModule(name: string): Promise<'loaded' | 'builtin'> {
  const module = normalize(name);
  const state = moduleState(module);
  if (state !== 'absent') return state;
  const reason = await tryToLoad(module);
  const after = moduleState(module);
  if (after !== 'absent') return after;
  const release = kernelRelease();
  const message =
    `kernel module ${module} is not there (${reason}); run "modprobe ${module}" on the host; if it is not found, install the full ` +
    `kernel package (Debian: linux-image-amd64 instead of -cloud-; Ubuntu: linux-modules-extra-${release}; RHEL: kernel-modules-extra); ` +
    'in a container, mount /lib/modules of the host';
  throw new PointsmanError('MISSING_MODULE', message, { module, release, reason });
}

/** Why it could not be loaded; '' when modprobe was content. */
async function tryToLoad(module: string): Promise<string> {
  if (findTool('modprobe') === null) return 'there is no modprobe here';
  const options = { timeoutMs: LOAD_TIMEOUT_MS, acceptExitCodes: [0, 1] };
  try {
    const { exitCode, stderr } = await runTool('modprobe', ['--', { token: module }], options);
    return exitCode === 0 ? 'modprobe loaded it without effect' : firstLines(stderr);
  } catch (error) {
    return error instanceof PointsmanError ? error.message : String(error);
  }
}

function normalize(name: string): string {
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(name))
    throw new Error(`no name of a kernel module: ${JSON.stringify(name.slice(0, 100))}`);
  return normalizeText(name);
}

function normalizeText(name: string): string {
  return name.replaceAll('-', '_');
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
