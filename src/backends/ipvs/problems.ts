// Problems that the IPVS backend finds while writing, as entries for people. Pure.

import { errorLine } from '../../model/errors.ts';
import type { ServiceKey } from '../../model/names.ts';
import type { Problem } from '../../model/problem.ts';

/** Somebody else's virtual server is on a key that the Service needs. */
export function foreignProblem(key: ServiceKey, id: string): Problem {
  return {
    object: `Service ${key}`,
    field: '',
    reason: 'ForeignVirtualServer',
    message: `virtual server ${id} was made by somebody else and is left alone; this address of the Service is not served by us`,
    remedy: `remove it (${deleteCommand(id)}) or give the Service another address or port; it is tried again by itself`,
  };
}

/** The kernel refused something that the Service needs. */
export function refusedProblem(key: ServiceKey, object: string, error: unknown): Problem {
  return {
    object: `Service ${key}`,
    field: '',
    reason: 'KernelRefused',
    message: `${object}: ${errorLine(error)}`,
    remedy: 'it is tried again by itself',
  };
}

function deleteCommand(id: string): string {
  const [protocol = '', address = ''] = id.split(' ');
  const option = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' }[protocol];
  return option === undefined ? 'ipvsadm -D' : `ipvsadm -D ${option} ${address}`;
}
