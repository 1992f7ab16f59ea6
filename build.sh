#!/usr/bin/env bash
#
# build.sh: build the module with CMake and Ninja. Says nothing when nothing had to be built.

set -euo pipefail

usage() {
    cat <<'HELP'
build.sh: build the module, and the unit tests where cmocka is installed

    ./build.sh [--dir DIR] [-DNAME=VALUE]...

Builds in DIR (build/ if not named) and leaves DIR/sessiongate.so. Compiler warnings are errors here. The
options -D go to CMake, which keeps them in DIR:

    ./build.sh --dir build/clang -DCMAKE_C_COMPILER=clang
    ./build.sh --dir build/asan -DSANITIZE=address,undefined
    ./build.sh --dir build/fuzz -DCMAKE_C_COMPILER=clang -DFUZZ=ON

./bootstrap.sh brings what a build needs.

Exit status: 0 it is built; 1 something is missing or failed; 2 the command line is wrong.
HELP
}

misused() {
    printf 'build.sh: %s; see ./build.sh --help\n' "$1" >&2
    exit 2
}

fail() {
    printf 'build.sh: %s\n' "$1" >&2
    exit 1
}

cd "$(dirname "${BASH_SOURCE[0]}")"
dir=build
definitions=()
while [[ $# -gt 0 ]]; do
    case $1 in
    --dir)
        [[ -n ${2:-} ]] || misused "--dir needs a DIR"
        dir=$2
        shift
        ;;
    -D?*=*) definitions+=("$1") ;;
    -h | --help)
        usage
        exit
        ;;
    *) misused "there is no option '$1'" ;;
    esac
    shift
done

for program in cmake ninja; do
    command -v $program >/dev/null || fail "$program is not installed; ./bootstrap.sh brings what a build needs"
done
elsewhere='or build elsewhere by ./build.sh --dir DIR'
mkdir -p "$dir" 2>/dev/null || fail "$dir cannot be made here: copy the tree to where you may write, $elsewhere"
for written in "$dir" "$dir/CMakeCache.txt"; do
    [[ ! -e $written || -w $written ]] ||
        fail "$written is not yours to write: change that (sudo chown -R $(id -un) $dir), $elsewhere"
done

generator=()
[[ -e $dir/CMakeCache.txt ]] || generator=(-G Ninja)
output=$(cmake -S . -B "$dir" "${generator[@]}" -DSESSIONGATE_WERROR=ON "${definitions[@]}" 2>&1) || {
    # What CMakeLists.txt says is wrapped into lines that are indented; what CMake says is shown as it is.
    said=$(awk '/^CMake Error at CMakeLists.txt:.*\(message\):$/ { ours = 1; next }
        ours && /^  / { sub(/^ /, ""); printf "%s", $0; next } { ours = 0 }' <<<"$output")
    [[ -z $said ]] || fail "${said# }"
    printf '%s\n' "$output" >&2
    exit 1
}
before=$(stat -c %.Y "$dir/sessiongate.so" 2>/dev/null || true)
cmake --build "$dir" -- --quiet | { grep -v '^ninja: no work to do' || true; }
[[ ! -e $dir/sessiongate.so || $before == "$(stat -c %.Y "$dir/sessiongate.so")" ]] ||
    echo "built $dir/sessiongate.so"
