// The program: one file per command, loaded only when it is called, so that --help is quick.
// Exit codes: 0 good, 1 failed, 2 usage or configuration, 3 precondition missing, 4 changes pending (plan --detailed-exitcode).

import { writeFileSync } from 'node:fs';
import { isSea } from 'node:sea';
import { Command, CommanderError, Option } from 'commander';
import type { GivenFlags } from '../config/given-flags.ts';
import { AGENT_SOCKET } from '../http/agent-socket-path.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import { calledCommand } from './called-name.ts';
import { EXIT, exitCodeOf } from './exit-codes.ts';
import { VERSION } from '../files/version.ts';
import type { RunOptions } from './run.ts';

const outputOption = (): Option =>
  new Option('-o, --output <format>', 'text for people, json for programs')
    .choices(['text', 'json'])
    .default('text');
const socketOption = (): Option =>
  new Option('--socket <path>', 'unix socket of the agent').default(AGENT_SOCKET);

/** Where Services come from: for every command that reads them. */
function withFacts(command: Command): Command {
  return withOwnFacts(command)
    .option('--kubeconfig <file>', 'how to reach the API server; default: as the pod of this program does')
    .option('--master <url>', 'the API server, in place of the one that the kubeconfig names');
}

/** The same without what is kube-proxy's flag, too. */
function withOwnFacts(command: Command): Command {
  return command
    .option('--manifests <dir>', 'folder with Services, EndpointSlices and Nodes as YAML or JSON')
    .option('--replay <file>', 'a recording that "run --record" made');
}

/** kube-proxy's flags of this command line, and the help of all of them; for the commands that take them. */
let flagLine: { readonly flags: GivenFlags; help(): string } | undefined;
/** Commands that take them. */
const FLAG_COMMANDS = new Set(['run', 'config']);

/** `run` by what both kinds of options say. */
async function runWith(own: RunOptions): Promise<number> {
  const { isOn, textOf, verbosityOf, NO_FLAGS } = await import('../config/given-flags.ts');
  const flags = flagLine?.flags ?? NO_FLAGS;
  const given = (name: string): string | undefined => {
    const text = textOf(flags, name);
    return text === '' ? undefined : text;
  };
  if (given('write-config-to') !== undefined) return (await import('./config.ts')).writeConfigCommand(flags);
  const config = given('config');
  const options: RunOptions = {
    ...own,
    ...(config === undefined ? {} : { config }),
    // Beside a file it is void, which is among the warnings of the configuration.
    ...(config !== undefined || given('kubeconfig') === undefined ? {} : { kubeconfig: given('kubeconfig') }),
    ...(given('master') === undefined ? {} : { master: given('master') }),
    cleanup: isOn(flags, 'cleanup'),
    initOnly: isOn(flags, 'init-only'),
    v: verbosityOf(flags),
    flags,
  };
  return (await import('./run.ts')).runCommand(options);
}

function makeProgram(): Command {
  const program = new Command('pointsman')
    .description(
      'A Kubernetes service proxy for this node: Services and EndpointSlices become IPVS state in the kernel.',
    )
    .version(`pointsman ${VERSION}`, '--version')
    .configureOutput({ outputError: (text, write) => write(usageLine(text)) })
    .configureHelp({ showGlobalOptions: true })
    .addHelpText(
      'after',
      '\nExit codes: 0 good, 1 failed at run time, 2 usage or configuration, 3 precondition missing, 4 changes pending.',
    );

  withOwnFacts(
    program
      .command('run')
      .description('run the agent: follow the API server or manifests, keep the kernel true to them'),
  )
    .option('--replay-speed <speed>', 'times as fast as it was recorded, or max; default: 1')
    .option('--record <file>', 'write what is learned of the cluster into this new file')
    .option('--once', 'one sync, then exit 0, or 1 with reasons')
    .option('--force', 'run although a kube-proxy runs here, too')
    .addOption(socketOption())
    .addHelpText('after', () => `\n${flagLine?.help() ?? ''}`)
    .action(async (options) => exit(await runWith(options)));

  program
    .command('config')
    .description(
      'show the configuration as "run" would have it, and where each value came from (needs no root)',
    )
    .addOption(outputOption())
    .addHelpText('after', () => `\n${flagLine?.help() ?? ''}`)
    .action(async (options) =>
      exit(await (await import('./config.ts')).configCommand({ ...options, flags: flagLine?.flags })),
    );

  withFacts(
    program.command('plan').description('show what "run" would change in the kernel, without changing it'),
  )
    .option('--config <file>', 'KubeProxyConfiguration (mode: ipvs)')
    .option('--hostname-override <name>', 'name of this node; default: the host name')
    .option('--from-empty', 'compare with nothing instead of with this kernel (needs no root)')
    .option('--detailed-exitcode', 'exit 4 when something would change')
    .addOption(outputOption())
    .action(async (options) => exit(await (await import('./plan.ts')).planCommand(options)));

  withFacts(
    program
      .command('explain')
      .description('say where a packet goes and why, from the objects alone (needs no root)'),
  )
    .requiredOption(
      '--from <source>',
      'ADDRESS, pod/NAME, pod/NAMESPACE/NAME or node (a process of this node)',
    )
    .requiredOption(
      '--to <destination>',
      'ADDRESS:PORT[/PROTO]; [ADDRESS]:PORT[/PROTO] for IPv6; tcp, udp or sctp',
    )
    .option(
      '--input <interface>',
      'interface by which the packet comes in, or node; default: as the source suggests',
    )
    .option('--config <file>', 'KubeProxyConfiguration (mode: ipvs): it says who is a pod')
    .option(
      '--hostname-override <name>',
      'the node that handles the packet; default: that of the pod, else the host name',
    )
    .addOption(outputOption())
    .action(async (options) => exit(await (await import('./explain.ts')).explainCommand(options)));

  program
    .command('status')
    .description(
      'show the Services of the running agent: virtual and real servers, weights, connections, problems',
    )
    .argument('[service]', 'only this one, as namespace/name')
    .addOption(socketOption())
    .addOption(outputOption())
    .action(async (service, options) =>
      exit(await (await import('./status.ts')).statusCommand(service, options)),
    );

  program
    .command('cleanup')
    .description('remove from the kernel what Pointsman made, and nothing else')
    .addOption(
      new Option('--from <proxy>', 'remove what this proxy left instead, in all of its modes').choices([
        'kube-proxy',
      ]),
    )
    .option(
      '--config <file>',
      "kube-proxy's configuration: what its ipvs.excludeCIDRs holds is not kube-proxy's",
    )
    .option('--dry-run', 'only say what would be removed, in order')
    .option('--force', 'also while a proxy runs that would put it back')
    .addOption(socketOption())
    .addOption(outputOption())
    .action(async (options) => exit(await (await import('./cleanup.ts')).cleanupCommand(options)));

  program
    .command('drain')
    .description('show the servers that keep old connections after their endpoint or Service went')
    .argument('[target]', 'NAMESPACE/NAME, ADDRESS or ADDRESS:PORT of a virtual or real server, or all')
    .option('--end', 'end these drains now: connections that are left are cut')
    .addOption(socketOption())
    .addOption(outputOption())
    .action(async (target, options) =>
      exit(await (await import('./drain.ts')).drainCommand(target, options)),
    );

  // Its command line is ipvsadm's own and never gets here: see main().
  program
    .command('ipvsadm')
    .description('ipvsadm 1.31 to the byte, and more: "pointsman ipvsadm -h"')
    .argument('[args...]')
    .helpOption(false);

  for (const command of [program, ...program.commands]) command.exitOverride();
  return program;
}

