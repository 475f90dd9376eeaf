// Every error that leaves a module is a PointsmanError: a stable code for programs, one clear line for people.
// All codes stand in this file, one line each. Programmer errors are plain `Error`s and end the process.

/** Stable codes. The text after each says when it is used; a code never changes its meaning. */
export const ERROR_CODES = {
  INVALID_IP: 'text is not an IP address',
  INVALID_CIDR: 'text is not a CIDR',
  INVALID_OBJECT: 'a Kubernetes object breaks a rule of its API',
  INVALID_MANIFEST: 'a manifest file cannot be read as objects',
  INVALID_CONFIG: 'the configuration is not valid',
  USAGE: 'the command line is not valid',
  UNSUPPORTED_MODE: 'the proxy mode asked for does not exist in this build',
  UNSUPPORTED_FAMILY: 'this machine cannot forward the primary IP family',
  MISSING_PRIVILEGE: 'root or CAP_NET_ADMIN is needed',
  MISSING_MODULE: 'a kernel module is missing and cannot be loaded',
  MISSING_TOOL: 'a program of the operating system is missing',
  NO_NATIVE_LIBRARY: "this program's own library for system calls cannot be loaded",
  KERNEL_REFUSED: 'the kernel answered a request with an errno',
  KERNEL_TIMEOUT: 'the kernel did not answer in time',
  KERNEL_PROTOCOL: 'a reply of the kernel cannot be decoded',
  KERNEL_OVERRUN: 'replies of the kernel were lost (ENOBUFS)',
  DUMP_INTERRUPTED: 'a kernel dump was interrupted by changes at every try',
  TOOL_FAILED: 'a program of the operating system ended with an error',
  AGENT_RUNNING: 'another agent runs in this network namespace',
  RIVAL_PROXY: 'another service proxy runs in this network namespace',
  AGENT_UNREACHABLE: 'no running agent answers on its socket',
  INVALID_KUBECONFIG: 'a kubeconfig, or a file that it names, cannot be used',
  CREDENTIALS_FAILED: 'credentials for the API server could not be had',
  API_UNREACHABLE: 'no API server answers, or not in time',
  API_REFUSED: 'the API server answered a request with an error',
  API_PROTOCOL: 'an answer of the API server cannot be decoded',
  INVALID_RECORDING: 'a recording of facts cannot be read',
  LISTEN_FAILED: 'a server cannot listen on its address',
  LIMIT_EXCEEDED: 'an input is larger than its documented limit',
  LAB_FAILED: 'a lab guest could not boot or ended early',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * The base of all errors that callers may handle.
 *
 * `message` is one line: what, where, what to do. `context` holds the same facts for programs (JSON values only).
 */
export class PointsmanError extends Error {
  readonly code: ErrorCode;
  readonly context: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    context: Record<string, unknown> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'PointsmanError';
    this.code = code;
    this.context = context;
  }
}

/**
 * The kernel refused one request.
 *
 * `errno` is the positive number, `errnoName` its name ("EEXIST"), `operation` the command ("NEW_DEST"), `object` what it
 * was for ("TCP 10.96.0.1:443 -> 10.0.0.1:6443").
 */
export class KernelError extends PointsmanError {
  readonly errno: number;
  readonly errnoName: string;
  readonly operation: string;
  readonly object: string;

  constructor(operation: string, object: string, errno: number, errnoName: string, hint = '') {
    const where = object === '' ? operation : `${operation} ${object}`;
    super('KERNEL_REFUSED', `${where}: ${errnoName} (errno ${errno})${hint === '' ? '' : `; ${hint}`}`, {
      operation,
      object,
      errno,
      errnoName,
    });
    this.name = 'KernelError';
    this.errno = errno;
    this.errnoName = errnoName;
    this.operation = operation;
    this.object = object;
  }
}

/** True when `error` is a PointsmanError with this code. */
export function hasCode(error: unknown, code: ErrorCode): error is PointsmanError {
  return error instanceof PointsmanError && error.code === code;
}

/** The one line for a person, whatever was thrown. */
export function errorLine(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
