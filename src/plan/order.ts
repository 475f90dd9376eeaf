// The order in which real servers are first added: round robin starts at one end of the kernel's list, so 500 nodes that add the pods of a
// Service in the same order send their first connections to the same pod. Pure: the node's name is the seed, nothing is random.

import { formatEndpoint, type Endpoint } from '../model/endpoints.ts';

/**
 * The endpoints in an order of this node's own. Two endpoints keep their order when others come and go, so a change of one pod moves no
 * other.
 */
export function orderForNode(endpoints: readonly Endpoint[], nodeName: string): readonly Endpoint[] {
  if (endpoints.length < 2) return endpoints;
  const seed = hashText(nodeName, FNV_OFFSET);
  const ranked = endpoints.map((endpoint) => ({
    endpoint,
    rank: mix(hashText(formatEndpoint(endpoint.address, endpoint.port), seed)),
  }));
  // Equal ranks keep the order of the input, which is sorted.
  ranked.sort((a, b) => a.rank - b.rank);
  return ranked.map(({ endpoint }) => endpoint);
}

const FNV_OFFSET = 0x81_1c_9d_c5;
const FNV_PRIME = 0x01_00_01_93;

/** FNV-1a over code units, 32 bits. */
function hashText(text: string, seed: number): number {
  let hash = seed;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
  return hash >>> 0;
}

/** Spreads the last characters, in which neighbouring addresses differ, over all bits (the finaliser of MurmurHash3). */
function mix(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85_eb_ca_6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2_b2_ae_35);
  return (h ^ (h >>> 16)) >>> 0;
}
