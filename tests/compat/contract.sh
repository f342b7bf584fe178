#!/bin/sh
# Holds every endpoint of a native engine (program: CUBBYD) against Docker's published API: see `contract/__main__.py`.
#
#   contract.sh DIRECTORY [the tour's own arguments]     where the published files are kept
#
# Debian's `golang-github-docker-docker-dev` has the file of its time. The package is unpacked and not installed (it wants half of Go):
#
#   1.41   of bookworm
#   1.45   of the release after it, which `scripts/setup` has made known
#   1.51   of testing, for as long as testing has it: the nearest to ours (1.50, by whose name it is asked for), and the one
#          that members are counted by
set -eu
directory=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
package=golang-github-docker-docker-dev
mkdir -p "$directory"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Every version of the package that is to be had with these options of apt's.
unpack() {
    for version in $(apt-cache "$@" madison $package | cut -d'|' -f2); do
        rm -rf "$work/download"
        mkdir "$work/download"
        (cd "$work/download" && apt-get "$@" -qq download "$package=$version" 2> /dev/null) || continue
        dpkg-deb -x "$work/download"/*.deb "$work/download"
        file=$(find "$work/download" -name swagger.yaml | head -n 1)
        api=$(sed -n 's/^basePath: "\/v\(.*\)"$/\1/p' "$file")
        case $api in
        1.41 | 1.45 | 1.51) mv "$file" "$directory/$api.yaml" ;;
        esac
    done
}

[ -e "$directory/1.45.yaml" ] || unpack
[ -e "$directory/1.41.yaml" ] || [ -e "$directory/1.45.yaml" ] || { apt-get -qq update && unpack; }
if [ ! -e "$directory/1.51.yaml" ]; then
    # Lists of its own: nothing else is ever to come from there.
    # Why `|| true`: a mirror of another name is no reason to check nothing.
    mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -m 1 '/debian/*$' || true)
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$work/lists/partial" "$work/cache" "$work/parts"
    echo "deb [signed-by=$key] $mirror testing main" > "$work/testing.list"
    testing="-o Dir::Etc::sourcelist=$work/testing.list -o Dir::Etc::sourceparts=$work/parts -o Dir::Etc::preferencesparts=$work/parts
        -o Dir::State::lists=$work/lists -o Dir::Cache=$work/cache -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
    # shellcheck disable=SC2086 # options, split on purpose
    { [ -n "$mirror" ] && apt-get $testing -qq update && unpack $testing; } || echo "testing is not to be had" >&2
fi
set -- "$directory"/1.*.yaml "$@"
[ -e "$1" ] || { echo "no package $package: apt-get update" >&2; exit 1; }
[ -e "$directory/1.51.yaml" ] || echo "testing has no API 1.51 any more: members that nobody published are not looked for" >&2
rm -rf "$work"
# Debian's own Python: the packages that this needs are for it.
exec /usr/bin/python3 -B "$here/contract" "$@"
