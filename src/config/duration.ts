// Go durations ("1h30m", "1.5s", "300ms") exactly, in nanoseconds. Pure.
// Source: Go's time.ParseDuration and Duration.String; what KubeProxyConfiguration uses (metav1.Duration).

const UNITS: ReadonlyMap<string, bigint> = new Map([
  ['ns', 1n],
  ['us', 1_000n],
  ['µs', 1_000n],
  ['μs', 1_000n],
  ['ms', 1_000_000n],
  ['s', 1_000_000_000n],
  ['m', 60_000_000_000n],
  ['h', 3_600_000_000_000n],
]);
const MAX = (1n << 63n) - 1n;
const MAX_TEXT_LENGTH = 100;

/** Nanoseconds, or null when the text is no duration or outside of 64 bits. Fractions of a nanosecond are cut off, as Go does. */
export function parseGoDuration(text: string): bigint | null {
  const match = /^([+-]?)(.+)$/.exec(text);
  if (match === null || text.length > MAX_TEXT_LENGTH) return null;
  const isNegative = match[1] === '-';
  const rest = match[2] ?? '';
  if (rest === '0') return 0n;
  let total = 0n;
  let end = 0;
  for (const part of rest.matchAll(/(\d*)(?:\.(\d*))?([a-zµμ]+)/gy)) {
    const [whole, integer = '', fraction = '', unitName = ''] = part;
    const unit = UNITS.get(unitName);
    if (unit === undefined || integer + fraction === '') return null;
    total += BigInt(integer === '' ? 0 : integer) * unit;
    total += fraction === '' ? 0n : (BigInt(fraction) * unit) / 10n ** BigInt(fraction.length);
    end = part.index + whole.length;
  }
  if (end === 0 || end !== rest.length || total > (isNegative ? MAX + 1n : MAX)) return null;
  return isNegative ? -total : total;
}

/** The text that Go prints: "1h30m0s", "1.5s", "300ms", "0s". Inverse of parseGoDuration. */
export function formatGoDuration(nanoseconds: bigint): string {
  if (nanoseconds < 0n) return `-${formatGoDuration(-nanoseconds)}`;
  if (nanoseconds === 0n) return '0s';
  if (nanoseconds < 1_000n) return `${nanoseconds}ns`;
  if (nanoseconds < 1_000_000n) return `${decimal(nanoseconds, 3)}µs`;
  if (nanoseconds < 1_000_000_000n) return `${decimal(nanoseconds, 6)}ms`;
  const minutes = nanoseconds / 60_000_000_000n;
  const seconds = `${decimal(nanoseconds % 60_000_000_000n, 9)}s`;
  if (minutes === 0n) return seconds;
  return minutes < 60n ? `${minutes}m${seconds}` : `${minutes / 60n}h${minutes % 60n}m${seconds}`;
}

/** The value divided by 10^digits, without needless zeros. */
function decimal(value: bigint, digits: number): string {
  const base = 10n ** BigInt(digits);
  const fraction = String(value % base)
    .padStart(digits, '0')
    .replace(/0+$/, '');
  return fraction === '' ? String(value / base) : `${value / base}.${fraction}`;
}
