// What is wrong or odd in a configuration, collected while its values are read. Pure.

import type { Path } from '../files/document.ts';

/** A rule that the configuration breaks. */
export interface Mistake {
  readonly path: Path;
  readonly message: string;
  readonly remedy: string;
  /** The other field that the rule is about; nothing is said of the two while that one is not valid. */
  readonly other?: Path;
}

/** Collects mistakes, which forbid the configuration, and warnings, which do not. */
export class Findings {
  readonly mistakes: Mistake[] = [];
  readonly warnings: Mistake[] = [];

  mistake(path: Path, message: string, remedy: string, other?: Path): void {
    this.mistakes.push({ path, message, remedy, ...(other === undefined ? {} : { other }) });
  }

  warn(path: Path, message: string, remedy: string): void {
    this.warnings.push({ path, message, remedy });
  }
}
