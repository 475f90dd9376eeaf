// What a guest is, whatever its kind: the program it runs, what comes back, and the interface of its kernel. Types only.

/** A program to run in a guest. */
export interface GuestSpec {
  /** argv; the first element is an absolute path that exists on this machine. */
  readonly program: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Working folder in the guest; default /. */
  readonly cwd?: string;
  /** From boot to power-off; default 25 minutes. After it the guest is ended, and the result says so. */
  readonly timeoutMs?: number;
  readonly memoryMb?: number;
  /** What the program reads as its standard input; default nothing. Not for an interactive guest. */
  readonly stdin?: string;
  /** Called with pieces of the program's standard output as they come. */
  readonly onOutput?: (text: string) => void;
  /** The same for its standard error. */
  readonly onErrorOutput?: (text: string) => void;
  /**
   * The program has this process's terminal, which its own line discipline drives (Ctrl-C reaches the program): for a person.
   * Then stdout and stderr of the result are ''. Standard input and output must be a terminal.
   */
  readonly isInteractive?: boolean;
}

export interface GuestResult {
  /** null when the program did not end by itself (time limit, or the guest died). */
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  readonly stdout: string;
  readonly stderr: string;
  /**
   * What the program wrote into the folder named by POINTSMAN_RESULTS, by file name: the plain files right in it. Links, pipes, folders
   * and names that begin with a dot are passed over.
   */
  readonly files: ReadonlyMap<string, Buffer>;
  /** From the start to the first instruction of the program. */
  readonly bootMs: number;
  readonly wallMs: number;
  /** What the guest's kernel printed: for finding out why it did not boot. */
  readonly console: string;
}

/** One kind of guest. A second one (QEMU, for nftables beside IPVS) can stand beside it. */
export interface GuestKernel {
  readonly kind: 'uml' | 'qemu';
  /** null when it can run here, else why not, in one line. */
  probe(): string | null;
  /**
   * Rejects with LAB_FAILED when the guest does not boot, and with LIMIT_EXCEEDED when both outputs and everything below
   * POINTSMAN_RESULTS come to more than 64 MiB or 1000 files; the guest is ended as soon as they do. The program is root in the
   * guest: see boot.ts on what that is good for.
   */
  boot(spec: GuestSpec): Promise<GuestResult>;
}
