#!/usr/bin/env bash
#
# bootstrap.sh: bring what SessionGate needs to be built, run and tested.
#
# Two kinds of things: programs and libraries, which the system's package manager installs, and
# build/deps/redismodule.h, the header of the module API, which is in no binary package. Debian's source
# package of Redis 7.0 has it, under the BSD licence.

set -euo pipefail

usage() {
    cat <<'HELP'
bootstrap.sh: bring what SessionGate needs to be built, run and tested

    ./bootstrap.sh                   to build and run: compiler, CMake, libsodium, a Redis server
    ./bootstrap.sh --build           to build alone: no server
    ./bootstrap.sh --package         all that, and what packaging/build needs
    ./bootstrap.sh --tests           all that, and what ./test.sh needs: clang, cmocka, pytest, ...
    ./bootstrap.sh --image           all that, and what tests/image needs: buildah, debootstrap
    ./bootstrap.sh --header PATH     take PATH as redismodule.h (Redis 7.0 or later)
    ./bootstrap.sh --source FILE     only fetch the source package's tar of Redis 7.0, as FILE

Says nothing when nothing is missing. On Debian and Ubuntu it installs the missing packages with apt-get
(as root, or through sudo); elsewhere it names what is missing and stops. The services that it
installs, redis-server and with --tests prometheus-redis-exporter, are left stopped and do not start at
boot: nothing but ./run.sh and ./test.sh will run them.

redismodule.h comes from Debian's source package of Redis 7.0 (3 MB, from the mirror this machine is
configured for, with apt state of its own: the machine's sources and lists are not touched), or from the
PATH that --header or the environment variable REDISMODULE_H names. It goes to build/deps/.

Exit status: 0 all is there; 1 something is missing and could not be had; 2 the command line is wrong.
HELP
}

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
readonly top
readonly deps=$top/build/deps
readonly policy=/usr/sbin/policy-rc.d
header=${REDISMODULE_H:-}

say() { printf 'bootstrap: %s\n' "$*"; }

die() {
    printf 'bootstrap: %s\n' "$*" >&2
    exit 1
}

# One line for each thing: its Debian package, and a test that succeeds where it is there. A line of one
# word is a program in PATH which its package is named after.
readonly TO_BUILD='
gcc
libc6-dev       test -e /usr/include/stdio.h
cmake
ninja-build     command -v ninja
pkg-config
libsodium-dev   pkg-config --exists libsodium
'
readonly TO_RUN='
redis-server    command -v redis-server
redis-tools     command -v redis-cli
'
readonly TO_PACKAGE='
dpkg-dev        command -v dpkg-shlibdeps
file
'
readonly TO_TEST='
clang
libclang-rt-dev compgen -G /usr/lib/llvm-*/lib/clang/*/lib/*/libclang_rt.fuzzer*
clang-format
clang-tidy
libcmocka-dev   pkg-config --exists cmocka
python3         test -x /usr/bin/python3
python3-pytest  python_has pytest
python3-pytest-xdist  python_has xdist
python3-redis   python_has redis
python3-venv    /usr/bin/python3 -c "import ensurepip"
shellcheck
valgrind
lintian
prometheus-redis-exporter
'
readonly TO_TEST_IMAGES='
buildah
debootstrap
iproute2        command -v ip
debian-archive-keyring test -e /usr/share/keyrings/debian-archive-keyring.gpg
'
readonly SERVICES='redis-server prometheus-redis-exporter'

python_has() { compgen -G "/usr/lib/python3*/dist-packages/$1" || /usr/bin/python3 -c "import $1"; }

# The packages of those things that are not there, one a line.
missing() {
    local package check
    while read -r package check; do
        [[ -n $package ]] || continue
        eval "${check:-command -v $package}" >/dev/null 2>&1 || printf '%s\n' "$package"
    done <<<"$1"
}

as_root() {
    if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi
}

# Packages start their services unless policy-rc.d forbids it. Forbid it for as long as apt runs.
forbid_services() {
    as_root test ! -e $policy || as_root mv $policy $policy.sessiongate
    trap allow_services EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
}

allow_services() {
    as_root rm -f $policy
    as_root test ! -e $policy.sessiongate || as_root mv $policy.sessiongate $policy
    trap - EXIT
}

# quietly COMMAND...: its output only if it fails.
quietly() {
    local output
    output=$("$@" 2>&1 </dev/null) || {
        printf '%s\n' "$output" >&2
        return 1
    }
}

