#!/usr/bin/env bash
#
# run.sh: build SessionGate, start a server with it and show a session's life on it, or a shop.

set -euo pipefail

usage() {
    cat <<'HELP'
run.sh: build SessionGate, start a server with it and show a session's life on it, or a shop

    ./run.sh [--port PORT] [--dir DIR] [--server PATH]
    ./run.sh --shop express|django|go [--shop-port PORT] ...

    --port PORT      where it listens, on 127.0.0.1 (6379; the environment variable PORT does it too)
    --dir DIR        where its data and its log are kept (build/run/PORT); sessions are there again next time
    --server PATH    a redis-server or valkey-server that is installed (redis-server, installed if missing)
    --shop NAME      starts the shop of examples/shop too, with what it needs: a page to look at
    --shop-port PORT where the shop listens, on 127.0.0.1 (8080)

Runs ./bootstrap.sh and ./build.sh first. Every write is appended to a file in DIR and synced each second.
Ctrl-C, SIGTERM, or that its terminal is closed, stops the server cleanly, and the shop.

Exit status: 0 the server was stopped; 1 it could not start, or failed; 2 the command line is wrong.
HELP
}

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly top
port=${PORT:-6379}
dir=
server=redis-server
shop=
shop_port=8080

misused() {
    printf 'run.sh: %s; see ./run.sh --help\n' "$1" >&2
    exit 2
}

fail() {
    printf 'run.sh: %s\n' "$1" >&2
    exit 1
}

while [[ $# -gt 0 ]]; do
    case $1 in
    --port | --dir | --server | --shop | --shop-port)
        [[ -n ${2:-} ]] || misused "$1 needs a value"
        option=${1#--}
        declare "${option//-/_}=$2"
        shift
        ;;
    -h | --help)
        usage
        exit
        ;;
    *) misused "there is no option '$1'" ;;
    esac
    shift
done
for number in "$port" "$shop_port"; do
    [[ $number =~ ^[1-9][0-9]{0,4}$ && $number -le 65535 ]] ||
        misused "the port is a number from 1 to 65535, not '$number'"
done
[[ -z $shop || $shop =~ ^(express|django|go)$ ]] || misused "the shop is express, django or go, not '$shop'"
dir=${dir:-$top/build/run/$port}

# A command as it is printed, and then done: what the reader sees is what was run.
show() {
    printf '$ %s\n' "$1"
    eval "$1"
}

transcript() {
    printf '\nA session, from its start to its end:\n\n'
    show "token=\$($cli -p $port SESSIONGATE.START my-secret-sign-key 3600)"
    show "echo \$token"
    show "$cli -p $port SESSIONGATE.PSET my-secret-sign-key \$token greeting 'Hello, Ada'"
    show "$cli -p $port SESSIONGATE.PGET my-secret-sign-key \$token greeting"
    show "$cli -p $port SESSIONGATE.END my-secret-sign-key \$token"
}

# Whether it is our server that serves there.
answers() {
    [[ $("$cli" -p "$port" PING 2>/dev/null) == PONG &&
        $("$cli" -p "$port" INFO server 2>/dev/null) == *"process_id:$pid"$'\r'* ]]
}

# Fails if the server ends before it serves.
greet() {
    until answers; do
        kill -0 "$pid" 2>/dev/null || return 1
        sleep 0.1
    done
    printf '%s listens on 127.0.0.1:%s with SessionGate.\n' "$(basename "$server")" "$port"
    if [[ -n $shop ]]; then
        greet_at_the_shop
        return
    fi
    transcript || true
    printf '\nThe data and the log (server.log) are in %s. Ctrl-C stops the server.\n' "$dir"
    printf 'There is a shop to look at, too: ./run.sh --shop express (or django, go).\n'
}

# Stays for as long as the shop does, or until it is told to end; a shop that ends by itself ends all.
greet_at_the_shop() {
    trap 'exit 0' TERM
    until is_taken "$shop_port"; do
        kill -0 "$shop_pid" 2>/dev/null || break
        sleep 0.1
    done
    ! kill -0 "$shop_pid" 2>/dev/null || printf '
The shop is at http://127.0.0.1:%s.

The data and the logs (server.log, shop.log) are in %s. Ctrl-C stops the server and the shop.
' "$shop_port" "$dir"
    while kill -0 "$shop_pid" 2>/dev/null; do sleep 0.5; done
    kill -USR2 $$
}

