// What ipset's own error numbers mean, as KernelErrors with a hint. Pure. Numbers from 4096 on are ipset's; the ones from 4352 on
// mean different things for different types. Source: include/uapi/linux/netfilter/ipset/ip_set.h, ip_set_hash.h, ip_set_bitmap.h.

import { KernelError } from '../model/errors.ts';
import { EEXIST, ENOENT, EPERM, errnoName } from './libc.ts';

/** A rule or another set refers to a set that is to be destroyed. */
export const IPSET_ERR_BUSY = 4100;
/** Two sets that should be alike are not. */
export const IPSET_ERR_TYPE_MISMATCH = 4102;

/** A member is there already, of an add that was not to find it. */
export const IPSET_ERR_EXIST = 4103;

type Meaning = readonly [name: string, hint: string];

const COMMON: Readonly<Record<number, Meaning>> = {
  4097: ['IPSET_ERR_PROTOCOL', 'the kernel takes no message of this form; its ipset is of another version'],
  4098: [
    'IPSET_ERR_FIND_TYPE',
    'the kernel has no such set type; load its module (ip_set_hash_ip, ip_set_hash_ipport, ip_set_bitmap_port, ...)',
  ],
  4099: [
    'IPSET_ERR_MAX_SETS',
    'the kernel holds as many sets as it can; raise max_sets of module ip_set or delete sets',
  ],
  [IPSET_ERR_BUSY]: ['IPSET_ERR_BUSY', 'a rule or another set refers to the set; remove that first'],
  4101: ['IPSET_ERR_EXIST_SETNAME2', 'the second name: it must exist for a swap and must not for a rename'],
  [IPSET_ERR_TYPE_MISMATCH]: ['IPSET_ERR_TYPE_MISMATCH', 'the two sets differ in type or family'],
  [IPSET_ERR_EXIST]: ['IPSET_ERR_EXIST', 'the member is there already, or is not there'],
  4104: ['IPSET_ERR_INVALID_CIDR', 'the prefix length is out of range; sets of networks cannot hold /0'],
  4105: ['IPSET_ERR_INVALID_NETMASK', ''],
  4106: ['IPSET_ERR_INVALID_FAMILY', 'the set type has no such address family'],
  4107: ['IPSET_ERR_TIMEOUT', 'the set was created without timeouts'],
  4108: ['IPSET_ERR_REFERENCED', 'a rule or another set refers to the set; remove that first'],
  4109: ['IPSET_ERR_IPADDR_IPV4', 'the set takes IPv4 addresses only'],
  4110: ['IPSET_ERR_IPADDR_IPV6', 'the set takes IPv6 addresses only'],
  4111: ['IPSET_ERR_COUNTER', 'the set was created without counters'],
  4112: ['IPSET_ERR_COMMENT', 'the set was created without comments'],
  4113: ['IPSET_ERR_INVALID_MARKMASK', ''],
  4114: ['IPSET_ERR_SKBINFO', 'the set was created without skbinfo'],
};

const HASH: Readonly<Record<number, Meaning>> = {
  4352: [
    'IPSET_ERR_HASH_FULL',
    'the set holds as many members as its maxelem allows; create it with a larger maxelem',
  ],
  4353: ['IPSET_ERR_HASH_ELEM', 'the all-zero address cannot be a member'],
  4354: ['IPSET_ERR_INVALID_PROTO', 'the protocol cannot be a member'],
  4355: ['IPSET_ERR_MISSING_PROTO', 'the member needs a protocol'],
  4356: ['IPSET_ERR_HASH_RANGE_UNSUPPORTED', 'the set takes no ranges'],
  4357: ['IPSET_ERR_HASH_RANGE', 'the range is not valid'],
};

const BITMAP: Readonly<Record<number, Meaning>> = {
  4352: ['IPSET_ERR_BITMAP_RANGE', 'the port is outside the range of the set'],
  4353: ['IPSET_ERR_BITMAP_RANGE_SIZE', 'the range is larger than the set type allows'],
};

const SYSTEM: Readonly<Record<number, string>> = {
  [EPERM]: 'run as root (CAP_NET_ADMIN) in the user namespace that owns the network namespace',
  [ENOENT]: 'there is no such set',
};

/**
 * The KernelError of a refused ipset request. `kind` decides what the numbers from 4352 on mean; `hint` replaces the text of the
 * table where the command knows better.
 */
export function setError(
  operation: string,
  object: string,
  errno: number,
  kind: 'hash' | 'bitmap',
  hint?: string,
): KernelError {
  const meaning = COMMON[errno] ?? (kind === 'hash' ? HASH : BITMAP)[errno];
  const [name, text] = meaning ?? [errnoName(errno), SYSTEM[errno] ?? ''];
  return new KernelError(operation, object, errno, name, hint ?? text);
}

/** The hint for EEXIST of a create: a set that is not the same stands in the way. */
export const OTHER_SET_HINT =
  'a set of this name exists with another type, family or size; destroy or rename it';

/** The errno of a create that met a different set of the same name. */
export const OTHER_SET_ERRNO = EEXIST;

/** The hint for IPSET_ERR_TYPE_MISMATCH of a set that should be replaced by a larger one. */
export const OTHER_TYPE_HINT =
  'the set that exists is of another type or family than its name says; destroy or rename it';
