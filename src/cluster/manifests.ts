// Facts from a folder of manifests: Services, EndpointSlices and Nodes in YAML and JSON files, read once and then watched. As kubectl
// does with a folder: *.yaml, *.yml and *.json, symlinks followed, folders inside not entered. Files whose names begin with a dot are
// editors' temporary ones and are left alone. Nothing is ever half applied: a bad file keeps its last good state, a bad object its last
// good version. What the rules are is in manifest-validate.ts.

import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  decodeText,
  DEFAULT_DOCUMENT_LIMITS,
  DocumentError,
  printable,
  type DocumentLimits,
} from '../files/document.ts';
import { FolderWatch } from '../files/folder-watch.ts';
import { PointsmanError } from '../model/errors.ts';
import { compareText } from '../model/ip.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { FactListener, FactReport, FactSource } from './fact-source.ts';
import { codeOf, explainFolderError, readWhole } from './manifest-files.ts';
import { ManifestIndex } from './manifest-index.ts';
import {
  manifestDocuments,
  ManifestReader,
  type ManifestFile,
  type ManifestObject,
} from './manifest-parse.ts';
import { manifestProblem, WHOLE_FILE, type ManifestProblem } from './manifest-problem.ts';

export { formatManifestProblem, type ManifestProblem } from './manifest-problem.ts';

/** What a folder may hold. */
export interface ManifestLimits extends DocumentLimits {
  readonly maxFiles: number;
  readonly maxFileBytes: number;
  /** YAML takes a hundred times longer to read than JSON. */
  readonly maxYamlBytes: number;
}

/** Enough for clusters of tens of thousands of Services. */
export const DEFAULT_MANIFEST_LIMITS: ManifestLimits = {
  ...DEFAULT_DOCUMENT_LIMITS,
  maxFiles: 10_000,
  maxFileBytes: 64 * 1024 * 1024,
  maxYamlBytes: 16 * 1024 * 1024,
};

/** How a ManifestSource reads and whom it tells. */
export interface ManifestOptions {
  /** Called, once `watch` runs, when a look found something new. `problems` and `warnings` are complete, `events` the difference. */
  readonly onEvents?: FactListener;
  /** Quiet time after a change before files are read: they are being written. Default 100. */
  readonly debounceMs?: number;
  /** Time between looks without any sign of change, for what inotify cannot see. Default 10,000. */
  readonly pollMs?: number;
  readonly limits?: Partial<ManifestLimits>;
}

/** What is known of one file. */
interface FileState {
  /** Changes when the file may have; '' = look again whatever it says. */
  signature: string;
  digest: string;
  problems: readonly ManifestProblem[];
  warnings: readonly ManifestProblem[];
}

/** Time stamps of files are coarse: a file written this recently may be written again without a new one. */
const RACY_MS = 100;
/** Parsing pauses after this long, so that others get their turn. */
const TURN_MS = 10;

/** A folder of manifests as a source of facts. */
export class ManifestSource implements FactSource {
  private readonly folder: string;
  private readonly options: ManifestOptions;
  private readonly limits: ManifestLimits;
  private readonly states = new Map<string, FileState>();
  private readonly index = new ManifestIndex();
  private folderProblems: readonly ManifestProblem[] = [];
  private watcher: FolderWatch | null = null;
  private lastScan: Promise<unknown> = Promise.resolve();
  private reported = '[[],[]]';
  private isClosed = false;

  constructor(folder: string, options: ManifestOptions = {}) {
    this.folder = folder;
    this.options = options;
    this.limits = { ...DEFAULT_MANIFEST_LIMITS, ...options.limits };
  }

  /**
   * Reads everything: the first complete snapshot. Bad files and objects are in the report; throws INVALID_MANIFEST only when the
   * folder itself cannot be read.
   */
  async readAll(): Promise<FactReport> {
    const report = await this.scan();
    const [problem] = this.folderProblems;
    if (problem !== undefined && this.states.size === 0) {
      const message = `--manifests ${this.folder}: ${problem.message}; ${problem.remedy}`;
      throw new PointsmanError('INVALID_MANIFEST', message, { folder: this.folder });
    }
    this.reported = fingerprint(report);
    return report;
  }

  /** Begins to watch, with a look at once, so that nothing is missed since `readAll`. */
  watch(): void {
    if (this.watcher !== null) throw new Error('watch() is called twice');
    this.watcher = new FolderWatch(this.folder, {
      onChange: () => this.refresh(),
      debounceMs: this.options.debounceMs ?? 100,
      pollMs: this.options.pollMs ?? 10_000,
    });
  }

  /** Looks at the folder now; what is new goes to `onEvents`. Never rejects for what is in the folder. */
  async refresh(): Promise<void> {
    const report = await this.scan();
    const print = fingerprint(report);
    if (this.isClosed || (report.events.length === 0 && print === this.reported)) return;
    this.reported = print;
    this.options.onEvents?.(report.events, report.problems, report.warnings);
  }

  /** Ends the watch; no call of `onEvents` comes after. */
  async close(): Promise<void> {
    this.isClosed = true;
    await this.watcher?.close();
    await this.lastScan;
  }

  /** One look after the other: two at once would report the same difference twice. */
  private scan(): Promise<FactReport> {
    const scan = this.lastScan.then(() => this.scanNow());
    this.lastScan = scan.catch(() => undefined);
    return scan;
  }

