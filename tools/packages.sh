# shellcheck shell=bash disable=SC2034
# Sourced by the other tools: the Debian packages Mayfly needs, and install_missing to get them.
# No other place names a package.

build_packages=(
  g++ cmake ninja-build pkg-config ccache
  libdpdk-dev dpdk libabsl-dev libyaml-cpp-dev libcli11-dev libspdlog-dev libfmt-dev
  nlohmann-json3-dev libcpp-httplib-dev libpcap-dev libcgroup-dev liburing-dev
  python3 python3-yaml
)
test_packages=(
  libgtest-dev libbenchmark-dev spin
  iproute2 nftables iperf3 nginx-light curl ethtool tcpdump chromium
)

# install_missing PACKAGE...: installs, as root, those that dpkg does not know as installed. An
# ordinary user is told the one command to run instead.
install_missing() {
  local package missing=()
  if ! command -v dpkg-query >/dev/null; then
    echo "mayfly: not a Debian system; make sure these are there: $*" >&2
    return 0
  fi
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    echo "mayfly: packages are missing; run: sudo apt-get install -y ${missing[*]}" >&2
    return 1
  fi
  echo "mayfly: installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  # A web server or iperf3 daemon started by its package would only be in the way.
  local no_start=/usr/sbin/policy-rc.d made=0
  if [[ ! -e $no_start ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$no_start" && chmod +x "$no_start" && made=1
  fi
  local status=0
  apt-get install -y -qq --no-install-recommends "${missing[@]}" || status=$?
  ((made)) && rm -f "$no_start"
  return $status
}
