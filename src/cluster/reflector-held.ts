// Texts that wait until a list is complete: objects that differ from what is known. After an hour without the API server that may be
// nearly all of a large cluster, so they are kept compressed (JSON of slices shrinks to a twentieth) and outside of the JavaScript heap.

import { deflateRawSync, inflateRawSync } from 'node:zlib';
import { PointsmanError } from '../model/errors.ts';

/** Compressed at once; short enough for the event loop. */
const BLOCK_BYTES = 512 * 1024;
/** Of what is kept. Objects for some GB of JSON. */
const MAX_KEPT_BYTES = 256 * 1024 * 1024;

interface Block {
  readonly bytes: Buffer;
  /** Of each text, uncompressed. */
  readonly lengths: readonly number[];
}

/** See above. First in, first out. */
export class HeldTexts {
  private blocks: Block[] = [];
  private keptBytes = 0;
  private open: Buffer[] = [];
  private openBytes = 0;
  private texts = 0;
  private total = 0;

  /** Texts that wait. */
  get count(): number {
    return this.texts;
  }

  /** Their size, uncompressed. */
  get bytes(): number {
    return this.total;
  }

  /** Throws LIMIT_EXCEEDED when there is more than anyone has. */
  add(text: string): void {
    const bytes = Buffer.from(text, 'utf8');
    this.open.push(bytes);
    this.openBytes += bytes.length;
    this.total += bytes.length;
    this.texts++;
    if (this.openBytes >= BLOCK_BYTES) this.pack();
  }

  /** Everything, in the order in which it came. What was given is no longer kept. */
  *drain(): IterableIterator<string> {
    for (let block = this.blocks.shift(); block !== undefined; block = this.blocks.shift()) {
      const bytes = inflateRawSync(block.bytes);
      let start = 0;
      for (const length of block.lengths) {
        yield bytes.toString('utf8', start, start + length);
        start += length;
      }
    }
    for (const bytes of this.open) yield bytes.toString('utf8');
    this.clear();
  }

  clear(): void {
    this.blocks = [];
    this.open = [];
    this.keptBytes = this.openBytes = this.texts = this.total = 0;
  }

  private pack(): void {
    const bytes = deflateRawSync(Buffer.concat(this.open), { level: 1 });
    this.keptBytes += bytes.length;
    if (this.keptBytes > MAX_KEPT_BYTES) {
      const message = `a list of the API server differs from what is known by more than can be kept (${this.total} bytes); restart the agent`;
      throw new PointsmanError('LIMIT_EXCEEDED', message, { bytes: this.total });
    }
    this.blocks.push({ bytes, lengths: this.open.map(({ length }) => length) });
    this.open = [];
    this.openBytes = 0;
  }
}
