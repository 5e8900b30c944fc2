# Go >= 1.25: the one on PATH, or Go's own toolchain module from the machine's module proxy, its checksum pinned.
go_version=1.26.8
go_sum_amd64=h1:ZOmGe1OnfREDMIdb1Qi4G9JSuDPBLGExZMQ4nis1RXM=
go_sum_arm64=h1:sYL/O6MqS68ML0kjsQ36WoYIpJqkw60TxizWUYUKQMc=

# Sets $go to a usable Go, fetching it if need be. Everything but the first lines runs once per machine.
find_go() {
  local arch sum dest version
  if command -v go >/dev/null; then
    version=$(GOTOOLCHAIN=local go version | sed -n 's/^go version go1\.\([0-9]*\).*/\1/p')
    if [ "${version:-0}" -ge 25 ]; then
      go=$(command -v go)
      return 0
    fi
  fi
  case $(uname -m) in
    x86_64) arch=amd64 sum=$go_sum_amd64 ;;
    aarch64) arch=arm64 sum=$go_sum_arm64 ;;
    *) die "Go >= 1.25 is needed, and no toolchain is pinned for $(uname -m); install Go, then run this again" ;;
  esac
  dest=$cache/go/$go_version-$arch
  go=$dest/bin/go
  [ -x "$go" ] && return 0
  local proxies
  proxies=$(module_proxies)
  [ -n "$proxies" ] || die 'Go >= 1.25 is needed: install it, or set GOPROXY to a module proxy, then run this again'
  say "fetching Go $go_version from the module proxy"
  NODE_USE_ENV_PROXY=1 scripts/node --use-system-ca scripts/fetch-go.ts "$proxies" "v0.0.1-go$go_version.linux-$arch" "$sum" "$dest" ||
    die "Go could not be fetched through GOPROXY=$proxies"
}

# The machine's own setting. The default is known to Go alone, so an old Go from apt is asked where there is none.
module_proxies() {
  local file=${GOENV:-${XDG_CONFIG_HOME:-${HOME:-}/.config}/go/env}
  if [ -n "${GOPROXY:-}" ]; then
    echo "$GOPROXY"
  elif command -v go >/dev/null; then
    GOTOOLCHAIN=local go env GOPROXY
  elif grep -q '^GOPROXY=.' "$file" 2>/dev/null; then
    sed -n 's/^GOPROXY=//p' "$file"
  elif may_install >/dev/null && apt_install golang-go; then
    GOTOOLCHAIN=local go env GOPROXY
  fi
}

# A hash of everything the programs are made of: they are built again when it changes.
native_id() {
  (cd native && find . -path ./bin -prune -o -type f \( -name '*.go' -o -name 'go.*' \) ! -name '*_test.go' -print |
    LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-16)
}

# go_build ARCHITECTURE FOLDER SUFFIX: the host's program and the guest's, static, without paths of this machine.
go_build() {
  go_program "$1" ./cmd/pyro-native "$2/pyro-native$3"
  go_program "$1" ./cmd/pyro-guest "$2/pyro-guest$3"
}

go_program() {
  (cd native && GOTOOLCHAIN=local GOFLAGS='-buildvcs=false -trimpath' CGO_ENABLED=0 GOOS=linux GOARCH="$1" \
    "$go" build -ldflags '-s -w' -o "$3.new" "$2" 9<&-) || die 'the native programs do not build'
  # A rename, so that running processes keep the old file.
  mv "native/$3.new" "native/$3"
}

native_binary() {
  [ -f native/go.mod ] || return 0
  local id arch
  id=$(native_id)
  [ -x native/bin/pyro-native ] && [ -x native/bin/pyro-guest ] && [ "$(cat native/bin/build-id 2>/dev/null)" = "$id" ] && return 0
  find_go
  arch=$(GOTOOLCHAIN=local "$go" env GOHOSTARCH)
  say "building native/bin ($id)"
  mkdir -p native/bin
  go_build "$arch" bin ""
  echo "$id" >native/bin/build-id
}

# One for each architecture that the package is for, by Node's names of them, in native/bin/package.
native_for_package() {
  local id pair
  id=$(native_id)
  [ "$(cat native/bin/package/build-id 2>/dev/null)" = "$id" ] && return 0
  say "building native/bin/package ($id)"
  mkdir -p native/bin/package
  for pair in x64:amd64 arm64:arm64; do go_build "${pair#*:}" bin/package "-${pair%:*}"; done
  echo "$id" >native/bin/package/build-id
}
