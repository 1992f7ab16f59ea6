#!/usr/bin/env bash
#
# bench.sh: measure SessionGate against the server's own commands and write bench/README.md.

set -euo pipefail

usage() {
    cat <<'HELP'
bench.sh: measure SessionGate against the server's own commands

    ./bench.sh                      everything, in about 20 minutes; writes bench/README.md
    ./bench.sh --quick              all of it with fewer and shorter runs, in less than 3 minutes
    ./bench.sh --only core,memory   some experiments; ./bench.sh --list names them

    --out DIR        where README.md, plots and raw figures go: bench/ for a whole run,
                     build/bench/report/ for a quick or partial one
    --pairs N        how often each load of a comparison is run (9; 3 with --quick)
    --seconds S      how long one run takes, about (0.25; 0.08 with --quick)

The server is pinned to one core, the clients to another. Loads that are compared run by turns; a
ratio is the median of the ratios of neighbours, with its quartiles, and more is better for us. Each
ratio is given for operations a second and for the server's CPU time, which is steady where other
programs disturb; the end of the output says whether they did. Instructions are counted by perf, or
by callgrind where perf has no counter of them.

Runs ./bootstrap.sh and ./build.sh first, and installs with apt-get what else it needs.

Exit status: 0 measured, whether or not the bars are met; 1 something failed; 2 the command line is
wrong.
HELP
}

for argument; do
    case $argument in -h | --help) usage; exit ;; esac
done

cd "$(dirname "${BASH_SOURCE[0]}")"
./bootstrap.sh

# Each line: a Debian package, and a test that succeeds where it is there.
readonly NEEDED='
util-linux           command -v taskset
linux-perf           command -v perf
valgrind             command -v valgrind
python3              test -x /usr/bin/python3
python3-redis        /usr/bin/python3 -c "import redis"
python3-matplotlib   /usr/bin/python3 -c "import matplotlib"
'
packages=()
while read -r package check; do
    [[ -z $package ]] || eval "$check" >/dev/null 2>&1 || packages+=("$package")
done <<<"$NEEDED"
if [[ ${#packages[@]} -gt 0 ]]; then
    echo "bench: installing with apt-get: ${packages[*]}"
    apt=(apt-get -qq -o DPkg::Lock::Timeout=600)
    [[ $EUID -eq 0 ]] || apt=(sudo "${apt[@]}")
    command -v apt-get >/dev/null || {
        echo "bench: there is no apt-get to install ${packages[*]} with" >&2
        exit 1
    }
    { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${packages[@]}"; } \
        >/dev/null </dev/null || {
        echo "bench: apt-get could not install: ${packages[*]}" >&2
        exit 1
    }
fi

./build.sh --dir build/bench -DBUILD_TESTING=OFF
for program in bench/*.c; do
    binary=build/bench/$(basename "$program" .c)
    [[ $binary -nt $program && $binary -nt build/bench/libcore.a ]] ||
        gcc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -Isrc/core "$program" \
            build/bench/libcore.a -lsodium -o "$binary"
done
exec /usr/bin/python3 -B bench/bench.py "$@"
