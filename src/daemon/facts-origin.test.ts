import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { defaultConfig } from '../config/load.ts';
import { chooseSource, type Asker, type ChosenSource, type FactsOrigin } from './facts-origin.ts';

const POD = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };
const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

/** What is chosen, and the lines on flags without an effect. */
function choose(
  origin: FactsOrigin,
  more: {
    asker?: Asker;
    file?: string | null;
    env?: Readonly<Record<string, string>>;
  } = {},
): { source: ChosenSource; lines: string[] } {
  const { asker = 'agent', file = null, env = {} } = more;
  const config = defaultConfig();
  const lines: string[] = [];
  const source = chooseSource(
    origin,
    { clientConnection: { ...config.clientConnection, kubeconfig: file ?? '' } },
    { asker, hasConfigFile: file !== null, env, onVoid: (line) => lines.push(line) },
  );
  return { source, lines };
}

const describeSource = (source: ChosenSource): string =>
  source.kind === 'api' ? source.credentials.description : source.kind;

describe('the source of facts', () => {
  it('is the folder or the recording that the command line names', () => {
    expect(choose({ manifests: '/m' }).source).toEqual({ kind: 'manifests', folder: '/m' });
    expect(choose({ replay: '/r' }).source).toEqual({ kind: 'replay', path: '/r', speed: 1 });
    expect(choose({ replay: '/r', replaySpeed: 'max' }).source).toMatchObject({ speed: 'max' });
    // The configuration names a kubeconfig in every cluster: it must not take the folder's place.
    expect(choose({ manifests: '/m' }, { file: '/k', env: POD }).source.kind).toBe('manifests');
  });

  it.each<[string, FactsOrigin, Parameters<typeof choose>[1], RegExp]>([
    ['the kubeconfig of the configuration', {}, { file: '/k' }, /^kubeconfig \/k$/],
    ['that of the flag, without a configuration', { kubeconfig: '/f' }, {}, /^kubeconfig \/f$/],
    [
      'that of the flag for a person',
      { kubeconfig: '/f' },
      { asker: 'person', file: '/k' },
      /^kubeconfig \/f$/,
    ],
    ['that of the configuration for a person', {}, { asker: 'person', file: '/k' }, /^kubeconfig \/k$/],
    ["the pod's", {}, { env: POD }, /^in-cluster service account/],
    ["the pod's, although a configuration is there", {}, { file: '', env: POD }, /^in-cluster/],
    [
      "the pod's for a person, before KUBECONFIG",
      {},
      { asker: 'person', env: { ...POD, KUBECONFIG: '/e' } },
      /^in-cluster/,
    ],
    ["a person's KUBECONFIG", {}, { asker: 'person', env: { KUBECONFIG: '/e' } }, /^kubeconfig \/e$/],
    [
      'another server',
      { kubeconfig: '/f', master: 'https://h:1' },
      {},
      /^kubeconfig \/f, server of --master$/,
    ],
  ])('is %s', (_, origin, more, text) => {
    const { source, lines } = choose(origin, more);
    expect(describeSource(source)).toMatch(text);
    expect(lines).toEqual([]);
  });

  it("is a person's ~/.kube/config where it exists", () => {
    const home = mkdtempSync(join(tmpdir(), 'origin-'));
    folders.push(home);
    const person = { asker: 'person', env: { HOME: home } } as const;
    expect(() => choose({}, person)).toThrow('nothing says where Services come from');
    mkdirSync(join(home, '.kube'));
    writeFileSync(join(home, '.kube/config'), '');
    expect(describeSource(choose({}, person).source)).toBe(`kubeconfig ${home}/.kube/config`);
    // kube-proxy never reads it.
    expect(() => choose({}, { env: { HOME: home, KUBECONFIG: '/e' } })).toThrow('nothing says');
  });

  it('tells a flag that has no effect', () => {
    const { source, lines } = choose({ kubeconfig: '/f' }, { file: '/k' });
    expect(describeSource(source)).toBe('kubeconfig /k');
    expect(lines).toEqual([expect.stringMatching(/^--kubeconfig has no effect beside --config/)]);
  });

  it.each<[FactsOrigin, string]>([
    [{ manifests: '/m', replay: '/r' }, '--manifests and --replay are two sources'],
    [{ manifests: '/m', kubeconfig: '/k' }, '--manifests and --kubeconfig are two sources'],
    [{ replay: '/r', master: 'https://h' }, '--replay and --master are two sources'],
  ])('is not two: %j', (origin, message) => {
    expect(() => choose(origin)).toThrow(message);
  });
});
