// The two scripts that a user-mode Linux guest runs as its first process. Pure text.
//   init:   makes the overlay (this machine's files below, the guest's memory above) and moves the root there
//   stage2: loads modules, runs the program with its streams in the results folder, powers off

import type { GuestSpec } from './guest.ts';

const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Loaded beforehand, because a first use must not be slower than the next; xt_* come by themselves. */
const MODULES = [
  'ip_vs',
  'ip_vs_rr',
  'ip_vs_wrr',
  'ip_vs_lc',
  'ip_vs_wlc',
  'ip_vs_sh',
  'ip_vs_mh',
  'ip_vs_dh',
  'ip_vs_sed',
  'ip_vs_nq',
  'dummy',
  'veth',
  'ip_set',
  'ip_set_hash_ip',
  'ip_set_hash_ipport',
  'ip_set_hash_ipportip',
  'ip_set_hash_ipportnet',
  'ip_set_bitmap_port',
  'xt_set',
  'iptable_nat',
  'iptable_filter',
  'ip6table_nat',
  'ip6table_filter',
  'nf_conntrack_netlink',
  'bridge',
  'sctp',
];

/** What bin/pointsman starts from, inside as outside. */
const HANDED_ON = ['POINTSMAN_FROM_SOURCE', 'POINTSMAN_TEST_BUNDLE'];

/** A word of a shell script that stands for exactly this text. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

export function renderInit({
  folder,
  modules,
  timeLimitSeconds,
}: {
  folder: string;
  modules: string;
  timeLimitSeconds: number;
}): string {
  return `#!/bin/sh
export PATH=${PATH}
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
insmod ${quote(modules)}/$(uname -r)/kernel/fs/overlayfs/overlay.ko
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mkdir -p lib/modules .host
mount --bind ${quote(modules)} lib/modules
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t devtmpfs devtmpfs dev
mkdir -p dev/pts dev/shm
mount -t devpts devpts dev/pts
mount -t tmpfs tmpfs dev/shm
mount -t tmpfs tmpfs run
mkdir -p run/lock run/netns
umount /proc
pivot_root . .host
# The caller may be gone: then nobody else ends this guest.
(sleep ${timeLimitSeconds}; echo o > /proc/sysrq-trigger) >/dev/null 2>&1 &
umount -l /.host/dev /.host/mnt /.host && rmdir /.host
exec chroot . /bin/sh ${quote(`${folder}/stage2`)}
`;
}

export function renderStage2({
  folder,
  results,
  spec,
}: {
  folder: string;
  results: string;
  spec: GuestSpec;
}): string {
  const env = Object.entries({
    PATH,
    HOME: '/root',
    TERM: process.env.TERM ?? 'dumb',
    LANG: 'C.UTF-8',
    // Programs start again and again in one guest.
    NODE_COMPILE_CACHE: '/run/compiled',
    ...Object.fromEntries(
      HANDED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])),
    ),
    ...spec.env,
    POINTSMAN_RESULTS: results,
  });
  // A person's program gets the console as its controlling terminal, so that Ctrl-C and job control work.
  const leader = spec.isInteractive === true ? 'setsid -w -c ' : '';
  const streams =
    spec.isInteractive === true
      ? '</dev/tty0 >/dev/tty0 2>&1'
      : `<${quote(`${folder}/stdin`)} >"$R/.stdout" 2>"$R/.stderr"`;
  return `export PATH=${PATH}
R=${quote(results)}
mount -t hostfs none -o "$R" "$R"
echo node1 > /proc/sys/kernel/hostname
modprobe -a -q ${MODULES.join(' ')}
ip link set lo up
echo 1 > "$R/.started"
cd ${quote(spec.cwd ?? '/')}
${leader}env -i ${env.map(([name, value]) => quote(`${name}=${value}`)).join(' ')} ${spec.program.map(quote).join(' ')} ${streams}
echo $? > "$R/.exit"
sync
echo o > /proc/sysrq-trigger
sleep 60
`;
}