install() {
    local packages=("$@") service
    command -v apt-get >/dev/null ||
        die "this system has no apt-get. Install what these Debian packages hold, then run this again: ${packages[*]}"
    [[ $EUID -eq 0 ]] || command -v sudo >/dev/null ||
        die "packages are missing and there is no sudo. Run as root: apt-get install ${packages[*]}"

    say "installing with apt-get: ${packages[*]}"
    local apt=(as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600)
    forbid_services
    quietly "${apt[@]}" update || say "apt-get update failed in part; trying all the same"
    quietly "${apt[@]}" install -y --no-install-recommends "${packages[@]}" ||
        die "apt-get could not install: ${packages[*]}"
    for service in $SERVICES; do
        [[ " ${packages[*]} " == *" $service "* ]] || continue
        quietly as_root update-rc.d "$service" disable || true
        say "the service $service is installed, but neither running nor enabled"
    done
    allow_services
}

make_deps() {
    if ! mkdir -p "$deps" 2>/dev/null || [[ ! -w $deps ]]; then
        die "$deps, where redismodule.h goes, is not yours to write: run this as its owner, or on a copy of the tree"
    fi
}

# take_header FILE: FILE becomes build/deps/redismodule.h, if it is one that the module can be built with.
take_header() {
    [[ -r $1 ]] || die "there is no file $1 to take as redismodule.h"
    grep -q RedisModule_SetCommandInfo "$1" || die "$1 is not the redismodule.h of Redis 7.0 or later"
    cmp -s "$1" "$deps/redismodule.h" || { make_deps && cp "$1" "$deps/redismodule.h"; }
}

# The bases of the archives in apt's sources, one a line. Apt says them itself, whichever format the
# sources have, even where it never fetched a list.
mirrors() {
    apt-get --print-uris update | sed -nE "s|^'([^']+)/dists/[^'/-]+/InRelease' .*|\1|p" | awk '!seen[$0]++'
}

# download_source FILE: the tar of Redis's source package becomes FILE. Other vendors' archives are among
# the mirrors: the distribution's keyring tells its own from theirs.
download_source() {
    local id codename keyring suite mirror apt dir=$deps/apt
    command -v apt-get >/dev/null ||
        die "there is no apt-get to fetch the source package of redis with; ./bootstrap.sh --header PATH does without"
    id=$(sed -nE 's/^ID="?([^"]*)"?$/\1/p' /etc/os-release)
    codename=$(sed -nE 's/^VERSION_CODENAME="?([^"]*)"?$/\1/p' /etc/os-release)
    keyring=/usr/share/keyrings/$id-archive-keyring.gpg
    suite=$codename
    [[ $id != debian ]] || suite=bookworm # later ones hold a later Redis

    say "fetching the source package of redis in $suite"
    make_deps
    rm -rf "$dir"
    mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial"
    : >"$dir/status"
    apt=(apt-get -qq -o Dir::State="$dir/state" -o Dir::State::status="$dir/status"
        -o Dir::Cache="$dir/cache" -o Dir::Etc::sourcelist="$dir/sources.list"
        -o Dir::Etc::sourceparts=/dev/null -o Dir::Etc::preferences=/dev/null
        -o Dir::Etc::preferencesparts=/dev/null -o APT::Sandbox::User="$(id -un)")
    while read -r mirror; do
        printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" >"$dir/sources.list"
        if (cd "$dir" && "${apt[@]}" -o APT::Update::Error-Mode=any update &&
            "${apt[@]}" source --download-only --tar-only redis) >>"$dir/log" 2>&1 </dev/null; then
            mv "$dir"/redis_*.orig.tar.* "$1"
            rm -rf "$dir"
            return
        fi
    done < <(mirrors)
    [[ ! -e $dir/log ]] || cat "$dir/log" >&2
    die "no configured archive gave the source package of redis; ./bootstrap.sh --header PATH does without"
}

download_header() {
    local source=$deps/redis.tar
    download_source "$source"
    tar -xOf "$source" --wildcards '*/src/redismodule.h' >"$source.h"
    take_header "$source.h"
    rm "$source" "$source.h"
}

wanted=$TO_BUILD$TO_RUN
while [[ $# -gt 0 ]]; do
    case $1 in
    --build) wanted=$TO_BUILD ;;
    --package) wanted+=$TO_PACKAGE ;;
    --tests) wanted+=$TO_PACKAGE$TO_TEST ;;
    --image) wanted+=$TO_PACKAGE$TO_TEST$TO_TEST_IMAGES ;;
    --header)
        header=${2:-}
        [[ -n $header ]] || { echo "bootstrap: --header needs a PATH" >&2; exit 2; }
        shift
        ;;
    --source)
        [[ -n ${2:-} ]] || { echo "bootstrap: --source needs a FILE" >&2; exit 2; }
        download_source "$2"
        exit
        ;;
    -h | --help)
        usage
        exit
        ;;
    *)
        echo "bootstrap: there is no option '$1'; see ./bootstrap.sh --help" >&2
        exit 2
        ;;
    esac
    shift
done

mapfile -t packages < <(missing "$wanted")
[[ ${#packages[@]} -eq 0 ]] || install "${packages[@]}"

if [[ -n $header ]]; then
    take_header "$header"
elif [[ ! -e $deps/redismodule.h ]]; then
    download_header
fi
