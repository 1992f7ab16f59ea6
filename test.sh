#!/usr/bin/env bash
#
# test.sh: every check and test of SessionGate.

set -euo pipefail

usage() {
    cat <<'HELP'
test.sh: every check and test of SessionGate

    ./test.sh            under 25 minutes on two cores
    ./test.sh --quick    for use while writing code: a minute for the module, and one for each client
    ./test.sh --full     everything there is, the tests that take minutes among it

                                                    --quick  default  --full
    builds without a warning: gcc                      x        x        x
    builds without a warning: clang, sanitizers                 x        x
    unit tests, replays of the fuzz corpus             x        x        x
    the same: built by clang, under ASan and UBSan              x        x
    clang-format, clang-tidy, shellcheck               x        x        x
    what the module exports, its hardening             x        x        x
    tests of this machine's Redis                     (1)       x        x
    tests of valkey-sid                                         x        x
    tests of redis-trixie, valkey-trixie                       (2)       x
    tests of redis-sid                                                   x
    clients (clients/LANGUAGE/test)                   (3)       x        x
    the shop in a browser (examples/shop/test)                  x        x
    packages: built, checked by lintian, installed              x        x
    images: built and run (tests/image)                                  x
    tests that take minutes                                              x

    (1) of one server alone, without those that take more than two seconds
    (2) without those that take more than two seconds
    (3) the library itself, without frameworks

Two steps run at a time. A step that fails is shown with its whole output and does not stop the others. A
server that cannot be had counts as skipped, and what was skipped is listed with the reason. The last
line reads "N passed, N failed, N skipped".

Installs what it needs by ./bootstrap.sh. Exit status: 0 something ran and nothing failed; 1
something failed, or nothing ran; 2 the command line is wrong.
HELP
}

cd "$(dirname "${BASH_SOURCE[0]}")"
mode=default
case ${1:-} in
'') ;;
--quick) mode=quick ;;
--full) mode=full ;;
-h | --help)
    usage
    exit
    ;;
*)
    echo "test.sh: there is no option '$1'; see ./test.sh --help" >&2
    exit 2
    ;;
esac
export PYTHONDONTWRITEBYTECODE=1

# A step is a name and a command that runs in the background, in a process group of its own. The
# directory of results holds, under the name: its output (.log), where the command wrote it the count of
# what it ran (.count: passed, failed, skipped), and a line for each skip with its reason (.skips).
set -m
readonly lanes=2
declare -A name_of=() started_at=() outcome=()
passed=0 failed=0 skipped=0

# Ends the steps with all they started, and waits for it: tests stop their servers first.
interrupted() {
    trap '' INT TERM
    for pid in "${!name_of[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
    for pid in "${!name_of[@]}"; do
        while kill -0 -- "-$pid" 2>/dev/null; do sleep 0.1; done
    done
    echo "test.sh: interrupted" >&2
    exit 130
}

