#!/usr/bin/env bash
#
# run.sh: build SessionGate, start a server with it and show a session's life on it.

set -euo pipefail

usage() {
    cat <<'HELP'
run.sh: build SessionGate, start a server with it and show a session's life on it

    ./run.sh [--port PORT] [--dir DIR] [--server PATH]

    --port PORT      where it listens, on 127.0.0.1 (6379; the environment variable PORT does it too)
    --dir DIR        where its data and its log are kept (build/run); sessions are there again next time
    --server PATH    a redis-server or valkey-server (redis-server)

Runs ./bootstrap.sh and ./build.sh first. Every write is appended to a file in DIR and synced each second.
Ctrl-C, or SIGTERM, stops the server cleanly.

Exit status: 0 the server was stopped; 1 it could not start, or failed; 2 the command line is wrong.
HELP
}

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly top
port=${PORT:-6379}
dir=$top/build/run
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

answers() { [[ $("$cli" -p "$port" PING 2>/dev/null) == PONG ]]; }

"$top/bootstrap.sh"
"$top/build.sh"

command -v "$server" >/dev/null || fail "there is no server '$server'"
server=$(command -v "$server")
for cli in "${server%-server}-cli" redis-cli valkey-cli; do
    ! command -v "$cli" >/dev/null || break
done
command -v "$cli" >/dev/null || fail "there is no redis-cli or valkey-cli to show a session with"
[[ $(command -v "${cli##*/}") != "$(command -v "$cli")" ]] || cli=${cli##*/}

if (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    fail "port $port is taken, by another Redis perhaps. Choose another: ./run.sh --port $((port % 65535 + 1))"
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
log=$dir/server.log

"$server" --port "$port" --bind 127.0.0.1 --dir "$dir" --logfile "$log" --appendonly yes \
    --loadmodule "$top/build/sessiongate.so" &
pid=$!
stopping=no
trap 'stopping=yes; kill -TERM $pid 2>/dev/null || true' INT TERM

while ! answers; do
    if ! kill -0 $pid 2>/dev/null; then
        [[ $stopping == no ]] || break
        [[ ! -e $log ]] || tail -n 20 "$log" >&2
        fail "the server did not start; above is the end of its log, $log"
    fi
    sleep 0.1
done

if [[ $stopping == no ]]; then
    printf '%s listens on 127.0.0.1:%s with SessionGate.\n' "$(basename "$server")" "$port"
    transcript
    printf '\nThe data and the log (server.log) are in %s. Ctrl-C stops the server.\n' "$dir"
fi

# A signal ends the wait, not the server, which takes its time to save.
status=0
wait $pid || status=$?
while kill -0 $pid 2>/dev/null; do
    status=0
    wait $pid || status=$?
done
[[ $stopping == yes ]] || fail "the server ended by itself (status $status); its log is $log"
printf '\nThe server has stopped; the data stay in %s.\n' "$dir"
