#!/usr/bin/env bash
#
# run.sh: build SessionGate, start a server with it and show a session's life on it.

set -euo pipefail

usage() {
    cat <<'HELP'
run.sh: build SessionGate, start a server with it and show a session's life on it

    ./run.sh [--port PORT] [--dir DIR] [--server PATH]

    --port PORT      where it listens, on 127.0.0.1 (6379; the environment variable PORT does it too)
    --dir DIR        where its data and its log are kept (build/run/PORT); sessions are there again next time
    --server PATH    a redis-server or valkey-server that is installed (redis-server, installed if missing)

Runs ./bootstrap.sh and ./build.sh first. Every write is appended to a file in DIR and synced each second.
Ctrl-C, SIGTERM, or that its terminal is closed, stops the server cleanly.

Exit status: 0 the server was stopped; 1 it could not start, or failed; 2 the command line is wrong.
HELP
}

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly top
port=${PORT:-6379}
dir=
server=redis-server

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
    --port | --dir | --server)
        [[ -n ${2:-} ]] || misused "$1 needs a value"
        declare "${1#--}=$2"
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
[[ $port =~ ^[1-9][0-9]{0,4}$ && $port -le 65535 ]] || misused "the port is a number from 1 to 65535, not '$port'"
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
    transcript || true
    printf '\nThe data and the log (server.log) are in %s. Ctrl-C stops the server.\n' "$dir"
}

# Tells the server to stop, by one signal whatever comes: at a second one it may end at once, unsaved.
stop() {
    trap : HUP INT QUIT TERM
    stopping=yes
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

server=$(command -v "$server")
for cli in "${server%-server}-cli" redis-cli valkey-cli; do
    ! command -v "$cli" >/dev/null || break
done
command -v "$cli" >/dev/null || fail "there is no redis-cli or valkey-cli to show a session with"
[[ $(command -v "${cli##*/}") != "$(command -v "$cli")" ]] || cli=${cli##*/}

if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "port $port is taken, by another Redis perhaps. Choose another: ./run.sh --port $((port % 65535 + 1))"
fi
mkdir -p "$dir" 2>/dev/null || fail "$dir cannot be made: choose another directory by --dir"
[[ -w $dir ]] || fail "$dir is not yours to write: choose another directory by --dir"
dir=$(cd "$dir" && pwd)
# The server inherits the lock, and so keeps it for as long as it lives.
exec {lock}<"$dir"
flock --nonblock "$lock" || fail "another server uses $dir: stop that one, or choose another directory by --dir"
log=$dir/server.log
logged_before=$(stat -c %s "$log" 2>/dev/null || echo 0)

# A terminal signals all processes of our session: the server has one of its own.
pid='' greeter='' stopping=no told=no
trap stop EXIT HUP INT QUIT TERM
setsid "$server" --port "$port" --bind 127.0.0.1 --dir "$dir" --logfile "$log" --appendonly yes \
    --loadmodule "$top/build/sessiongate.so" </dev/null &
pid=$!
greet &
greeter=$!
[[ $stopping == no ]] || stop # the signal came before there was a pid

# From here on this waits and nothing else: Bash 5.2 stumbles over a signal while it expands a $( ). A signal
# ends a wait, not the server, which takes its time to save.
while kill -0 "$pid" 2>/dev/null; do wait "$pid" || true; done
status=0 served=yes
wait "$pid" || status=$?
wait "$greeter" || served=no
pid='' greeter=''

if [[ $stopping == no && $served == no ]]; then
    said=$(tail -c "+$((logged_before + 1))" "$log" 2>/dev/null | tail -n 20) || true
    [[ -n $said ]] || fail "the server did not start (status $status), and logged nothing"
    printf '%s\n' "$said" >&2
    fail "the server did not start (status $status); above is what it logged, in $log"
fi
[[ $stopping == yes ]] || fail "the server ended by itself (status $status); its log is $log"
# A server that is signalled before it has begun ends by the signal.
[[ $status -eq 0 || $status -eq $((128 + 15)) ]] ||
    fail "the server did not stop in order (status $status); its log is $log"
printf '\nThe server has stopped; the data stay in %s.\n' "$dir"
