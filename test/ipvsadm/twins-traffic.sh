# Connections of every kind that one machine can make with itself: bash twins-traffic.sh, in the original's namespace (see twins.sh), whose table
# is empty. Nobody answers; that gives states enough. 10.255.0.1 and fd00:255::1 are the namespace's own addresses.
ipvsadm -R <<'RULES'
-A -u 10.255.0.1:53 -s rr
-a -u 10.255.0.1:53 -r 10.255.0.1:5353 -m
-a -u 10.255.0.1:53 -r 127.0.0.1:5353 -m
-A -u 10.255.0.1:5060 -s rr -p 60 --pe sip
-a -u 10.255.0.1:5060 -r 10.255.0.1:5061 -m
-A -t 10.255.0.1:80 -s rr -p 9000 -M 255.255.255.0
-a -t 10.255.0.1:80 -r 10.255.0.1:8080 -m -w 3 -x 1000 -y 10
-A -t [fd00:255::1]:80 -s rr
-a -t [fd00:255::1]:80 -r [fd00:255::1]:8080 -m
-A -u [fd00:255::1]:53 -s rr -p
-a -u [fd00:255::1]:53 -r [fd00:255::1]:5353 -m
RULES
for i in 1 2 3; do
  printf x > /dev/udp/10.255.0.1/53
  printf x > /dev/udp/fd00:255::1/53
  : > /dev/tcp/10.255.0.1/80
  : > /dev/tcp/fd00:255::1/80
  # One write is one message.
  printf 'INVITE sip:b@example.org SIP/2.0\r\nCall-ID: 1234567%s@example.org\r\nContent-Length: 0\r\n\r\n' "$i" \
    | cat > /dev/udp/10.255.0.1/5060
done 2> /dev/null
# The kernel adds the counters up every two seconds.
while ! ipvsadm -Ln --stats -u 10.255.0.1:5060 | grep -q ':5060 .* [1-9]'; do :; done
