// The flags of kube-proxy 1.36, which the program takes under the name kube-proxy and as "run". Source: kube-proxy --help, cmd/kube-proxy/app.

/** Without the dashes. */
export const PROXY_FLAGS: ReadonlySet<string> = new Set(
  `bind-address bind-address-hard-fail cleanup cluster-cidr config config-sync-period conntrack-max-per-core conntrack-min
  conntrack-tcp-be-liberal conntrack-tcp-timeout-close-wait conntrack-tcp-timeout-established conntrack-udp-timeout
  conntrack-udp-timeout-stream detect-local-mode feature-gates healthz-bind-address healthz-port hostname-override init-only
  iptables-localhost-nodeports iptables-masquerade-bit iptables-min-sync-period iptables-sync-period ipvs-exclude-cidrs
  ipvs-min-sync-period ipvs-scheduler ipvs-strict-arp ipvs-sync-period ipvs-tcp-timeout ipvs-tcpfin-timeout ipvs-udp-timeout
  kube-api-burst kube-api-content-type kube-api-qps kubeconfig log-flush-frequency log-json-info-buffer-size log-json-split-stream
  log-text-info-buffer-size log-text-split-stream logging-format masquerade-all master metrics-bind-address metrics-port
  nodeport-addresses oom-score-adj pod-bridge-interface pod-interface-name-prefix profiling proxy-mode
  show-hidden-metrics-for-version v version vmodule write-config-to`.split(/\s+/),
);

/** The names of the flags of a command line: "--a=b --c d -v=4" has a, c and v. */
export function flagNames(words: readonly string[]): string[] {
  return words.flatMap((word) => /^--?([a-z][a-z0-9-]*)(=|$)/.exec(word)?.[1] ?? []);
}
