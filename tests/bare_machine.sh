#!/usr/bin/env bash
# The commands of the README on a bare Debian: bare_machine.sh RELEASE [TARGET]
#
# Lays RELEASE (bookworm, trixie, ...) into a folder of its own, with make, git, sudo and nothing else, clones the commit
# that is checked out here, and runs `make TARGET` as a user who may sudo; says how long it took. Needs root and debootstrap.
# BARE_DIR: where the folder goes; it is kept for the next run. MIRROR: of Debian, as debootstrap takes it.
# TORCH_BACKEND, UV_* and PIP_* are handed on.
set -euo pipefail
cd "$(dirname "$0")/.."
release=${1:?a release of Debian, such as trixie}
target=${2:-demo}
root=${BARE_DIR:-/var/tmp}/bare-$release
home=/home/bare

if ! test -e "$root/etc/debian_version"; then
  script=/usr/share/debootstrap/scripts/$release
  test -e "$script" || script=/usr/share/debootstrap/scripts/sid  # a release that is younger than this debootstrap
  debootstrap --variant=minbase "$release" "$root" "${MIRROR:-}" "$script" >"$root.log" 2>&1 || { tail "$root.log"; exit 1; }
fi

leave() { umount -R -l "$root/sys" "$root/dev" "$root/proc" 2>/dev/null || true; }
trap leave EXIT
mount -t proc proc "$root/proc"
for folder in sys dev; do mount --rbind "/$folder" "$root/$folder" && mount --make-rslave "$root/$folder"; done
cp /etc/resolv.conf "$root/etc/resolv.conf"

inside() { chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"; }
inside apt-get update -qq
inside DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends make git sudo ca-certificates >/dev/null
# Where this machine trusts more authorities than Debian does, so must that one.
test -z "${SSL_CERT_FILE:-}" || cat "$SSL_CERT_FILE" >"$root/etc/ssl/certs/ca-certificates.crt"
inside id bare >/dev/null 2>&1 || inside useradd -m -s /bin/bash bare
echo 'bare ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/bare"

git bundle create -q "$root$home/clone.bundle" HEAD
inside rm -rf "$home/aiida-haml"
inside su bare -c "git clone -q $home/clone.bundle $home/aiida-haml"
handed=(SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt)
while IFS= read -r line; do handed+=("$line"); done < <(env | grep -E '^(TORCH_BACKEND|UV_[A-Z_]+|PIP_[A-Z_]+)=' | grep -v '/opt/' || true)
begin=$SECONDS
status=0
inside su bare -c "cd $home/aiida-haml && env ${handed[*]@Q} make $target" || status=$?
echo "make $target on bare $release ($(inside python3 --version 2>/dev/null || echo 'no Python')): exit $status after $((SECONDS - begin)) s"
exit "$status"
