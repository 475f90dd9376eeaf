// A network namespace for the length of one function: what is tried in it leaves no trace on this machine, and the kernel clears it away.
// Only synchronous code may run in it, because the namespace belongs to the thread: libuv's pool, timers and promises run elsewhere or
// later, and a pool thread that is started meanwhile would stay in it for good. Source: unshare(2), setns(2), network_namespaces(7).

import { closeSync, openSync, writeSync } from 'node:fs';
import { PointsmanError } from '../model/errors.ts';
import { CLONE_NEWNET, EPERM, errnoName, exitAtOnce, setns, unshare } from './libc.ts';
import { RtnetlinkClient } from './rtnetlink.ts';

/** Exit code of a process that could not leave the scratch namespace (EX_OSERR of sysexits.h). */
export const LOST_NAMESPACE_EXIT_CODE = 71;

const STDERR = 2;

/**
 * Runs `body` on this thread inside a new, empty network namespace and returns what it returns; what it throws is thrown here, outside.
 * In it loopback is down (see `raiseLoopback`), /proc/sys/net and /proc/thread-self/net are the namespace's own (but /proc/net is not:
 * that is the first thread's), sockets stay in it for as long as they are open, and processes started with spawnSync are in it.
 * Throws MISSING_PRIVILEGE without CAP_SYS_ADMIN, KERNEL_REFUSED when the kernel makes none (ENOSPC: too many). When the way back fails,
 * the process ends with one line and LOST_NAMESPACE_EXIT_CODE, because everything after would act in the wrong namespace.
 */
export function inScratchNamespace<T>(body: () => T): T {
  const home = openSync('/proc/thread-self/ns/net', 'r');
  try {
    const made = unshare(CLONE_NEWNET);
    if (made.errno !== 0) throw refusal(made.errno);
    let result: T;
    try {
      result = body();
    } finally {
      goHome(home);
    }
    if (isThenable(result)) throw new Error('only synchronous code may run in a scratch namespace');
    return result;
  } finally {
    closeSync(home);
  }
}

/** Sets loopback up in this thread's namespace: 127.0.0.0/8 and ::1 are this machine's then. Throws KernelError. */
export function raiseLoopback(): void {
  const client = RtnetlinkClient.open();
  try {
    const link = client.link('lo');
    if (link === null) throw new PointsmanError('KERNEL_PROTOCOL', 'the network namespace has no link lo');
    client.setLinkUp(link.index, true);
  } finally {
    client.close();
  }
}

function goHome(home: number): void {
  const back = setns(home, CLONE_NEWNET);
  if (back.errno === 0) return;
  const line = `pointsman: cannot return from a scratch network namespace (setns: ${errnoName(back.errno)}); ending, start it again\n`;
  try {
    writeSync(STDERR, line);
  } finally {
    exitAtOnce(LOST_NAMESPACE_EXIT_CODE);
  }
}

function refusal(errno: number): PointsmanError {
  const name = errnoName(errno);
  if (errno === EPERM)
    return new PointsmanError(
      'MISSING_PRIVILEGE',
      `cannot make a scratch network namespace (unshare: ${name}); run as root with CAP_SYS_ADMIN`,
      { errno },
    );
  return new PointsmanError(
    'KERNEL_REFUSED',
    `cannot make a scratch network namespace (unshare: ${name}); see /proc/sys/user/max_net_namespaces`,
    { errno },
  );
}

function isThenable(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value;
}
