// Says when something in a folder may have changed: inotify on the folder, and a slow poll for what inotify cannot see (targets of
// symlinks elsewhere, network file systems, a folder that was replaced). It never says what changed: whoever listens looks again.
// Source: inotify(7); Kubernetes AtomicWriter (a ConfigMap volume renames the symlink ..data, which is an event of the folder).

import { statSync, watch, type FSWatcher } from 'node:fs';

/** How a folder is watched. */
export interface FolderWatchOptions {
  /** Looks again. Never called while an earlier call still runs; what happens meanwhile leads to one more call. Must not reject. */
  readonly onChange: () => Promise<void>;
  /** Quiet time after an event before `onChange`; at most ten times as long while events keep coming. */
  readonly debounceMs: number;
  /** Time between two looks without any event. */
  readonly pollMs: number;
}

/** A running watch of one folder, which need not exist. */
export class FolderWatch {
  private readonly folder: string;
  private readonly options: FolderWatchOptions;
  private watcher: FSWatcher | null = null;
  private watchedInode = '';
  private debounceTimer: NodeJS.Timeout | null = null;
  private readonly pollTimer: NodeJS.Timeout;
  private firstEventAtMs = 0;
  private running: Promise<void> | null = null;
  private isAgain = false;
  private isClosed = false;

  /** Begins to watch, and looks once. */
  constructor(folder: string, options: FolderWatchOptions) {
    this.folder = folder;
    this.options = options;
    this.pollTimer = setInterval(() => this.look(), options.pollMs);
    this.openWatcher();
    this.look();
  }

  /** As if an event had come: `onChange` is called after the quiet time. */
  trigger(): void {
    if (this.isClosed) return;
    const nowMs = performance.now();
    if (this.debounceTimer === null) this.firstEventAtMs = nowMs;
    else clearTimeout(this.debounceTimer);
    const leftMs = this.firstEventAtMs + 10 * this.options.debounceMs - nowMs;
    const delayMs = Math.max(0, Math.min(this.options.debounceMs, leftMs));
    this.debounceTimer = setTimeout(() => {
      this.debounceTimer = null;
      this.look();
    }, delayMs);
  }

  /** Ends the watch; resolves when no call of `onChange` runs any more. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.watcher?.close();
    clearInterval(this.pollTimer);
    if (this.debounceTimer !== null) clearTimeout(this.debounceTimer);
    await this.running;
  }

  private look(): void {
    if (this.isClosed) return;
    if (this.running !== null) {
      this.isAgain = true;
      return;
    }
    // Before the look: a folder that was replaced in between shows up at the next one.
    this.openWatcher();
    this.running = this.options.onChange().finally(() => {
      this.running = null;
      if (!this.isAgain) return;
      this.isAgain = false;
      this.look();
    });
  }

  /** Watches the folder that is at the path at present. Without inotify (ENOSPC, no such folder) the poll goes on alone and tries again. */
  private openWatcher(): void {
    const inode = inodeOf(this.folder);
    if (inode === this.watchedInode) return;
    this.watcher?.close();
    this.watcher = null;
    this.watchedInode = '';
    if (inode === '') return;
    try {
      const watcher = watch(this.folder, () => this.trigger());
      watcher.on('error', () => {
        watcher.close();
        if (this.watcher === watcher) this.watchedInode = '';
      });
      this.watcher = watcher;
      this.watchedInode = inode;
    } catch {
      // The poll stays.
    }
  }
}

/** "device:inode" of what the path leads to, '' when there is nothing. */
function inodeOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false, bigint: true });
  return stats === undefined ? '' : `${stats.dev}:${stats.ino}`;
}
