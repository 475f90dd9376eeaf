# The network around the recorded session, and then its program: sh session.sh NODE SERVER PROGRAM [ARGUMENT...], in a guest. Two servers
# behind the node (s1, s2: TCP 8080, UDP 5300), a client (c), and kube-ipvs0 with the service addresses.
set -e
node=$1
server=$2
shift 2
modprobe -a -q ip_vs_fo ip_vs_ovf ip_vs_lblc ip_vs_lblcr ip_vs_pe_sip
for i in 1 2; do
  ip netns add s$i
  ip link add vs$i type veth peer name eth0 netns s$i
  ip addr add 172.31.$i.1/24 dev vs$i
  ip -6 addr add fd31:$i::1/64 dev vs$i nodad
  ip link set vs$i up
  ip -n s$i addr add 172.31.$i.2/24 dev eth0
  ip -n s$i -6 addr add fd31:$i::2/64 dev eth0 nodad
  ip -n s$i link set eth0 up
  ip -n s$i link set lo up
  ip -n s$i route add default via 172.31.$i.1
  ip -n s$i -6 route add default via fd31:$i::1
  ip netns exec s$i "$node" "$server" s$i &
done
ip netns add c
ip link add vc type veth peer name eth0 netns c
ip addr add 172.30.0.1/24 dev vc
ip -6 addr add fd30::1/64 dev vc nodad
ip link set vc up
ip -n c addr add 172.30.0.2/24 dev eth0
ip -n c -6 addr add fd30::2/64 dev eth0 nodad
ip -n c link set eth0 up
ip -n c route add default via 172.30.0.1
ip -n c -6 route add default via fd30::1
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
ip link add kube-ipvs0 type dummy
ip addr add 10.96.0.10/32 dev kube-ipvs0
ip -6 addr add fd96::10/128 dev kube-ipvs0 nodad
# Names resolve from files only, so that no lookup waits.
sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf
printf '127.0.0.1 localhost\n' > /etc/hosts
# The shell that runs what is no plain command, before Node: see shell-process.ts.
mkfifo /run/shell-scripts /run/shell-answers
dash < /run/shell-scripts 3> /run/shell-answers &
exec "$node" "$@"
