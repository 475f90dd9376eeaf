// What an errno of the kernel means after each operation, in the original's words. Pure. Source: ipvsadm 1.31 by behaviour; the errno
// texts without an entry are strerror(3)'s of glibc.

import type { IpvsOperation } from '../kernel/ipvs.ts';

type Action = IpvsOperation['op'] | 'GET_SERVICE' | 'OPEN';

const NO_SERVICE = 'No such service';
const NOT_DEFINED = 'Service not defined';
const NO_DESTINATION = 'No such destination';
const NO_SCHEDULER = 'Scheduler or persistence engine not found';

const BY_ACTION: Partial<Record<Action, Readonly<Record<string, string>>>> = {
  NEW_SERVICE: { EEXIST: 'Service already exists', ENOENT: NO_SCHEDULER },
  SET_SERVICE: { ESRCH: NO_SERVICE, ENOENT: NO_SCHEDULER },
  DEL_SERVICE: { ESRCH: NO_SERVICE },
  ZERO: { ESRCH: NO_SERVICE },
  GET_SERVICE: { ESRCH: NO_SERVICE },
  NEW_DEST: { ESRCH: NOT_DEFINED, EEXIST: 'Destination already exists' },
  SET_DEST: { ESRCH: NOT_DEFINED, ENOENT: NO_DESTINATION },
  DEL_DEST: { ESRCH: NOT_DEFINED, ENOENT: NO_DESTINATION },
  NEW_DAEMON: { EEXIST: 'Daemon has already run' },
  DEL_DAEMON: { ESRCH: 'No daemon is running' },
};

const EVERYWHERE: Readonly<Record<string, string>> = {
  EPERM: 'Permission denied (you must be root)',
  EINVAL: 'Invalid operation.  Possibly wrong module version, address not unicast, ...',
  ENOPROTOOPT: 'Protocol not available',
  ENOMEM: 'Memory allocation problem',
  EOPNOTSUPP: 'Operation not supported with IPv6',
  EAFNOSUPPORT: 'Operation not supported with specified address family',
  EMSGSIZE: 'Module is wrong version',
};

const STRERROR: Readonly<Record<string, string>> = {
  ENOENT: 'No such file or directory',
  ESRCH: 'No such process',
  EINTR: 'Interrupted system call',
  EIO: 'Input/output error',
  EAGAIN: 'Resource temporarily unavailable',
  EFAULT: 'Bad address',
  EBUSY: 'Device or resource busy',
  EEXIST: 'File exists',
  ENODEV: 'No such device',
  ENOSPC: 'No space left on device',
  ERANGE: 'Numerical result out of range',
  EADDRINUSE: 'Address already in use',
  EADDRNOTAVAIL: 'Cannot assign requested address',
  ENETDOWN: 'Network is down',
  ENETUNREACH: 'Network is unreachable',
  ENOBUFS: 'No buffer space available',
};

/** The line for standard error, without its line feed. `errnoName` as in KernelError ("EEXIST"). */
export function formatKernelError(action: Action, errno: number, errnoName: string): string {
  return (
    BY_ACTION[action]?.[errnoName] ?? EVERYWHERE[errnoName] ?? STRERROR[errnoName] ?? `Unknown error ${errno}`
  );
}
