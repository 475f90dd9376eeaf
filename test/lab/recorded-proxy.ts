// Inside a guest: what a kube-proxy 1.36 left in the kernel, as it was recorded, restored with the ordinary tools; and its objects as
// manifests and configuration of our own. Knows nothing of test runners.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { shell } from './kernel-tools.ts';

/** The recorded cases. */
export const RECORDED = ['01-clusterip', '02-nodeport-lb-local', '03-affinity-external-dual'] as const;
export type RecordedCase = (typeof RECORDED)[number];

const GOLDEN = join(import.meta.dirname, '../golden');
const FIXTURES = join(import.meta.dirname, '../fixtures/kube-proxy');

/** A file of the recorded state of mode ipvs. */
export function recordedFile(name: RecordedCase, part: string): string {
  return join(GOLDEN, name, 'ipvs', part);
}

/** kube-proxy's state of mode ipvs. The rules come on top of those that are there. */
export function restoreIpvsMode(name: RecordedCase): void {
  const file = (part: string): string => recordedFile(name, part);
  shell(`
    ipset restore < ${file('ipset-save.txt')}
    iptables-legacy-restore --noflush < ${file('iptables-save.txt')}
    ip6tables-legacy-restore --noflush < ${file('ip6tables-save.txt')}
    ipvsadm -R < ${file('ipvsadm-Sn.txt')}
    ip link add kube-ipvs0 type dummy`);
  const [link] = JSON.parse(readFileSync(file('kube-ipvs0.json'), 'utf8')) as [
    { addr_info: { local: string; prefixlen: number }[] },
  ];
  const batch = link.addr_info.map(
    ({ local, prefixlen }) => `addr add ${local}/${prefixlen} dev kube-ipvs0\n`,
  );
  shell(`ip -batch - <<'END'\n${batch.join('')}END`);
}

/** kube-proxy's rules of mode iptables, in legacy tables, without counters of nfacct: those need objects that nobody recorded. */
export function restoreIptablesMode(name: RecordedCase): void {
  for (const prefix of ['iptables', 'ip6tables']) {
    const text = readFileSync(join(FIXTURES, name, 'iptables-legacy', `${prefix}-save.txt`), 'utf8');
    writeFileSync(`/run/${prefix}.txt`, text.replaceAll(/-m nfacct --nfacct-name {2}\w+ /g, ''));
    shell(`${prefix}-legacy-restore --noflush < /run/${prefix}.txt`);
  }
}

/** kube-proxy's own Service, which was there in each case and is not among its objects. */
const API_SERVER = `apiVersion: v1
kind: Service
metadata: {name: kubernetes, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: https, port: 443, targetPort: 6443, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}
addressType: IPv4
endpoints:
- {addresses: [192.168.50.10], conditions: {ready: true}}
ports: [{name: https, port: 6443, protocol: TCP}]
`;
/** The recorded node had these addresses alone; a node of the lab has gateways of pods besides. */
const NODE_PORT_ADDRESSES = 'nodePortAddresses: ["192.168.50.0/24", "fd00:50::/64"]\n';

/** Writes the objects and the configuration of a case into `folder`; gives the arguments with which our commands find them. */
export function writeRecordedObjects(name: RecordedCase, folder: string): string[] {
  const [config = '', ...objects] = readFileSync(join(GOLDEN, name, 'input.yaml'), 'utf8').split(/^---\n/m);
  const manifests = join(folder, 'manifests');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(manifests, { recursive: true });
  writeFileSync(join(manifests, 'all.yaml'), [...objects, API_SERVER].join('---\n'));
  const addresses = config.includes('nodePortAddresses:') ? '' : NODE_PORT_ADDRESSES;
  writeFileSync(join(folder, 'config.yaml'), config + addresses);
  return ['--manifests', manifests, '--config', join(folder, 'config.yaml'), '--hostname-override', 'node1'];
}
