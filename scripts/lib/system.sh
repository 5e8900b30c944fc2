# System packages, through apt where that may be done without asking.

missing_packages() {
  command -v runc >/dev/null || command -v crun >/dev/null || echo runc
  [ -x /usr/bin/newuidmap ] || command -v newuidmap >/dev/null || echo uidmap
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || echo ca-certificates
  command -v git >/dev/null || echo git
  command -v npm >/dev/null || echo npm
  if [ "${1:-}" = --test ]; then
    # The race detector is linked by the C compiler.
    command -v gcc >/dev/null || command -v clang >/dev/null || echo gcc libc6-dev
    # Machines, and the environments they boot.
    case $(uname -m) in
      x86_64) command -v qemu-system-x86_64 >/dev/null || echo qemu-system-x86 ;;
      aarch64) command -v qemu-system-aarch64 >/dev/null || echo qemu-system-arm ;;
    esac
    command -v mmdebstrap >/dev/null || echo mmdebstrap
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || echo debian-archive-keyring
    command -v mkfs.erofs >/dev/null || echo erofs-utils
    [ -x /sbin/mkfs.ext4 ] || command -v mkfs.ext4 >/dev/null || echo e2fsprogs
    # The command line is completed in real shells, and its manual page shown.
    for shell in zsh fish; do command -v "$shell" >/dev/null || echo "$shell"; done
    command -v man >/dev/null || echo man-db
  fi
}

# Environments are built from what apt's lists offer; images of containers come without any.
package_lists() {
  [ "${1:-}" = --test ] || return 0
  may_install >/dev/null || return 0
  compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null && return 0
  say 'fetching the package lists'
  apt_get update || say 'apt could not fetch its lists; tests that build an environment will fail'
}

# Prints the prefix with which apt-get may be run without a question; fails when there is none.
may_install() {
  command -v apt-get >/dev/null || return 1
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null && sudo -n true 2>/dev/null && echo 'sudo -n'
}

# Another apt at work (unattended upgrades on a new machine) is waited for, at most about five minutes.
apt_get() {
  local as tries
  as=$(may_install)
  for tries in 1 2 3 4 5 6; do
    $as env DEBIAN_FRONTEND=noninteractive apt-get -y -q -o DPkg::Lock::Timeout=240 "$@" </dev/null >&2 && return 0
    [ "$1" = update ] || return 1
    sleep "${APT_PAUSE:-10}"
  done
  return 1
}

apt_install() {
  say "installing with apt: $*"
  apt_get install --no-install-recommends "$@" && return 0
  say 'refreshing the package lists'
  apt_get update && apt_get install --no-install-recommends "$@"
}

system_packages() {
  local missing
  package_lists "$@"
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "${missing// /}" ] || return 0
  if ! may_install >/dev/null; then
    say "missing: $missing; install with: sudo apt-get install $missing"
    return 0
  fi
  # shellcheck disable=SC2086
  apt_install $missing || say "apt could not install: $missing; Pyro's doctor says what is needed"
}
