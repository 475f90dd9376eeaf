// How the scheduler experiments set and read the virtual servers: the only place that names the tool which does it.

import { withChanges } from '../../src/ipvsadm/io.ts';
import { ipvsadm } from '../../src/ipvsadm/ipvsadm.ts';
import { systemIo } from '../../src/ipvsadm/system-io.ts';

/** What a run of the tool gave. */
export interface ToolResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Carries out lines in the form of `ipvsadm -S` (also -e and -d lines), in order. */
export function applyRules(text: string): Promise<ToolResult> {
  return run(['-R'], text);
}

/** The table as `ipvsadm -Ln` prints it. */
export function listTable(): Promise<ToolResult> {
  return run(['-Ln']);
}

/** The connections as `ipvsadm -Lcn` prints them. */
export function listConnections(): Promise<ToolResult> {
  return run(['-Lcn']);
}

async function run(args: readonly string[], input = ''): Promise<ToolResult> {
  let stdout = '';
  let stderr = '';
  const io = withChanges(systemIo('ipvsadm'), {
    out: (text) => void (stdout += text),
    err: (text) => void (stderr += text),
    stdin: () => [input],
  });
  const code = await ipvsadm(args, io);
  return { code, stdout, stderr };
}
