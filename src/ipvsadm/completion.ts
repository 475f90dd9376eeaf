// Completion scripts by shell, made from the tables of the command line. Pure.

import { formatBashCompletion } from './completion-bash.ts';
import { formatFishCompletion } from './completion-fish.ts';
import { formatZshCompletion } from './completion-zsh.ts';

/** Shell name to what prints its script. */
export const COMPLETIONS: Readonly<Record<string, (() => string) | undefined>> = {
  // No prototype: "constructor" is no shell.
  __proto__: null,
  bash: formatBashCompletion,
  zsh: formatZshCompletion,
  fish: formatFishCompletion,
} as unknown as Readonly<Record<string, (() => string) | undefined>>;
