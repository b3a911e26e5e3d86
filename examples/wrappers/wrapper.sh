#!/bin/sh
# A wrapper in POSIX shell, for the web server of Python: coachman spawn -- examples/wrappers/wrapper.sh

fail() {
  printf '!> Error\n!> \n%s\n' "$1"
  exit 1
}

echo '!> I have control 1.0'
read -r line
[ "$line" = 'You have control 1.0' ] || fail 'this program is started by coachman spawn'
while IFS= read -r line && [ -n "$line" ]; do
  case $line in
    'app_root: '*) app_root=${line#*: } ;;
    'socket_dir: '*) socket_dir=${line#*: } ;;
  esac
done

# The server says in its first line which port it took; what follows is passed on, for the log.
mkfifo "$socket_dir/output" || fail 'there is no place for a pipe'
python3 -u -m http.server --bind 127.0.0.1 --directory "$app_root" 0 >"$socket_dir/output" 2>&1 &
server=$!
exec 3<"$socket_dir/output" 4<&0
read -r line <&3 || fail 'the server has ended at once'
port=${line#*port } port=${port%% *}
[ "$port" -gt 0 ] || fail "the server said: $line"

printf '!> Ready\n!> socket: main;tcp://127.0.0.1:%s;http;0\n!> pid: %s\n!> \n' "$port" "$server"
cat <&3 &
log=$!
{ cat <&4 >/dev/null; kill "$server"; } & # the end of stdin: we are to quit
wait "$log" # which ends with the server's last words
wait "$server"
