// The order of listings: by mark, family, protocol, address and port, compared as the original does, with 32-bit differences that
// wrap. Such a comparison is not transitive for addresses 2^31 apart, so the sorting algorithm is part of the order: it is the merge
// sort of glibc's qsort(3). Pure. Source: ipvsadm 1.31 by behaviour (test/ipvsadm).

import type { IpvsDestinationState, IpvsServiceState } from '../kernel/ipvs-codec.ts';
import { encodeIp, type IpAddress } from '../model/ip.ts';

/** What is compared, as the numbers that C subtracts, most significant first. */
type Key = readonly number[];

const scratch = new Uint8Array(16);
const view = new DataView(scratch.buffer);

/** The four words of the original's union of both families: an IPv4 address stands in the first. */
function addressWords(address: IpAddress): number[] {
  scratch.fill(0);
  encodeIp(address, scratch, 0);
  return [view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12)];
}

function serviceKey(service: IpvsServiceState): Key {
  const family = service.family === 'IPv6' ? 10 : 2;
  if (service.fwmark !== undefined) return [service.fwmark, family];
  return [0, family, service.protocol, ...addressWords(service.address), service.port];
}

function compareKeys(a: Key, b: Key): number {
  for (let i = 0; i < a.length; i++) {
    const difference = ((a[i] ?? 0) - (b[i] ?? 0)) | 0;
    if (difference !== 0) return difference;
  }
  return 0;
}

interface DestinationOrder {
  readonly isIpv6: boolean;
  readonly words: readonly number[];
  readonly port: number;
}

const destinationOrder = ({ address, port }: IpvsDestinationState): DestinationOrder => ({
  isIpv6: address.includes(':'),
  words: addressWords(address),
  port,
});

/** The family of the first alone decides how much of the two addresses is compared, also when the second is of the other one. */
function compareDestinations(a: DestinationOrder, b: DestinationOrder): number {
  for (let i = 0; i < (a.isIpv6 ? 4 : 1); i++) {
    const difference = ((a.words[i] ?? 0) - (b.words[i] ?? 0)) | 0;
    if (difference !== 0) return difference;
  }
  return a.port - b.port;
}

/** Services in the order of listings; the input is in the kernel's order and stays as it is. */
export function sortServices<T extends IpvsServiceState>(services: readonly T[]): T[] {
  return sortBy(services, serviceKey, compareKeys);
}

/** Real servers in the order of listings. */
export function sortDestinations<T extends IpvsDestinationState>(destinations: readonly T[]): T[] {
  return sortBy(destinations, destinationOrder, compareDestinations);
}

function sortBy<T, K>(values: readonly T[], keyOf: (value: T) => K, compare: (a: K, b: K) => number): T[] {
  const pairs = values.map((value) => ({ value, key: keyOf(value) }));
  return mergeSort(pairs, (a, b) => compare(a.key, b.key)).map(({ value }) => value);
}

/** Merge sort that halves downwards, as qsort(3) does: stable, and with the same outcome for comparisons that contradict themselves. */
function mergeSort<T>(values: readonly T[], compare: (a: T, b: T) => number): readonly T[] {
  if (values.length <= 1) return values;
  const middle = values.length >> 1;
  const left = mergeSort(values.slice(0, middle), compare);
  const right = mergeSort(values.slice(middle), compare);
  const merged: T[] = [];
  let i = 0;
  let j = 0;
  while (i < left.length && j < right.length) {
    const a = left[i] as T;
    const b = right[j] as T;
    if (compare(a, b) <= 0) {
      merged.push(a);
      i++;
    } else {
      merged.push(b);
      j++;
    }
  }
  for (; i < left.length; i++) merged.push(left[i] as T);
  for (; j < right.length; j++) merged.push(right[j] as T);
  return merged;
}
