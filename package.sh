#!/usr/bin/env bash
#
# package.sh: build a Debian package of the module, and an archive with the same content.

set -euo pipefail

usage() {
    cat <<'HELP'
package.sh: build a Debian package of the module, and an archive with the same content

    ./package.sh

leaves in build/packages/:

    redis-sessiongate_VERSION-1_ARCHITECTURE.deb
    sessiongate-VERSION-linux-ARCHITECTURE.tar.gz    to be unpacked in /

Both hold the module for /usr/lib/redis/modules, /etc/redis/sessiongate.conf to be included in the
server's configuration, the script for metrics and the documentation. The module is built with the
distribution's own compiler flags, in build/package/. The version is that of src/server/version.h.

    DEBFULLNAME, DEBEMAIL    the package's maintainer: set them when you give the package to others
    SOURCE_DATE_EPOCH        the time in the packages, in seconds since 1970; otherwise that of the last
                             commit, or now. Two builds with the same time are the same, byte for byte

Runs ./bootstrap.sh --package first. Exit status: 0 both are built; 1 something failed; 2 the command
line is wrong.
HELP
}

cd "$(dirname "${BASH_SOURCE[0]}")"
case ${1:-} in
'') ;;
-h | --help)
    usage
    exit
    ;;
*)
    echo "package.sh: there is no option '$1'; see ./package.sh --help" >&2
    exit 2
    ;;
esac

./bootstrap.sh --package
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
export DEB_BUILD_MAINT_OPTIONS=hardening=+all
arguments=(-DCMAKE_INSTALL_PREFIX=/usr -DCMAKE_BUILD_TYPE=None -DBUILD_TESTING=OFF
    -DCMAKE_C_FLAGS="$(dpkg-buildflags --get CPPFLAGS) $(dpkg-buildflags --get CFLAGS)"
    -DCMAKE_MODULE_LINKER_FLAGS="$(dpkg-buildflags --get LDFLAGS)")
./build.sh --dir build/package "${arguments[@]}" >/dev/null

rm -rf build/packages
umask 022
output=$(cpack --config build/package/CPackConfig.cmake -B build/packages -G 'DEB;TGZ' 2>&1) || {
    printf '%s\n' "$output" >&2
    exit 1
}
rm -rf build/packages/_CPack_Packages
printf 'built %s\n' build/packages/*
