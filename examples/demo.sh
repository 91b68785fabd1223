#!/usr/bin/env bash
# Builds Opal and shows it at work: first `opal` on a file of commands, then a contract of examples/web/deploy.opl, with stand-ins for kubectl and
# friends.
# Everything it writes goes to a temporary directory; nothing of yours is touched.
set -euo pipefail
repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cargo build --quiet --locked --manifest-path "$repository/Cargo.toml" --workspace --bins
target=${CARGO_TARGET_DIR:-$repository/target}/debug

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export XDG_CONFIG_HOME=$work/config XDG_STATE_HOME=$work/state XDG_RUNTIME_DIR=$work/run
mkdir -m 700 "$XDG_RUNTIME_DIR"
export PATH=$target:$repository/examples/stand-ins:$PATH RECORD_TO=$work/calls
cp "$repository/examples/web/deploy.opl" "$work/"
cd "$work"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
show() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }
expect() { # expect STATUS COMMAND…: runs the command and insists on its exit status
    local wanted=$1 status=0
    shift
    printf '\033[2m$ %s\033[0m\n' "$*"
    "$@" || status=$?
    [ "$status" = "$wanted" ] || { echo "demo: exit status $status, expected $wanted" >&2; exit 1; }
    echo "(exit status $status)"
}

say "Every day: opal lists, shows and runs the commands of commands.opl, without a contract"
cat > commands.opl <<'END'
# Says hello to everybody in the list.
fun hello(greeting: String = "hello") {
    for name in ["Ada", "Grace"] { echo @var.greeting @var.name }
}
END
show opal
show opal hello --greeting "good morning" --dry-run
show opal hello --greeting "good morning"
expect 64 opal helo

say "In the following, what runs is agreed before: a contract"
export ENVIRONMENT=production APP_VERSION=1.4.2 REPLICAS=3 REGISTRY_TOKEN=not-a-real-token

say "1. Compile the script into a signed contract; every value it reads is committed to, none is stored"
show opalc deploy.opl --resolve -o prod.plan

say "2. Look at it: what it is, what it may touch"
show opal-vm inspect --plan prod.plan

say "3. Verify: replan from the bytecode against this host as it is now, and compare; nothing runs"
show opal-vm verify --plan prod.plan

say "4. Run: verify again, then run the fresh plan"
show opal-vm run --plan prod.plan
echo "calls that were made: $(wc -l < calls)"

say "5. Drift: REPLICAS is 5 now, so the contract no longer describes what would run; exit 3, nothing runs"
expect 3 env REPLICAS=5 opal-vm run --plan prod.plan

say "6. Tampering: one byte of the file is flipped, so the signature is wrong; exit 20, nothing is interpreted"
cp prod.plan bad.plan
byte=$(od -An -tu1 -j200 -N1 bad.plan)
printf "\\x$(printf '%02x' $((byte ^ 1)))" | dd of=bad.plan bs=1 seek=200 conv=notrunc status=none
expect 20 opal-vm run --plan bad.plan

say "done"
