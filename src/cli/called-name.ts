// What the program is by the name it was called by: kube-proxy, one of ipvsadm's, or pointsman. Pure.

/** What is known of the name. */
export interface Call {
  /** argv[0] as the caller gave it; Node.js keeps it for an executable. */
  readonly argv0: string;
  /** POINTSMAN_ARGV0: what the launcher was called by, or undefined. */
  readonly launcherName: string | undefined;
  /** The single executable, which no launcher starts. */
  readonly isExecutable: boolean;
}

/** What to do: `words` are those behind the program's name. */
export interface CalledCommand {
  /** The command and its arguments. */
  readonly words: readonly string[];
  /** The last part of the name it was called by; '' when it is not known. */
  readonly name: string;
}

/** The command that each name stands for; any other name is the whole program. */
const COMMANDS: Readonly<Record<string, string>> = {
  'kube-proxy': 'run',
  ipvsadm: 'ipvsadm',
  'pointsman-ipvsadm': 'ipvsadm',
  'ipvsadm-save': 'ipvsadm',
  'ipvsadm-restore': 'ipvsadm',
};

/** Puts the command that the name stands for before the words of the caller. */
export function calledCommand(call: Call, words: readonly string[]): CalledCommand {
  const path = call.isExecutable ? call.argv0 : (call.launcherName ?? '');
  const name = path.slice(path.lastIndexOf('/') + 1);
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  return { words: command === undefined ? words : [command, ...words], name };
}