/** Commander's complaint, which may end with a line that guesses what was meant, as one line. */
function usageLine(text: string): string {
  return `${text
    .trim()
    .replaceAll(/\.?\s*\n/g, ' ')
    .replace(/\.$/, '')}; try "pointsman --help"\n`;
}

/** A reader that leaves early (`| head`) is no failure of ours, and a lost log must not end the agent. */
function endQuietlyWithoutReaders(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
  process.stderr.on('error', () => {});
}

/** The command line without kube-proxy's flags, which are kept in `flagLine`. */
async function withoutFlags(program: Command, argv: readonly string[]): Promise<string[]> {
  const [node = '', script = '', name = '', ...words] = argv;
  const isHelp = name === 'help';
  const command = program.commands.find((one) => one.name() === (isHelp ? words[0] : name));
  if (command === undefined || !FLAG_COMMANDS.has(command.name())) return [...argv];
  const [{ parseGoFlags }, { flagsHelp }] = await Promise.all([
    import('./go-flags.ts'),
    import('./flags-help.ts'),
  ]);
  const own = command.options.map(({ long, short, required }) => ({
    name: (long ?? '').slice(2),
    short: (short ?? '').slice(1),
    takesValue: required,
  }));
  const { flags, rest } = parseGoFlags(isHelp ? [] : words, own);
  flagLine = { flags, help: flagsHelp };
  if (isHelp) return [...argv];
  return rest.includes('--version') ? [node, script, '--version'] : [node, script, name, ...rest];
}

/** ps and top show the process as what it is, by whatever name it was called; its command line stays. daemon/rival.ts knows it by that. */
function nameProcess(): void {
  try {
    writeFileSync('/proc/self/comm', 'pointsman');
  } catch {
    // Without /proc nobody looks for it there.
  }
}

let hasEnded = false;

function exit(code: number): void {
  hasEnded = true;
  process.exitCode = code;
}

/** A command that nothing keeps alive before it has come to its end has failed. Node.js says so only of an await at the top of a module. */
function failWhenUnended(): void {
  process.once('beforeExit', () => {
    if (hasEnded) return;
    process.stderr.write('error: the command stopped before its end; please report this\n');
    process.exitCode = EXIT.FAILED;
  });
}

async function main(): Promise<void> {
  endQuietlyWithoutReaders();
  failWhenUnended();
  nameProcess();
  const { words, name } = calledCommand(
    {
      argv0: process.argv0,
      launcherName: process.env['POINTSMAN_ARGV0'],
      isExecutable: isSea(),
    },
    process.argv.slice(2),
  );
  process.argv.splice(2, Infinity, ...words);
  try {
    if (process.argv.length <= 2)
      throw new PointsmanError('USAGE', 'no command given; try "pointsman --help"');
    if (process.argv[2] === 'ipvsadm') {
      const { runProgram } = await import('../ipvsadm/program.ts');
      exit(await runProgram(process.argv.slice(3), name));
      return;
    }
    const program = makeProgram();
    await program.parseAsync(await withoutFlags(program, process.argv));
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version are no errors; commander has printed the rest already.
      exit(error.exitCode === 0 ? EXIT.GOOD : EXIT.USAGE);
      return;
    }
    process.stderr.write(`error: ${errorLine(error)}\n`);
    if (!(error instanceof PointsmanError) && error instanceof Error)
      process.stderr.write(`${error.stack}\n`);
    exit(exitCodeOf(error));
  }
}

void main();