is_taken() { (: <>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# A terminal signals all processes of our session: the server and the shop have one of their own.
start_server() {
    setsid "$server" --port "$port" --bind 127.0.0.1 --dir "$dir" --logfile "$log" --appendonly yes \
        --loadmodule "$top/build/sessiongate.so" </dev/null &
    pid=$!
}

# Its sign key stays in the directory, so that those who are logged in still are next time.
start_shop() {
    local key=$dir/shop.key
    [[ -s $key ]] || (umask 077 && head -c 32 /dev/urandom | base64 >"$key")
    PORT=$shop_port REDIS_PORT=$port SIGN_KEY=$(<"$key") RUN_SH_PID=$$ SHOP_DIR=$dir \
        setsid "$top/examples/shop/serve" "$shop" >>"$dir/shop.log" 2>&1 </dev/null {lock}<&- &
    shop_pid=$!
}

# The shop asks for it by SIGUSR1: a crash, and a new start.
crash() {
    [[ $stopping == no && -n $pid ]] || return 0
    crashed=yes
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true # or Bash would print that it was killed, and by which command
}

shop_ended() {
    [[ $stopping == yes ]] || shop_failed=yes
    stop
}

# Tells the server to stop, by one signal whatever comes: at a second one it may end at once, unsaved. Further
# ones are ignored, not trapped: Bash jumps out of a wait at a signal with a trap, wherever it is in it, and
# was seen to corrupt its memory when several came at once.
stop() {
    trap '' HUP INT QUIT TERM
    stopping=yes
    [[ -z $shop_pid ]] || kill -TERM "$shop_pid" 2>/dev/null || true
    [[ -z $greeter ]] || kill "$greeter" 2>/dev/null || true
    if [[ -n $pid && $told == no ]]; then
        told=yes
        kill -TERM "$pid" 2>/dev/null || true
    fi
}

if [[ $server == redis-server ]]; then
    "$top/bootstrap.sh"
else
    command -v "$server" >/dev/null || fail "there is no server '$server'"
    "$top/bootstrap.sh" --build
fi
"$top/build.sh"
[[ -z $shop ]] || "$top/examples/shop/serve" --install "$shop" || exit 1

server=$(command -v "$server")
for cli in "${server%-server}-cli" redis-cli valkey-cli; do
    ! command -v "$cli" >/dev/null || break
done
command -v "$cli" >/dev/null || fail "there is no redis-cli or valkey-cli to show a session with"
[[ $(command -v "${cli##*/}") != "$(command -v "$cli")" ]] || cli=${cli##*/}

if is_taken "$port"; then
    fail "port $port is taken, by another Redis perhaps. Choose another: ./run.sh --port $((port % 65535 + 1))"
fi
if [[ -n $shop ]] && is_taken "$shop_port"; then
    fail "port $shop_port is taken. Choose another: ./run.sh --shop $shop --shop-port $((shop_port % 65535 + 1))"
fi
mkdir -p "$dir" 2>/dev/null || fail "$dir cannot be made: choose another directory by --dir"
[[ -w $dir ]] || fail "$dir is not yours to write: choose another directory by --dir"
dir=$(cd "$dir" && pwd)
# The server inherits the lock, and so keeps it for as long as it lives.
exec {lock}<"$dir"
flock --nonblock "$lock" || fail "another server uses $dir: stop that one, or choose another directory by --dir"
log=$dir/server.log
logged_before=$(stat -c %s "$log" 2>/dev/null || echo 0)

pid='' greeter='' shop_pid='' stopping=no told=no crashed=no shop_failed=no
trap stop EXIT HUP INT QUIT TERM
start_server
if [[ -n $shop ]]; then
    trap crash USR1
    trap shop_ended USR2
    start_shop
fi
greet &
greeter=$!
[[ $stopping == no ]] || stop # the signal came before there was a pid

# From here on this waits and nothing else: Bash 5.2 stumbles over a signal while it expands a $( ). A signal
# ends a wait, not the server, which takes its time to save.
while :; do
    while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
    [[ $crashed == yes && $stopping == no ]] || break
    printf '%s was killed from the shop, and starts again.\n' "${server##*/}"
    crashed=no pid=''
    start_server
    [[ $stopping == no ]] || stop
done
status=0 served=yes
wait "$pid" || status=$?
[[ -z $shop_pid ]] || kill "$greeter" 2>/dev/null || true
wait "$greeter" || served=no
if [[ -n $shop_pid ]]; then
    kill -TERM "$shop_pid" 2>/dev/null || true
    wait "$shop_pid" || true
fi
pid='' greeter='' shop_pid=''

if [[ $stopping == no && $served == no ]]; then
    said=$(tail -c "+$((logged_before + 1))" "$log" 2>/dev/null | tail -n 20) || true
    [[ -n $said ]] || fail "the server did not start (status $status), and logged nothing"
    printf '%s\n' "$said" >&2
    fail "the server did not start (status $status); above is what it logged, in $log"
fi
[[ $stopping == yes ]] || fail "the server ended by itself (status $status); its log is $log"
# A server that is signalled before it has begun ends by the signal.
[[ $status -eq 0 || $status -eq $((128 + 15)) || $crashed == yes ]] ||
    fail "the server did not stop in order (status $status); its log is $log"
[[ $shop_failed == no ]] || fail "the shop ended by itself; its log is $dir/shop.log"
printf '\nThe server has stopped; the data stay in %s.\n' "$dir"
