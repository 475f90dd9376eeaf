// The Debian packages that the lab needs: asks dpkg, and installs with apt-get only what is missing.
// Plain JavaScript for Node >= 20. Must never stop a task: where the lab cannot run, it gives the reason and the task goes on.

import { lastLines, runChild } from './child.mjs';

/** user-mode-linux is the guest; the others are what the guest and the tests look at the kernel with. */
export const LAB_PACKAGES = [
  'user-mode-linux',
  'kmod',
  'ipvsadm',
  'ipset',
  'iptables',
  'iproute2',
  'conntrack',
  'nftables',
  'procps',
  'netbase',
  // Makes the certificates of the fake API server.
  'openssl',
  // What completion and the manual page are tried in.
  'zsh',
  'fish',
  'groff-base',
  // What reads our metrics as any reader of Prometheus' format does.
  'python3-prometheus-client',
];

const APT_TIMEOUT_MS = 300_000;
const APT_OPTIONS = [
  '-q',
  '-o',
  'Acquire::Retries=1',
  '-o',
  'Acquire::http::Timeout=20',
  '-o',
  'DPkg::Lock::Timeout=60',
];

/**
 * The packages that are not installed, by the answer of dpkg-query -W -f '${Package} ${db:Status-Status}\n'.
 * @param {string} answer
 * @param {readonly string[]} wanted
 */
export function missingPackages(answer, wanted) {
  const lines = new Set(answer.split('\n'));
  return wanted.filter((name) => !lines.has(`${name} installed`));
}

/**
 * Makes sure of the lab's packages. Says one line before it installs.
 * @returns {Promise<string | null>} why the lab cannot run here, in one line; null: all packages are installed
 */
export async function installLabPackages() {
  if (process.arch !== 'x64')
    return `user-mode Linux exists for x86-64 only, this machine is ${process.arch}`;
  const answer = await runChild(
    'dpkg-query',
    ['-W', '-f', '${Package} ${db:Status-Status}\\n', ...LAB_PACKAGES],
    { isQuiet: true },
  );
  if (answer.code === 127)
    return 'this is not Debian (no dpkg-query), so the packages of the lab cannot be installed';
  const missing = missingPackages(answer.output, LAB_PACKAGES);
  const isRoot = process.getuid?.() === 0;
  if (missing.length === 0) return isRoot ? null : 'the lab needs root';
  const what = `Debian package${missing.length === 1 ? '' : 's'} ${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} missing`;
  if (!isRoot) return `${what}, and only root can install; run "npm run setup" as root`;
  const apt = await runChild('apt-get', ['--version'], { isQuiet: true });
  if (apt.code !== 0) return `${what}, and there is no apt-get to install with`;
  process.stdout.write(`setup: installing Debian packages for the lab: ${missing.join(' ')} ...\n`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' };
  const options = { isQuiet: true, env, timeoutMs: APT_TIMEOUT_MS };
  const update = await runChild('apt-get', [...APT_OPTIONS, 'update'], options);
  // Old package lists may do: one unreachable source fails the update and need not fail the installation.
  const install = await runChild(
    'apt-get',
    [...APT_OPTIONS, 'install', '-y', '--no-install-recommends', ...missing],
    options,
  );
  if (install.code === 0) return null;
  return `${what}, and apt-get failed: ${aptError(install) ?? aptError(update) ?? `exit code ${install.code}`}`;
}

/** The line that names the cause. @param {{ code: number, output: string }} result */
function aptError(result) {
  if (result.code === 0) return undefined;
  const errors = result.output.split('\n').filter((line) => line.startsWith('E: '));
  return errors[0]?.slice('E: '.length) ?? (lastLines(result.output, 1).trim() || undefined);
}
