// A mistake in a manifest, told so that its author finds it: file, line, column, object, field, what is wrong and what to do. Pure.

import { formatPath, printable, type Path, type Position } from '../files/document.ts';

/** One mistake, or (as a warning) something that is passed over. */
export interface ManifestProblem {
  /** Name of the file without its folder; '' for the folder itself. */
  readonly file: string;
  /** Both count from 1; 0 when it concerns the file as such. */
  readonly line: number;
  readonly column: number;
  /** 'Service default/web', '' when no object can be named. */
  readonly object: string;
  /** 'spec.ports[0].port', '' when no single field is to blame. */
  readonly field: string;
  readonly message: string;
  readonly remedy: string;
}

/** The place of a problem that concerns a file as such. */
export const WHOLE_FILE: Position = { line: 0, column: 0 };

/** A problem at a place of a file; `path` is that of the field. */
export function manifestProblem(
  file: string,
  position: Position,
  object: string,
  path: Path,
  message: string,
  remedy: string,
): ManifestProblem {
  return { file, ...position, object, field: formatPath(path), message, remedy };
}

/** "web.yaml:12:9: Service default/web: spec.ports[0].port: message; remedy" */
export function formatManifestProblem(problem: ManifestProblem): string {
  const place =
    problem.line === 0
      ? printable(problem.file)
      : `${printable(problem.file)}:${problem.line}:${problem.column}`;
  const parts = [place, problem.object, problem.field, problem.message].filter((part) => part !== '');
  return problem.remedy === '' ? parts.join(': ') : `${parts.join(': ')}; ${problem.remedy}`;
}
