// Moves the worker thread between network namespaces, so that one thread can make sockets in all of them: a socket stays in
// the namespace it was made in. It must not be used on the main thread, whose namespace the rest of the process relies on.
// Source: setns(2), network_namespaces(7).

import { closeSync, openSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
import { CLONE_NEWNET, errnoName, setns } from '../src/kernel/libc.ts';

/** The worker thread's way between namespaces. Each switch costs three system calls, none when it is there already. */
export class NetnsSwitch {
  readonly #home: number;
  #current: string | null = null;

  /** Remembers the thread's namespace as home. */
  constructor() {
    if (isMainThread) throw new Error('NetnsSwitch moves the thread it runs on: use it in a worker');
    this.#home = openSync('/proc/thread-self/ns/net', 'r');
  }

  /** Enters the namespace at `path`, or goes home for null. Throws when it is gone or when this is not root. */
  enter(path: string | null): void {
    if (path === this.#current) return;
    const fd = path === null ? this.#home : openSync(path, 'r');
    const moved = setns(fd, CLONE_NEWNET);
    if (path !== null) closeSync(fd);
    if (moved.errno !== 0)
      throw new Error(`setns into ${path ?? 'the own namespace'}: ${errnoName(moved.errno)}`);
    this.#current = path;
  }

  /** Goes home; also forgets a namespace that may since have been replaced by another of the same name. */
  goHome(): void {
    this.enter(null);
  }

  /** Goes home and lets go of it. */
  close(): void {
    this.goHome();
    closeSync(this.#home);
  }
}
