// Cases for lab/topology.test.ts; each runs in a namespace of its own and returns what it saw.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createTopology, type Topology } from '../../lab/topology.ts';
import { Traffic } from '../../lab/traffic.ts';
import { serveCases } from '../kernel/in-namespace.ts';

const SYSCTLS = ['ipv6/conf/all/forwarding', 'ipv4/ip_forward', 'ipv4/icmp_ratemask', 'ipv6/icmp/ratemask'];

const ip = (...args: string[]): string => execFileSync('ip', args, { encoding: 'utf8' });
const setForwarding = (on: boolean): void => writeFileSync('/proc/sys/net/ipv4/ip_forward', on ? '1' : '0');

/** Everything in the namespace that a topology could leave behind. */
function observeNamespace() {
  return {
    links: ip('-o', 'link').split('\n').length - 1,
    routes: ip('route') + ip('-6', 'route'),
    namespaces: ip('netns'),
    sysctls: SYSCTLS.map((name) => readFileSync(`/proc/sys/net/${name}`, 'ascii').trim()),
  };
}

function message(run: () => unknown): string | null {
  try {
    run();
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

async function withTraffic<T>(topology: Topology, run: (traffic: Traffic) => Promise<T>): Promise<T> {
  const traffic = new Traffic();
  try {
    return await run(traffic);
  } finally {
    await traffic.close();
    topology.dispose();
  }
}

await serveCases({
  /** From everywhere to everywhere, in the first moment. */
  async reachability() {
    const topology = createTopology({ pods: 2, remotePods: 1, clients: 1 });
    setForwarding(true);
    const names = ['node1', 'node2', 'pod1', 'pod2', 'remote1', 'client1'];
    return withTraffic(topology, async (traffic) => {
      const protocols = ['TCP', 'UDP'] as const;
      await traffic.serve(
        names.flatMap((name) =>
          protocols.map((protocol) => ({ at: topology.host(name), name, protocol, port: 8080 })),
        ),
      );
      const seen: Record<string, unknown> = {};
      for (const from of names) {
        for (const to of names) {
          const answers: string[] = [];
          for (const address of [topology.host(to).ipv4, topology.host(to).ipv6]) {
            for (const protocol of protocols) {
              // No client has a way back to a pod; everything else must answer in the usual time.
              const timeoutMs = to === 'client1' && /^(pod|remote)/.test(from) ? 150 : 2000;
              const report = await traffic.connect({
                from: topology.host(from),
                address,
                port: 8080,
                protocol,
                timeoutMs,
              });
              const [attempt] = report.attempts;
              answers.push(`${report.sequence[0]} ${attempt?.sourceAddress}`);
            }
          }
          seen[`${from} to ${to}`] = answers;
        }
      }
      return seen;
    });
  },

  async podsMeetInTheNode() {
    const topology = createTopology({ pods: 2 });
    return withTraffic(topology, async (traffic) => {
      const [pod1, pod2] = [topology.host('pod1'), topology.host('pod2')];
      await traffic.serve([{ at: pod2, name: 'pod2', protocol: 'TCP', port: 80 }]);
      const ask = async (address: string) =>
        (await traffic.connect({ from: pod1, address, port: 80, protocol: 'TCP', timeoutMs: 300 }))
          .sequence[0];
      setForwarding(true);
      const forwarding = [await ask(pod2.ipv4), await ask(pod2.ipv6)];
      setForwarding(false);
      writeFileSync('/proc/sys/net/ipv6/conf/all/forwarding', '0');
      return { forwarding, notForwarding: [await ask(pod2.ipv4), await ask(pod2.ipv6)] };
    });
  },

  async serviceNetworksLeadToTheNode() {
    const topology = createTopology({ clients: 2 });
    ip('addr', 'add', '10.111.0.1/32', 'dev', 'lo');
    ip('addr', 'add', 'fd96::abcd/128', 'dev', 'lo');
    return withTraffic(topology, async (traffic) => {
      const service = { at: topology.node, name: 'service', protocol: 'TCP', port: 80 } as const;
      await traffic.serve([service]);
      const ask = async (from: string, address: string) => {
        const report = await traffic.connect({
          from: topology.host(from),
          address,
          port: 80,
          protocol: 'TCP',
        });
        return { from: report.attempts[0]?.sourceAddress, by: report.sequence[0] };
      };
      return [
        await ask('client1', '10.111.0.1'),
        await ask('client2', '10.111.0.1'),
        await ask('client1', 'fd96::abcd'),
        await ask('client2', 'fd96::abcd'),
      ];
    });
  },

  async disposal() {
    const before = observeNamespace();
    const topology = createTopology({ pods: 2, remotePods: 1, clients: 1 });
    const built = observeNamespace();
    const whileBuilt = message(() => createTopology());
    const afterRefusal = observeNamespace();
    const traffic = new Traffic();
    await traffic.serve(topology.pods.map((at) => ({ at, name: at.name, protocol: 'TCP', port: 80 })));
    // The worker's sockets keep the pods' namespaces alive; their links must go all the same.
    topology.dispose();
    topology.dispose();
    const after = observeNamespace();
    const again = createTopology({ pods: 2, remotePods: 1, clients: 1 });
    const rebuilt = observeNamespace();
    again.dispose();
    await traffic.close();
    return { before, built, whileBuilt, afterRefusal, after, rebuilt };
  },

  async failures() {
    ip('route', 'add', 'blackhole', '10.244.2.0/24');
    const before = observeNamespace();
    const own = message(() => createTopology({ pods: 1, clients: 1 }));
    return { before, own, after: observeNamespace() };
  },

  async forwarding() {
    const with6 = createTopology();
    const on = observeNamespace().sysctls;
    with6.dispose();
    const without6 = createTopology({ ipv6Forwarding: false });
    const off = observeNamespace().sysctls;
    without6.dispose();
    return { on: on.slice(0, 2), off: off.slice(0, 2) };
  },
});
