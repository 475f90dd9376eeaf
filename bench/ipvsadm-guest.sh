#!/bin/bash
# What `npm run bench -- ipvsadm` runs in a guest: prints "NAME RUN MILLISECONDS" lines, ours beside the original's in the same minute.
#   ipvsadm-guest.sh OURS SERVICES SERVERS RUNS     OURS = the path of our command
set -u
ours=$1 services=$2 servers=$3 runs=$4
for module in ip_vs ip_vs_rr; do modprobe $module; done
folder=$(mktemp -d)
awk -v services="$services" -v servers="$servers" 'BEGIN {
  for (i = 0; i < services; i++) {
    service = sprintf("10.%d.%d.%d:80", 96 + int(i / 65536), int(i / 256) % 256, i % 256)
    printf "-A -t %s -s rr\n", service
    for (j = 0; j < servers; j++) {
      n = i * servers + j
      printf "-a -t %s -r 10.%d.%d.%d:8080 -m -w 1\n", service, 128 + int(n / 65536), int(n / 256) % 256, n % 256
    }
  }
}' >"$folder/rules"

# measure NAME RUN INPUT OUTPUT COMMAND...
measure() {
  local name=$1 run=$2 input=$3 output=$4 start code
  shift 4
  start=${EPOCHREALTIME/./}
  "$@" <"$input" >"$output" 2>"$folder/errors"
  code=$?
  echo "$name $run $(((${EPOCHREALTIME/./} - start) / 1000))"
  if [ $code -ne 0 ] || [ -s "$folder/errors" ]; then
    echo "$name ended with $code: $(head -c 500 "$folder/errors")" >&2
    exit 1
  fi
}

for run in $(seq 1 5); do
  measure start-ours "$run" /dev/null /dev/null "$ours" -v
  measure start-original "$run" /dev/null /dev/null /sbin/ipvsadm -v
done
# A table of its own for each restore: deleted servers linger and make the next one slower, for whoever comes second.
for run in $(seq 1 "$runs"); do
  for who in ours original; do
    # The original takes longest by far and varies least.
    if [ $who = original ] && [ "$run" -gt 1 ]; then continue; fi
    command=$ours
    [ $who = original ] && command=/sbin/ipvsadm
    space=$who-$run
    ip netns add "$space"
    # Without an address the kernel knows no unicast address at all.
    ip -n "$space" link set lo up
    measure "restore-$who" "$run" "$folder/rules" /dev/null ip netns exec "$space" "$command" -R
    for round in 1 2 3; do
      measure list-ours "$run.$round" /dev/null "$folder/ours" ip netns exec "$space" "$ours" -Ln
      measure list-original "$run.$round" /dev/null "$folder/original" ip netns exec "$space" /sbin/ipvsadm -Ln
    done
    cmp "$folder/ours" "$folder/original" || exit 1
    ip netns del "$space"
  done
done
