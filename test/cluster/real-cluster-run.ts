// A test of a real cluster from its first request to the removal of all it made: one line for each step, limits for every wait, and whatever
// happens, the namespace is removed. Which cluster, and where lines go, is given; what is tried stands in real-cluster-steps.ts.

import type { CredentialSource } from '../../src/cluster/api-access.ts';
import { ApiStatusError } from '../../src/cluster/api-client-status.ts';
import { ApiClient } from '../../src/cluster/api-client.ts';
import type { ApiTimers } from '../../src/cluster/api-timers.ts';
import { errorLine, hasCode } from '../../src/model/errors.ts';
import { SeeingAgent } from './real-cluster-agent.ts';
import { askJson, OwnNamespace, type Fields } from './real-cluster-objects.ts';
import { NotHere, STEPS, type Step, type StepContext } from './real-cluster-steps.ts';

/** Which cluster, and who hears of it. */
export interface RealClusterOptions {
  readonly credentials: CredentialSource;
  /** The Node to follow; null: the first of the cluster. */
  readonly nodeName: string | null;
  readonly userAgent: string;
  /** Of each step. */
  readonly waitMs: number;
  /** Makes names that nobody has: a few lower-case letters and digits. */
  readonly run: string;
  readonly timers: ApiTimers;
  /** Hears each line, without its end. */
  readonly onLine: (line: string) => void;
  /** Hears, in one line, why nothing was tried at all. */
  readonly onError: (line: string) => void;
}

/** The parts that all else needs have this long at least, and so has the removal. */
const MIN_ESSENTIAL_MS = 30_000;
const REMOVAL_MS = 90_000;
const NO_NODE = 'pointsman-test-no-node';

/**
 * Resolves with 0 when all steps passed, 1 when one failed or `signal` stopped it, and 2 when the kubeconfig cannot be used. Never rejects for
 * what the cluster does.
 */
export async function runRealCluster(options: RealClusterOptions, signal: AbortSignal): Promise<0 | 1 | 2> {
  const client = new ApiClient(options);
  try {
    return await new ClusterRun(options, client, signal).all();
  } finally {
    client.close();
  }
}

class ClusterRun {
  private readonly options: RealClusterOptions;
  private readonly client: ApiClient;
  private readonly signal: AbortSignal;
  private readonly own: OwnNamespace;
  private readonly passed = new Set<string>();
  private failed = 0;
  private skipped = 0;
  private trouble: () => string = () => '';

  constructor(options: RealClusterOptions, client: ApiClient, signal: AbortSignal) {
    this.options = options;
    this.client = client;
    this.signal = signal;
    this.own = new OwnNamespace(options.run, client, options.timers);
  }

  async all(): Promise<0 | 1 | 2> {
    const { credentials, onLine, onError } = this.options;
    try {
      const version = await this.limited(this.essentialMs, this.signal, (signal) =>
        askJson(this.client, { path: '/version' }, signal),
      );
      onLine(`cluster ${String(version['gitVersion'])}, ${credentials.description}`);
    } catch (error) {
      onError(`error: ${errorLine(error)}`);
      return hasCode(error, 'INVALID_KUBECONFIG') ? 2 : 1;
    }
    try {
      await this.steps();
    } finally {
      await this.clean();
    }
    if (this.signal.aborted) onLine(errorLine(this.signal.reason));
    const skipped = this.skipped === 0 ? '' : `, ${this.skipped} skipped`;
    onLine(`${this.passed.size} passed, ${this.failed} failed${skipped}`);
    return this.failed === 0 && !this.signal.aborted ? 0 : 1;
  }

  private get essentialMs(): number {
    return Math.max(this.options.waitMs, MIN_ESSENTIAL_MS);
  }

