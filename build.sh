#!/usr/bin/env bash
#
# build.sh: build the module with CMake and Ninja. Says nothing when nothing had to be built.

set -euo pipefail

usage() {
    cat <<'HELP'
build.sh: build the module, and the unit tests where cmocka is installed

    ./build.sh [--dir DIR] [CMAKE-ARGUMENT...]

Builds in DIR (build/ if not named) and leaves DIR/sessiongate.so. Compiler warnings are errors here. The
arguments go to CMake, which keeps them in DIR:

    ./build.sh --dir build/clang -DCMAKE_C_COMPILER=clang
    ./build.sh --dir build/asan -DSANITIZE=address,undefined
    ./build.sh --dir build/fuzz -DCMAKE_C_COMPILER=clang -DFUZZ=ON

./bootstrap.sh brings what a build needs.
HELP
}

cd "$(dirname "${BASH_SOURCE[0]}")"
dir=build
case ${1:-} in
-h | --help)
    usage
    exit
    ;;
--dir)
    dir=${2:?build.sh: --dir needs a DIR}
    shift 2
    ;;
esac

generator=()
[[ -e $dir/CMakeCache.txt ]] || generator=(-G Ninja)
output=$(cmake -S . -B "$dir" "${generator[@]}" -DSESSIONGATE_WERROR=ON "$@" 2>&1) || {
    printf '%s\n' "$output" >&2
    exit 1
}
before=$(stat -c %.Y "$dir/sessiongate.so" 2>/dev/null || true)
cmake --build "$dir" -- --quiet | { grep -v '^ninja: no work to do' || true; }
[[ ! -e $dir/sessiongate.so || $before == "$(stat -c %.Y "$dir/sessiongate.so")" ]] ||
    echo "built $dir/sessiongate.so"
