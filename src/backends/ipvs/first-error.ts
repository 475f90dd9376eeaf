// Several pieces of work of which none keeps the others from being done: the first error is kept and thrown when all had their turn.

import { PointsmanError } from '../../model/errors.ts';

export class FirstError {
  private error: PointsmanError | null = null;

  /** Does the work; a PointsmanError of it is kept, anything else is thrown at once. */
  async collect(work: () => Promise<unknown>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.add(error);
    }
  }

  /** Keeps a PointsmanError, throws anything else. */
  add(error: unknown): void {
    if (!(error instanceof PointsmanError)) throw error;
    this.error ??= error;
  }

  get isEmpty(): boolean {
    return this.error === null;
  }

  /** Throws the error that is kept, if any, and forgets it. */
  throw(): void {
    const { error } = this;
    this.error = null;
    if (error !== null) throw error;
  }
}
