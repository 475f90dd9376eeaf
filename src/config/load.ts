// Reads the configuration file and watches it, also through the symlink swaps of a ConfigMap volume. What the text means is in parse.ts.

import { readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { decodeText, DocumentError } from '../files/document.ts';
import { FolderWatch } from '../files/folder-watch.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import { invalidConfig, type LoadedConfig } from './evaluate.ts';
import type { GivenFlags } from './given-flags.ts';
import { documentError, parseConfig, type ParseOptions } from './parse.ts';

export type { Config } from './config.ts';
export { configFromFlags, defaultConfig, parseConfig, type LoadedConfig } from './parse.ts';

/** What a changed file means: a configuration, or why it is none. */
export type ConfigChange = LoadedConfig | { readonly error: PointsmanError };

const MAX_FILE_BYTES = 1024 * 1024;

/** Reads a configuration file. Throws as parseConfig does, and INVALID_CONFIG when the file cannot be read. */
export async function loadConfig(path: string, options: ParseOptions = {}): Promise<LoadedConfig> {
  return parseConfig(readText(path), path, options);
}

/** How a file is watched. */
export interface WatchOptions {
  /** What the caller runs on; default: what the file holds now. */
  readonly since?: string | undefined;
  /** Of the command line: they lie over each new content. */
  readonly flags?: GivenFlags | undefined;
  readonly debounceMs?: number;
  readonly pollMs?: number;
  /** How long content that cannot be used must stay as it is before it is told; a file may be seen while it is being written. */
  readonly settleMs?: number;
  /** Hears at once of such content; it may go by. */
  readonly onUnsettled?: (error: PointsmanError) => void;
}

/**
 * Watches a configuration file, also through the symlink swaps of a ConfigMap volume. `onChange` is called when the content differs from
 * `since`, with what the new content is: whoever runs keeps the old one on an error. Each content is told once; one that cannot be used only
 * when it stays. Looks once at once.
 */
export function watchConfig(
  path: string,
  onChange: (change: ConfigChange) => void,
  options: WatchOptions = {},
): { close(): Promise<void> } {
  const { flags, settleMs = 1000, onUnsettled } = options;
  let told = options.since ?? lookAt(path, flags).seen;
  /** Content that cannot be used, and is not told yet. */
  let unsettled: string | null = null;
  let timer: NodeJS.Timeout | undefined;

  const look = (isSettled: boolean): void => {
    const { seen, change: read } = lookAt(path, flags);
    // Its time is running.
    if (!isSettled && seen === unsettled) return;
    clearTimeout(timer);
    const wasUnsettled = unsettled;
    unsettled = null;
    if (seen === told) return;
    const change = read();
    if ('error' in change && seen !== wasUnsettled) {
      unsettled = seen;
      timer = setTimeout(() => look(true), settleMs);
      onUnsettled?.(change.error);
      return;
    }
    told = seen;
    onChange(change);
  };
  const watch = new FolderWatch(dirname(path), {
    debounceMs: options.debounceMs ?? 100,
    pollMs: options.pollMs ?? 10_000,
    onChange: async () => look(false),
  });
  return {
    close() {
      clearTimeout(timer);
      return watch.close();
    },
  };
}

/** The content of a file, or what prevents reading it, and what that means. */
function lookAt(
  path: string,
  flags: GivenFlags | undefined,
): { readonly seen: string; readonly change: () => ConfigChange } {
  const attempt = (act: () => LoadedConfig): ConfigChange => {
    try {
      return act();
    } catch (error) {
      if (error instanceof PointsmanError) return { error };
      throw error;
    }
  };
  try {
    const text = readText(path);
    return { seen: text, change: () => attempt(() => parseConfig(text, path, { flags })) };
  } catch (error) {
    const change = attempt(() => {
      throw error;
    });
    return { seen: `\0${errorLine(error)}`, change: () => change };
  }
}

function readText(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > MAX_FILE_BYTES)
      throw invalidConfig(path, [
        `${path}: it has ${size} bytes; a configuration has at most ${MAX_FILE_BYTES}`,
      ]);
    return decodeText(readFileSync(path));
  } catch (error) {
    if (error instanceof PointsmanError) throw error;
    if (error instanceof DocumentError) throw documentError(path, error);
    const { code } = error as NodeJS.ErrnoException;
    throw invalidConfig(path, [
      `${path}: it cannot be read (${code ?? errorLine(error)}); correct the path or its permissions`,
    ]);
  }
}
