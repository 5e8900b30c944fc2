# System packages, through apt where that may be done without asking.

missing_packages() {
  command -v runc >/dev/null || command -v crun >/dev/null || echo runc
  [ -x /usr/bin/newuidmap ] || command -v newuidmap >/dev/null || echo uidmap
  [ -e /etc/ssl/certs/ca-certificates.crt ] || [ -e /etc/pki/tls/certs/ca-bundle.crt ] || echo ca-certificates
  command -v git >/dev/null || echo git
  command -v npm >/dev/null || echo npm
  # The race detector is linked by the C compiler.
  if [ "${1:-}" = --test ]; then
    command -v gcc >/dev/null || command -v clang >/dev/null || echo gcc libc6-dev
  fi
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
  missing=$(missing_packages "$@" | tr '\n' ' ')
  [ -n "${missing// /}" ] || return 0
  if ! may_install >/dev/null; then
    say "missing: $missing; install with: sudo apt-get install $missing"
    return 0
  fi
  # shellcheck disable=SC2086
  apt_install $missing || say "apt could not install: $missing; Pyro's doctor says what is needed"
}