# step NAME COMMAND...: starts a step, as soon as a lane is free. The command sees its name in $name.
step() {
    local name=$1
    shift
    while [[ ${#name_of[@]} -ge $lanes ]]; do finish_one; done
    echo "   $name ..."
    "$@" >"$results/$name.log" 2>&1 </dev/null &
    name_of[$!]=$name
    started_at[$name]=$SECONDS
}

# Waits for any step, prints its outcome and counts it. A step that leaves no count is one check; one
# that fails without a failed check, or runs nothing at all, is a failure.
finish_one() {
    local pid name status=0 counts p f s
    wait -n -p pid "${!name_of[@]}" || status=$?
    name=${name_of[$pid]}
    unset "name_of[$pid]"
    if [[ -e $results/$name.count ]]; then
        read -r p f s <"$results/$name.count"
        [[ $status -eq 0 || $f -gt 0 ]] || f=1
        if [[ $((p + f + s)) -eq 0 ]]; then
            f=1
            echo "No test ran." >>"$results/$name.log"
        fi
        counts=": $p passed, $f failed, $s skipped"
    else
        p=$((status == 0)) f=$((status != 0)) s=0 counts=
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
    outcome[$name]=ok
    [[ $f -eq 0 ]] || outcome[$name]=FAILED
    echo "${outcome[$name]} $name$counts ($((SECONDS - started_at[$name])) s)"
    [[ $f -eq 0 ]] || sed 's/^/   | /' "$results/$name.log"
}

finish_all() {
    while [[ ${#name_of[@]} -gt 0 ]]; do finish_one; done
}

# skip REASON: this step as a whole.
skip() {
    echo "0 0 1" >"$results/$name.count"
    echo "$name: $1" >"$results/$name.skips"
}

# Counts what is in this step's .xml, in the JUnit form that ctest and pytest write.
count() {
    /usr/bin/python3 - "$results/$name" "$name" <<'PYTHON'
import sys
import xml.etree.ElementTree

path, name = sys.argv[1:]
passed, failed, skips = 0, 0, []
for case in xml.etree.ElementTree.parse(path + ".xml").iter("testcase"):
    skip = case.find("skipped")
    if case.find("failure") is not None or case.find("error") is not None:
        failed += 1
    elif skip is not None:
        skips.append(f"{name}: {skip.get('message', 'no reason given')}\n")
    else:
        passed += 1
open(path + ".count", "w").write(f"{passed} {failed} {len(skips)}\n")
open(path + ".skips", "w").writelines(skips)
PYTHON
}

# after STEP COMMAND...: the command, unless that step failed.
after() {
    if [[ ${outcome[$1]} == ok ]]; then "${@:2}"; else skip "the $1 failed"; fi
}

# unit DIR: the tests that ctest knows of in that build.
unit() {
    local status=0
    ctest --test-dir "$1" --output-on-failure --output-junit "$results/$name.xml" || status=$?
    count
    return $status
}

python_tests() {
    local status=0
    /usr/bin/python3 -m pytest --junitxml "$results/$name.xml" "$@" || status=$?
    [[ ! -e $results/$name.xml ]] || count
    return $status
}

# tests_of SERVER PYTEST-ARGUMENT...
tests_of() {
    local server=$1 said
    shift
    if ! said=$(tests/servers get "$server" 2>&1); then
        skip "${said##*$'\n'}"
        return
    fi
    python_tests tests --ignore tests/packages --server "$server" "$@"
}

# script PATH OPTION...: tests by a script that brings what it needs, or says why it cannot.
script() {
    local status=0
    "$1" --junit "$results/$name.xml" "${@:2}" || status=$?
    if [[ $status -eq 77 ]]; then
        skip "$(tail -n 1 "$results/$name.log")"
        return
    fi
    [[ ! -e $results/$name.xml ]] || count
    return $status
}

# ours FIND-TEST...: the files of the tree that pass, each ended by a NUL.
ours() {
    find . \( -path ./build -o -path ./.git -o -name node_modules \) -prune -o -type f "$@"
}

# Shows what `clang-format -i` would change.
formatted() {
    local file status=0
    while IFS= read -r -d '' file; do
        clang-format "$file" | diff -u --label "$file" --label "$file, formatted" "$file" - || status=1
    done < <(ours -name '*.[ch]' -print0)
    return $status
}

tidy() {
    find src -name '*.c' -print0 | xargs -0 -n 1 -P 2 clang-tidy -p build --quiet --warnings-as-errors='*'
}

# Every file whose first line names a shell.
shell_checked() {
    ours -exec awk '
        FNR == 1 && /^#!.*[\/ ](ba)?sh( |$)/ { printf "%s%c", FILENAME, 0 } { nextfile }' {} + |
        xargs -0 shellcheck
}

exports_only_onload() {
    local module names
    for module in "$@"; do
        names=$(nm -D --defined-only "$module" | awk '{ print $3 }')
        echo "$module exports $names"
        [[ $names == RedisModule_OnLoad ]] || return 1
    done
}

# Addresses resolved and read-only once it is loaded; a guard of the stack; calls that check their buffer.
hardened() {
    local module sign
    for module in "$@"; do
        for sign in BIND_NOW GNU_RELRO __stack_chk_fail '__[a-z]+_chk'; do
            readelf --wide --dynamic --program-headers --dyn-syms "$module" | grep -wE "$sign" || {
                echo "$module has no $sign"
                return 1
            }
        done
    done
}

if [[ $mode == full ]]; then ./bootstrap.sh --image; else ./bootstrap.sh --tests; fi
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
trap interrupted INT TERM

step "gcc build" ./build.sh -DCMAKE_C_COMPILER=gcc
if [[ $mode != quick ]]; then
    step "clang build" ./build.sh --dir build/clang -DCMAKE_C_COMPILER=clang
    step "sanitized build" ./build.sh --dir build/asan -DSANITIZE=address,undefined
fi
finish_all

step "unit tests" after "gcc build" unit build
if [[ $mode != quick ]]; then
    step "unit tests by clang" after "clang build" unit build/clang
    step "unit tests under ASan and UBSan" after "sanitized build" unit build/asan
fi
step "clang-format" formatted
step "clang-tidy" after "gcc build" tidy
step "shellcheck" shell_checked
step "exports" after "gcc build" exports_only_onload build/sessiongate.so
step "hardening" after "gcc build" hardened build/sessiongate.so
if [[ $mode != quick ]]; then
    step "exports by clang" after "clang build" exports_only_onload build/clang/sessiongate.so
    step "hardening by clang" after "clang build" hardened build/clang/sessiongate.so
fi

case $mode in
quick)
    servers=(redis-bookworm)
    arguments=(--ignore tests/cluster --ignore tests/faults -m "not slow" -n 4 --dist loadfile)
    ;;
default)
    servers=(valkey-sid redis-bookworm valkey-trixie redis-trixie) # the longest first
    arguments=()
    ;;
full)
    mapfile -t servers < <(tests/servers list)
    arguments=(--full)
    ;;
esac
for server in "${servers[@]}"; do
    some=()
    [[ $mode != default || $server != *-trixie ]] || some=(-m "not slow")
    step "tests of $server" after "gcc build" tests_of "$server" "${arguments[@]}" "${some[@]}"
done
for language in python node go; do
    some=()
    [[ $mode != quick ]] || some=(--quick)
    step "client for $language" after "gcc build" script "clients/$language/test" "${some[@]}"
done
if [[ $mode != quick ]]; then
    step "packages" after "gcc build" python_tests tests/packages
    step "shop" after "gcc build" script examples/shop/test
fi
case $mode in
default) step "images" skip "takes minutes; --full runs it" ;;
full) step "images" tests/image ;;
esac
finish_all

echo
if [[ $skipped -gt 0 ]]; then
    echo "Skipped:"
    sort "$results"/*.skips | uniq -c
fi
echo "$passed passed, $failed failed, $skipped skipped"
[[ $failed -eq 0 && $passed -gt 0 ]]