  private async scanNow(): Promise<FactReport> {
    const events: ClusterEvent[] = [];
    const names = await this.listFiles();
    if (names !== null) {
      const present = new Set(names);
      for (const name of names) {
        if (this.isClosed) break;
        events.push(...(await this.readFile(name)));
      }
      for (const name of this.states.keys()) {
        if (present.has(name)) continue;
        this.states.delete(name);
        events.push(...this.index.replace(name, []));
      }
    }
    const states = [...this.states].sort(([a], [b]) => compareText(a, b)).map(([, state]) => state);
    return {
      events,
      problems: [
        ...this.folderProblems,
        ...states.flatMap(({ problems }) => problems),
        ...this.index.duplicates(),
      ],
      warnings: states.flatMap(({ warnings }) => warnings),
    };
  }

  /** Names of the manifests, sorted; null when the folder cannot be read: then what it declared stays. */
  private async listFiles(): Promise<string[] | null> {
    this.folderProblems = [];
    try {
      const entries = await readdir(this.folder, { withFileTypes: true });
      const names = entries
        .filter((entry) => !entry.isDirectory() && /^[^.].*\.(?:yaml|yml|json)$/s.test(entry.name))
        .map((entry) => entry.name)
        .sort(compareText);
      if (names.length <= this.limits.maxFiles) return names;
      const message = `the folder has ${names.length} manifests, only the first ${this.limits.maxFiles} by name are read`;
      this.folderProblems = [
        manifestProblem('', WHOLE_FILE, '', [], message, 'put more objects into one file'),
      ];
      return names.slice(0, this.limits.maxFiles);
    } catch (error) {
      const { message, remedy } = explainFolderError(error);
      this.folderProblems = [manifestProblem('', WHOLE_FILE, '', [], message, remedy)];
      return null;
    }
  }

  /** Reads a file when it may have changed; the events of what changed in it. */
  private async readFile(name: string): Promise<readonly ClusterEvent[]> {
    const state = this.states.get(name) ?? { signature: '', digest: '', problems: [], warnings: [] };
    this.states.set(name, state);
    try {
      const path = join(this.folder, name);
      const stats = await stat(path, { bigint: true });
      const signature = `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
      if (state.signature === signature) return [];
      state.signature = '';
      if (!stats.isFile())
        throw new DocumentError(WHOLE_FILE, 'it is no regular file', 'remove it from the folder');
      this.refuseSize(name, Number(stats.size));
      const bytes = await readWhole(path, this.limits.maxFileBytes);
      const isRacy =
        Math.abs(Date.now() - Number(stats.mtimeMs)) < RACY_MS || BigInt(bytes.length) !== stats.size;
      state.signature = isRacy ? '' : signature;
      if (isRacy) this.watcher?.trigger();
      const digest = createHash('sha256').update(bytes).digest('base64');
      if (state.digest === digest) return [];
      state.digest = digest;
      return await this.replaceFile(name, state, bytes);
    } catch (error) {
      if (!(error instanceof DocumentError)) state.signature = '';
      // The earlier state holds; the digest makes sure that the file is read again when it is as it was.
      state.digest = '';
      state.problems = [this.fileProblem(name, error)];
      state.warnings = [];
      return [];
    }
  }

  private async replaceFile(
    name: string,
    state: FileState,
    bytes: Uint8Array,
  ): Promise<readonly ClusterEvent[]> {
    const before = this.index.objectsOf(name);
    if (bytes.length === 0 && before.size > 0)
      throw new DocumentError(
        WHOLE_FILE,
        'the file is empty, as while it is being written',
        'delete it to remove what it declared',
      );
    const file = await this.parse(name, decodeText(bytes));
    state.problems = file.problems;
    state.warnings = file.warnings;
    return this.index.replace(name, [...file.objects, ...keptObjects(file, before)]);
  }

  private async parse(name: string, text: string): Promise<ManifestFile> {
    const reader = new ManifestReader(name);
    let turnEndsAtMs = performance.now() + TURN_MS;
    for (const document of manifestDocuments(text, name, this.limits)) {
      reader.add(document);
      if (performance.now() < turnEndsAtMs) continue;
      await new Promise((resolve) => setImmediate(resolve));
      turnEndsAtMs = performance.now() + TURN_MS;
    }
    return reader.finish();
  }

  private refuseSize(name: string, bytes: number): void {
    if (bytes > this.limits.maxFileBytes)
      throw new DocumentError(
        WHOLE_FILE,
        `it has ${bytes} bytes, more than ${this.limits.maxFileBytes}`,
        'split it',
      );
    if (bytes > this.limits.maxYamlBytes && !name.endsWith('.json'))
      throw new DocumentError(
        WHOLE_FILE,
        `it has ${bytes} bytes, more than ${this.limits.maxYamlBytes} of YAML`,
        'split it, or convert it to JSON',
      );
  }

  private fileProblem(name: string, error: unknown): ManifestProblem {
    const kept = this.index.objectsOf(name).size;
    const consequence =
      kept === 0
        ? 'nothing of it is used'
        : `its last good version stays (${kept} ${kept === 1 ? 'object' : 'objects'})`;
    if (error instanceof DocumentError)
      return manifestProblem(name, error.position, '', [], `${error.message}: ${consequence}`, error.remedy);
    const message = `it cannot be read (${printable(codeOf(error))}): ${consequence}`;
    return manifestProblem(name, WHOLE_FILE, '', [], message, 'make it readable or remove it');
  }
}

/** Objects of the version before that still hold: those that are there by now with a mistake, named or not. */
function keptObjects(file: ManifestFile, before: ReadonlyMap<string, ManifestObject>): ManifestObject[] {
  const declared = new Set(file.objects.map(({ id }) => id));
  return [...before.values()].filter(
    ({ id, kind }) => !declared.has(id) && (file.refusedIds.has(id) || file.unnamedKinds.has(kind)),
  );
}

function fingerprint({ problems, warnings }: FactReport): string {
  return JSON.stringify([problems, warnings]);
}
