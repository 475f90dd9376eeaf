# Our programs by every name they have, as a shell calls them, beside the original. $1 = the folder with the programs.
modprobe ip_vs
modprobe ip_vs_rr
bin=$1
folder=$(mktemp -d)
for name in ipvsadm ipvsadm-save ipvsadm-restore; do ln -s "$bin/pointsman-ipvsadm" "$folder/$name"; done
original=/sbin/ipvsadm
# say NAME COMMAND...: the name, what the command printed on both streams, its exit code.
say() {
  echo "== $1"
  shift
  "$@" 2>&1
  echo "exit $?"
}
printf '# rules\n-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -x 9 -y 5\n' >"$folder/rules"
$original -A -u 10.9.9.9:9
say restore "$folder/ipvsadm-restore" <"$folder/rules"
say save "$folder/ipvsadm-save" -n
say compatible "$folder/ipvsadm" -Sn --compat
say original $original -Sn
say list "$bin/pointsman" ipvsadm -Ln
say 'original list' $original -Ln
say diff "$folder/ipvsadm" diff "$folder/rules"
say refused "$folder/ipvsadm" -A -t 10.0.0.1:80 -s rr
say 'no reader' bash -c "set -o pipefail; yes -- '-L' | head -c 100 | '$folder/ipvsadm' -R | head -n 1"
say forbidden setpriv --bounding-set=-net_admin "$folder/ipvsadm" -Ln
say 'original forbidden' setpriv --bounding-set=-net_admin $original -Ln
