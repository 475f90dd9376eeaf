# Makes the lab for the differential test, then becomes its program: sh twins.sh NODE PROGRAM [ARGUMENT...]
# Two namespaces alike: "original", and "ours", in which the program runs. Names resolve from files only, so that no lookup waits.
set -e
modprobe -a -q ip_vs_fo ip_vs_ovf ip_vs_lblc ip_vs_lblcr ip_vs_pe_sip
# An unknown scheduler must not start modprobe each time; what can be loaded is.
echo > /proc/sys/kernel/modprobe
sed -i 's/^hosts:.*/hosts: files/' /etc/nsswitch.conf
cat > /etc/hosts <<HOSTS
127.0.0.1 localhost
::1 localhost ip6-localhost
10.0.0.2 alpha.example alpha
10.0.0.3 a-host-with-a-name-of-some-length.example
2001:db8::2 beta.example beta
HOSTS
for name in original ours; do
  ip netns add $name
  ip -n $name link set lo up
  ip -n $name link add sync0 type dummy
  ip -n $name link set sync0 multicast on
  ip -n $name addr add 10.255.0.1/24 dev sync0
  ip -n $name -6 addr add fd00:255::1/64 dev sync0 nodad
  ip -n $name link set sync0 up
done
# The shell that runs the original, before Node: see shell-process.ts. It may complain of a crash of the original.
mkfifo /run/shell-scripts /run/shell-answers
ip netns exec original dash < /run/shell-scripts 3> /run/shell-answers > /dev/null 2>&1 &
exec ip netns exec ours "$@"
