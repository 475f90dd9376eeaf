// `pointsman config`: the configuration as it would be in force, and where each value came from. Reads the file and nothing else; needs no
// root. With --write-config-to, also of `pointsman run`, it goes into a file instead.

import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { NO_FLAGS, textOf, type GivenFlags } from '../config/given-flags.ts';
import { configFromFlags, loadConfig, type LoadedConfig } from '../config/load.ts';
import { formatAnnotated, formatOrigin, formatWriteConfig } from '../config/write.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { print } from './output.ts';

/** What `pointsman config` is called with. */
export interface ConfigCommandOptions {
  /** Of kube-proxy, --config among them. */
  readonly flags?: GivenFlags;
  readonly output: 'text' | 'json';
}

/** What `pointsman config -o json` prints: keys are added to, never renamed. */
export interface ConfigOutput {
  /** KubeProxyConfiguration with all fields. */
  readonly config: LoadedConfig['complete'];
  /** By field: "default", "file FILE:LINE", "flag --x", "not used in mode ipvs". */
  readonly origins: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
}

/** Prints the configuration; warnings go to standard error. Exit 0, or as the error says, with every mistake on standard error. */
export async function configCommand({ flags = NO_FLAGS, output }: ConfigCommandOptions): Promise<number> {
  return tellingMistakes(async () => {
    const loaded = await load(flags);
    if (output === 'text')
      for (const warning of loaded.warnings) process.stderr.write(`warning: ${warning}\n`);
    const { complete, origins, warnings } = loaded;
    const shown = Object.fromEntries([...origins].map(([name, origin]) => [name, formatOrigin(origin)]));
    print<ConfigOutput>(output, { config: complete, origins: shown, warnings }, () =>
      formatAnnotated(loaded),
    );
    return EXIT.GOOD;
  });
}

/** `--write-config-to FILE`: the configuration in force becomes FILE at once or not at all. Exit 0, or as the error says. */
export async function writeConfigCommand(flags: GivenFlags): Promise<number> {
  return tellingMistakes(async () => {
    const path = textOf(flags, 'write-config-to') ?? '';
    if (path === '') throw new PointsmanError('USAGE', '--write-config-to takes the name of a file');
    const loaded = await load(flags);
    for (const warning of loaded.warnings) process.stderr.write(`warning: ${warning}\n`);
    writeWhole(path, formatWriteConfig(loaded.effective));
    process.stderr.write(`wrote the configuration to ${path}\n`);
    return EXIT.GOOD;
  });
}

async function load(flags: GivenFlags): Promise<LoadedConfig> {
  const path = textOf(flags, 'config') ?? '';
  return path === '' ? configFromFlags(flags) : loadConfig(path, { flags });
}

/** Every mistake of a configuration on a line of its own, where other commands name the first. */
async function tellingMistakes(act: () => Promise<number>): Promise<number> {
  try {
    return await act();
  } catch (error) {
    const mistakes = error instanceof PointsmanError ? error.context['mistakes'] : undefined;
    if (!Array.isArray(mistakes)) throw error;
    for (const mistake of mistakes) process.stderr.write(`error: ${String(mistake)}\n`);
    return exitCodeOf(error);
  }
}

function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`;
  try {
    // 'wx': what has that name already, a link of somebody else's too, is not written through.
    writeFileSync(temporary, text, { flag: 'wx', mode: 0o644 });
    renameSync(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') rmSync(temporary, { force: true });
    throw new PointsmanError(
      'USAGE',
      `--write-config-to: ${path} cannot be written: ${errorLine(error)}; name a file in a folder that exists`,
    );
  }
}
