// The exit codes of all of our commands but ipvsadm's, which keep the original's.

import { PointsmanError, type ErrorCode } from '../model/errors.ts';

export const EXIT = { GOOD: 0, FAILED: 1, USAGE: 2, PRECONDITION: 3, CHANGES: 4 } as const;

const BY_CODE: Partial<Record<ErrorCode, number>> = {
  USAGE: EXIT.USAGE,
  INVALID_CONFIG: EXIT.USAGE,
  INVALID_KUBECONFIG: EXIT.USAGE,
  UNSUPPORTED_MODE: EXIT.PRECONDITION,
  UNSUPPORTED_FAMILY: EXIT.PRECONDITION,
  MISSING_PRIVILEGE: EXIT.PRECONDITION,
  MISSING_MODULE: EXIT.PRECONDITION,
  MISSING_TOOL: EXIT.PRECONDITION,
  NO_NATIVE_LIBRARY: EXIT.PRECONDITION,
  AGENT_RUNNING: EXIT.PRECONDITION,
  RIVAL_PROXY: EXIT.PRECONDITION,
};

/** 2 for usage and configuration, 3 for a missing precondition, else 1. */
export function exitCodeOf(error: unknown): number {
  return (error instanceof PointsmanError ? BY_CODE[error.code] : undefined) ?? EXIT.FAILED;
}
