// The text of the file in which drain remembers weights: a JSON document of this boot, checked field by field when it is read. Pure.

/** A server's weight before it was drained, in the network namespace with this inode. */
export interface DrainEntry {
  readonly netns: number;
  /** formatServiceKey: "TCP 10.96.0.10:80". */
  readonly service: string;
  /** formatEndpoint: "10.0.0.1:8080". */
  readonly server: string;
  /** 1 to 2147483647. */
  readonly weight: number;
}

export const MAX_DRAINS_BYTES = 4 << 20;
/** More are forgotten, the oldest first. An entry has at most 170 bytes. */
export const MAX_DRAINS = 20_000;

const VERSION = 1;
const MAX_WEIGHT = 0x7fffffff;
/** The longest are "SCTP [IPv6]:65535" and "FWM 4294967295 IPv6". */
const NAME = /^[A-Za-z0-9 .:[\]]{1,64}$/;

/** The document; the newest entries stand last. */
export function formatDrains(bootId: string, entries: readonly DrainEntry[]): string {
  return `${JSON.stringify({ version: VERSION, bootId, drains: entries.slice(-MAX_DRAINS) })}\n`;
}

/** The entries of a document; none when it is of another boot, null when it is not such a document. */
export function parseDrains(text: string, bootId: string): readonly DrainEntry[] | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isObject(value) || value['version'] !== VERSION || typeof value['bootId'] !== 'string') return null;
  const { drains } = value;
  if (!Array.isArray(drains) || drains.length > MAX_DRAINS || !drains.every(isEntry)) return null;
  return value['bootId'] === bootId ? drains : [];
}

function isEntry(value: unknown): value is DrainEntry {
  if (!isObject(value)) return false;
  const { netns, service, server, weight } = value;
  return (
    Number.isSafeInteger(netns) &&
    isName(service) &&
    isName(server) &&
    Number.isInteger(weight) &&
    (weight as number) >= 1 &&
    (weight as number) <= MAX_WEIGHT
  );
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isName(value: unknown): boolean {
  return typeof value === 'string' && NAME.test(value);
}
