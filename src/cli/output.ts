// What commands print: text for people (tables with aligned columns), or JSON for programs. No colours: output is piped and pasted.

/** Columns aligned by spaces, the last one unpadded; each line ends with a newline; '' for no rows and no header. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = header.length === 0 ? rows : [header, ...rows];
  const widths: number[] = [];
  for (const row of all) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  return all
    .map(
      (row) =>
        `${row.map((cell, i) => (i === row.length - 1 ? cell : cell.padEnd(widths[i] ?? 0))).join('  ')}`.trimEnd() +
        '\n',
    )
    .join('');
}

/** "1 Service", "3 Services", "no Services". */
export function count(number: number, singular: string, plural = `${singular}s`): string {
  if (number === 0) return `no ${plural}`;
  return number === 1 ? `1 ${singular}` : `${number.toLocaleString('en-US')} ${plural}`;
}

/** Prints a result as `-o` asks: in words, or as JSON with a line feed at its end. */
export function print<T>(format: 'text' | 'json', value: T, formatText: (value: T) => string): void {
  process.stdout.write(format === 'json' ? `${JSON.stringify(value, null, 2)}\n` : formatText(value));
}
