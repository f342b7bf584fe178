#!/bin/sh
# Runs other people's suites against the engine of DOCKER_HOST, whose images `images.sh` has made.
#
#   suites.sh docker-py CHECKOUT [pytest's arguments]     a checkout of docker/docker-py; python3, venv
#   suites.sh bollard CHECKOUT [the test binary's]        a checkout of fussybeaver/bollard; cargo; REGISTRY_HTTP_ADDR
#   suites.sh moby CHECKOUT PACKAGE [the test binary's]   a checkout of moby/moby v28; go 1.23; container, volume, …
#
# What needs a swarm, plugins, or a daemon of the suite's own is left out.
set -eu
suite=$1
checkout=$2
shift 2
cd "$checkout"
case $suite in
docker-py)
    [ -d .cubby ] || {
        python3 -m venv .cubby
        SETUPTOOLS_SCM_PRETEND_VERSION=7.1.0 .cubby/bin/pip -q install . pytest pytest-timeout paramiko websocket-client
    }
    leave_out=
    for file in api_swarm api_service api_secret api_config api_plugin models_swarm models_services models_nodes; do
        leave_out="$leave_out --ignore tests/integration/${file}_test.py"
    done
    # One process a file: some tests change the environment of those after them.
    failed=0
    for file in tests/integration/*_test.py; do
        case $leave_out in *"$file"*) continue ;; esac
        .cubby/bin/python -m pytest "$file" -q --timeout 120 -p no:cacheprovider "$@" || failed=1
    done
    exit $failed
    ;;
bollard)
    exec cargo test --features websocket,test_websocket --no-fail-fast -- --test-threads 1 "$@"
    ;;
moby)
    package=$1
    shift
    cp vendor.mod go.mod
    cp vendor.sum go.sum
    export GOFLAGS=-mod=vendor GOTOOLCHAIN=local
    go test -c -o "$checkout/cubby-$package.test" "./integration/$package"
    cd "integration/$package"
    own=$(python3 - <<'END'
import glob, re
names = []
for path in glob.glob("*_test.go"):
    for name, body in re.findall(r"\nfunc (Test\w+)\(t \*testing\.T\) \{(.*?)\n\}\n", open(path).read(), re.S):
        if re.search(r"daemon\.New\(|startDaemon|newDaemon|d\.Start|swarm\.", body):
            names.append(f"^{name}$")
print("|".join(names + ["TestDaemonIpc", "TestCgroupNamespaces"]))
END
    )
    exec "$checkout/cubby-$package.test" -test.v -test.timeout 25m -test.skip "$own" "$@"
    ;;
*)
    echo "no suite $suite" >&2
    exit 2
    ;;
esac
