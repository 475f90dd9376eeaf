# The traffic of the recorded session: sh session-traffic.sh. Every connection of the client's is one that was recorded; those to servers
# that do not exist have to time out.
fetch() { ip netns exec c curl -g -s -m 2 "$1" > /dev/null; }
for i in 1 2 3 4 5; do
  fetch http://10.96.0.10/
  fetch http://10.96.0.11/
  # Those to servers that do not exist wait beside each other.
  fetch 'http://[fd96::10]/' &
done
ip addr add 10.96.0.11/32 dev kube-ipvs0
fetch http://10.96.0.11/
wait
ip netns exec c bash -c 'exec 3<>/dev/udp/10.96.0.10/53; for i in 1 2 3 4; do printf x >&3; done'
ip netns exec c bash -c 'exec 3<>/dev/udp/fd96::10/53; printf x >&3; read -r -t 2 -n 2 answer <&3'
true