  private async steps(): Promise<void> {
    const { own, signal } = this;
    // Not ended by Ctrl-C: a request whose answer is not waited for may still make it.
    const never = new AbortController().signal;
    const isMade = await this.step(`namespace ${own.name}`, this.essentialMs, never, async (limit) => {
      await own.make(limit);
      return 'made';
    });
    if (!isMade || signal.aborted) return;
    let nodeName = '';
    const isKnown = await this.step('which Node', this.essentialMs, signal, async (limit) => {
      nodeName = this.options.nodeName ?? (await this.firstNode(limit));
      return nodeName;
    });
    if (signal.aborted) return;
    const agent = new SeeingAgent({ ...this.options, nodeName: isKnown ? nodeName : NO_NODE });
    this.trouble = () => agent.trouble;
    try {
      agent.start();
      const isComplete = await this.step('the agent reads the cluster', this.essentialMs, signal, (limit) =>
        agent.until(
          () => (agent.isComplete ? `${[...agent.snapshot.services()].length} Services` : null),
          limit,
        ),
      );
      if (!isComplete) return;
      for (const step of STEPS) {
        if (signal.aborted) return;
        await this.tryStep(step, {
          transport: this.client,
          own,
          agent,
          nodeName,
          timers: this.options.timers,
        });
      }
    } finally {
      this.trouble = () => '';
      await agent.close();
    }
  }

  private async tryStep(
    { name, needs = [], run }: Step,
    context: Omit<StepContext, 'signal'>,
  ): Promise<void> {
    const missing = needs.find((each) => !this.passed.has(each));
    if (missing === undefined)
      await this.step(name, this.options.waitMs, this.signal, (signal) => run({ ...context, signal }));
    else this.skip(name, `needs "${missing}"`);
  }

  /** True when it passed. */
  private async step(
    name: string,
    limitMs: number,
    signal: AbortSignal,
    run: (signal: AbortSignal) => Promise<string>,
  ): Promise<boolean> {
    const { timers, onLine } = this.options;
    const startMs = timers.now();
    const took = (): string => `(${Math.round(timers.now() - startMs)} ms)`;
    try {
      const seen = await this.limited(limitMs, signal, run);
      this.passed.add(name);
      onLine(`ok      ${name}: ${seen} ${took()}`);
      return true;
    } catch (error) {
      if (error instanceof NotHere) this.skip(name, error.message);
      else {
        this.failed++;
        const trouble = this.trouble();
        onLine(`FAILED  ${name}: ${explained(error)}${trouble === '' ? '' : `; ${trouble}`} ${took()}`);
      }
      return false;
    }
  }

  private skip(name: string, why: string): void {
    this.skipped++;
    this.options.onLine(`skipped ${name}: ${why}`);
  }

  private async limited<T>(
    limitMs: number,
    signal: AbortSignal,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { timers } = this.options;
    const late = new AbortController();
    const timer = timers.set(() => late.abort(new Error(`not within ${limitMs / 1000} s`)), limitMs);
    try {
      return await run(AbortSignal.any([signal, late.signal]));
    } finally {
      timers.clear(timer);
    }
  }

  private async firstNode(signal: AbortSignal): Promise<string> {
    const { items } = await askJson(this.client, { path: '/api/v1/nodes', query: { limit: '1' } }, signal);
    const [first] = (items ?? []) as Fields[];
    if (first === undefined) throw new NotHere('the cluster shows none');
    return String(first['metadata']?.name);
  }

  /** Whatever happened, and whoever wants it to end. */
  private async clean(): Promise<void> {
    const { own } = this;
    const { onLine } = this.options;
    const never = new AbortController().signal;
    try {
      const outcome = await this.limited(REMOVAL_MS, never, (limit) => own.removeAll(limit));
      onLine(`removed namespace ${own.name}: ${outcome}`);
    } catch (error) {
      this.failed++;
      const remedy = `look with "kubectl get namespace ${own.name}" and remove it`;
      onLine(`FAILED  removal of namespace ${own.name}: ${explained(error)}; ${remedy}`);
    }
  }
}

/** The client's own hint is for an agent; whoever writes needs more rights. */
function explained(error: unknown): string {
  if (!(error instanceof ApiStatusError) || error.status !== 403) return errorLine(error);
  return `refused: ${String(error.context['said'])}; this test needs a user that may write namespaces, services and endpointslices`;
}
