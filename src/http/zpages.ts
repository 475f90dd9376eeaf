// /flagz and /statusz as plain text, for people. Source: Kubernetes component-base, zpages; its texts promise no format, on purpose.

import { errorAnswer, textAnswer, type Answer, type Asked } from './answer.ts';

const COMPONENT = 'kube-proxy';
const WARNING =
  'Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.';

export interface StatuszFacts {
  /** Since the epoch. */
  readonly startedAtMs: number;
  readonly nowMs: number;
  /** Versions of what runs this, of this, and of the Kubernetes whose kube-proxy it stands in for. */
  readonly runtimeVersion: string;
  readonly binaryVersion: string;
  readonly emulationVersion: string;
  readonly paths: readonly string[];
}

/** GET /statusz. */
export function statusz(asked: Pick<Asked, 'accept'>, facts: StatuszFacts): Answer {
  const upSeconds = Math.max(0, Math.floor((facts.nowMs - facts.startedAtMs) / 1000));
  return zpage(asked, 'statusz', [
    `Started: ${unixDate(facts.startedAtMs)}`,
    `Up: ${Math.floor(upSeconds / 3600)} hr ${two((upSeconds / 60) % 60)} min ${two(upSeconds % 60)} sec`,
    `Runtime version: ${facts.runtimeVersion}`,
    `Binary version: ${facts.binaryVersion}`,
    `Emulation version: ${facts.emulationVersion}`,
    `Paths: ${facts.paths.join(' ')}`,
  ]);
}

/** GET /flagz: every flag with its value, sorted by name. */
export function flagz(asked: Pick<Asked, 'accept'>, flags: Readonly<Record<string, string>>): Answer {
  const names = Object.keys(flags).sort();
  // One line for each, whatever stands in a value.
  return zpage(
    asked,
    'flags',
    names.map((name) => `${name}=${(flags[name] ?? '').replaceAll(/[\r\n]/g, ' ')}`),
  );
}

function zpage({ accept }: Pick<Asked, 'accept'>, title: string, lines: readonly string[]): Answer {
  if (!acceptsText(accept)) return errorAnswer(406, 'media type not acceptable, must be: text/plain');
  return textAnswer(200, ['', `${COMPONENT} ${title}`, WARNING, '', ...lines, ''].join('\n'));
}

/** True when the header Accept is empty or allows plain text in UTF-8. */
function acceptsText(accept: string): boolean {
  if (accept.trim() === '') return true;
  return accept.split(',').some((range) => {
    const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const others = parameters.filter((parameter) => !parameter.startsWith('q='));
    return /^(?:text|\*)\/(?:plain|\*)$/.test(type) && others.every((one) => one === 'charset=utf-8');
  });
}

function two(value: number): string {
  return String(Math.floor(value)).padStart(2, '0');
}

/** "Mon Jan  2 15:04:05 UTC 2006". */
function unixDate(atMs: number): string {
  const [weekday = '', day = '', month = '', year = '', time = ''] = new Date(atMs)
    .toUTCString()
    .split(/,? /);
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} UTC ${year}`;
}
