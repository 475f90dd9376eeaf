// What strip(1) does to a program, where there is none. Source: elf(5); the layout is that of 64-bit, little-endian files.

const PROGRAM_HEADERS_AT = 32;
const SECTION_HEADERS_AT = 40;
const PROGRAM_HEADER_SIZE_AT = 54;
const PROGRAM_HEADER_COUNT_AT = 56;
const SECTION_HEADER_COUNT_AT = 60;
const SECTION_NAMES_AT = 62;
/** In a program header. */
const OFFSET_AT = 8;
const FILE_SIZE_AT = 32;

/**
 * A copy that ends with the last byte that a program header names, without section headers: it runs as before, but without symbols for
 * debuggers. Throws an Error for a file that is no such ELF.
 * @param {Buffer} file
 * @returns {Buffer}
 */
export function cutSymbols(file) {
  if (file.length < 64 || file.toString('latin1', 0, 6) !== '\x7fELF\x02\x01')
    throw new Error('no 64-bit, little-endian ELF file');
  const first = Number(file.readBigUInt64LE(PROGRAM_HEADERS_AT));
  const size = file.readUInt16LE(PROGRAM_HEADER_SIZE_AT);
  const count = file.readUInt16LE(PROGRAM_HEADER_COUNT_AT);
  let end = first + size * count;
  for (let at = first; at < first + size * count; at += size) {
    const segmentEnd = file.readBigUInt64LE(at + OFFSET_AT) + file.readBigUInt64LE(at + FILE_SIZE_AT);
    end = Math.max(end, Number(segmentEnd));
  }
  if (end > file.length) throw new Error(`ends at ${file.length}, before its last segment does (${end})`);
  const cut = Buffer.from(file.subarray(0, end));
  cut.writeBigUInt64LE(0n, SECTION_HEADERS_AT);
  cut.writeUInt16LE(0, SECTION_HEADER_COUNT_AT);
  cut.writeUInt16LE(0, SECTION_NAMES_AT);
  return cut;
}
