// What an errno of the IPVS family means, told from the command: the family gives no texts of its own on any kernel measured.
// Pure. Source: net/netfilter/ipvs/ip_vs_ctl.c and ip_vs_sync.c, by behaviour (the table of errnos is checked in the lab).

import { errnoName } from './libc.ts';

/** What of a refused request its explanation names. */
export interface RefusedNames {
  readonly scheduler?: string | undefined;
  readonly persistenceEngine?: string | undefined;
  readonly hasTunnel?: boolean;
}

const NO_SERVICE = 'there is no such virtual server';

/** What to do about a positive errno of the command `op` ("NEW_DEST"), in words, or '' where the errno's name says all. */
export function explainErrno(op: string, errno: number, names: RefusedNames = {}): string {
  const name = errnoName(errno);
  if (name === 'EPERM') return 'run as root in the initial user namespace (CAP_NET_ADMIN)';
  if (name === 'EAFNOSUPPORT') return 'this kernel has no IPVS for the address family';
  switch (op) {
    case 'NEW_SERVICE':
    case 'SET_SERVICE':
      if (name === 'ENOENT') return missingModules(names);
      if (name === 'EEXIST') return 'such a virtual server exists already';
      if (name === 'EINVAL') return "the netmask or the length of the scheduler's name is not valid";
      return name === 'ESRCH' ? NO_SERVICE : '';
    case 'NEW_DEST':
    case 'SET_DEST':
    case 'DEL_DEST':
      if (name === 'ESRCH') return NO_SERVICE;
      if (name === 'EEXIST') return 'such a real server exists already';
      if (name === 'ENOENT') return 'there is no such real server';
      if (name === 'ERANGE') return 'the weight is negative, or the lower threshold is above the upper one';
      if (name !== 'EINVAL') return '';
      return `the address is not unicast here, or its family ${names.hasTunnel === true ? 'or tunnel ' : ''}does not fit`;
    case 'DEL_SERVICE':
    case 'ZERO':
      return name === 'ESRCH' ? NO_SERVICE : '';
    case 'SET_CONFIG':
      return name === 'EINVAL' ? 'a timeout is too large' : '';
    case 'NEW_DAEMON':
      if (name === 'EEXIST') return 'a daemon of this role runs already';
      if (name === 'ENODEV') return 'there is no such interface';
      if (name === 'ENETUNREACH') return 'the interface has no address or route to the group';
      if (name !== 'EINVAL') return '';
      return 'the group is not multicast, or a real server of another family exists';
    case 'DEL_DAEMON':
      return name === 'ESRCH' ? 'no daemon of this role runs' : '';
    default:
      return '';
  }
}

/** The kernel says ENOENT for either, and has tried to load both. */
function missingModules({ scheduler = '', persistenceEngine }: RefusedNames): string {
  if (persistenceEngine === undefined)
    return `scheduler "${scheduler}" is not there; load ip_vs_${scheduler}`;
  return `scheduler "${scheduler}" or persistence engine "${persistenceEngine}" is not there; load ip_vs_${scheduler} and ip_vs_pe_${persistenceEngine}`;
}
