// One thing that is wrong with one object. Problems never stop other objects: they are collected, counted and shown.

/** Stable reasons, for programs and for Events. */
export type ProblemReason =
  | 'InvalidField'
  | 'UnsupportedField'
  | 'WrongFamily'
  | 'LimitExceeded'
  | 'AddressConflict'
  /** Done, but not exactly as asked. */
  | 'Approximated'
  | 'ForeignVirtualServer'
  | 'KernelRefused';

export interface Problem {
  /** 'Service default/web', 'EndpointSlice default/web-abc', 'Node node1'. */
  readonly object: string;
  /** Path in the object ('spec.ports[0].port'), '' when no single field is to blame. */
  readonly field: string;
  readonly reason: ProblemReason;
  /** What is wrong and what becomes of it, one line. */
  readonly message: string;
  /** What to do about it, one line. */
  readonly remedy: string;
}

/** "Service default/web: spec.ports[0].port: message; remedy" */
export function formatProblem(problem: Problem): string {
  const field = problem.field === '' ? '' : `${problem.field}: `;
  const remedy = problem.remedy === '' ? '' : `; ${problem.remedy}`;
  return `${problem.object}: ${field}${problem.message}${remedy}`;
}
