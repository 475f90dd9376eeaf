// Counters in nine columns: in full while they fit, else in thousands, millions and so on. Pure.
// Source: ipvsadm 1.31's output (test/ipvsadm/transcripts).

const SCALES = [
  { below: 1_000_000_000n, unit: 1000n, letter: 'K' },
  { below: 100_000_000_000n, unit: 1_000_000n, letter: 'M' },
  { below: 100_000_000_000_000n, unit: 1_000_000_000n, letter: 'G' },
] as const;
const LARGEST = { unit: 1_000_000_000_000n, letter: 'T' };
const FULL_BELOW = 100_000_000n;

/** A counter with at least one blank before it; `isExact` prints all digits, however wide. */
export function formatLargeNumber(value: bigint, isExact: boolean): string {
  const digits = String(value);
  if (isExact) return digits.padStart(Math.max(9, digits.length + 1));
  if (value < FULL_BELOW) return digits.padStart(9);
  const { unit, letter } = SCALES.find(({ below }) => value < below) ?? LARGEST;
  return String(value / unit).padStart(8) + letter;
}
