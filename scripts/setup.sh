# Installs what is missing: sourced by splitmix.sh and test.sh. Quick when nothing is.
#
# Wants Rust to be there already. Software comes from the system's packages (apt, as root or with sudo) and from the
# package registries of Rust and JavaScript, nothing else.

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

# as_root COMMAND…
as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif [ -t 0 ]; then
    sudo "$@"
  else
    sudo -n "$@"
  fi
}

# install_packages WHY PACKAGE…: by apt, or says what to do.
install_packages() {
  local why=$1
  shift
  command -v apt-get >/dev/null || fail "$why is missing: install it with your system's package manager (Debian calls it: $*)"
  say "installing $why: $*"
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    fail "$why is missing and needs root: apt-get install --no-install-recommends $*"
  fi
  as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null \
    || fail "$why could not be installed: try it by hand: apt-get install --no-install-recommends $*"
}

need_rust() {
  [ -x "$HOME/.cargo/bin/cargo" ] && PATH="$PATH:$HOME/.cargo/bin"
  command -v cargo >/dev/null && command -v rustc >/dev/null || fail "Rust is missing: install 1.89 or newer, see https://rustup.rs"
  local version
  version=$(rustc --version | sed -E 's/^rustc 1\.([0-9]+).*/\1/')
  [ "$version" -ge 89 ] || fail "$(rustc --version) is too old: update to 1.89 or newer, as by: rustup update stable"
  # Rust links through the C compiler.
  command -v cc >/dev/null || install_packages "a linker" gcc libc6-dev
}

# Without it Mesa's drivers complain of a missing desktop each time they are loaded.
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"

# The description files of the Vulkan drivers of this machine.
vulkan_drivers() {
  find /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d "$HOME/.local/share/vulkan/icd.d" \
    -name '*.json' 2>/dev/null || true
}

need_vulkan_loader() {
  PATH="$PATH:/sbin:/usr/sbin" ldconfig -p | grep 'libvulkan\.so\.1' >/dev/null || install_packages "the Vulkan loader" libvulkan1
}

# Something to run on. A driver that is already there is left alone; without one, Mesa's software driver will do.
need_adapter() {
  # macOS and Windows bring Metal and Direct3D.
  [ "$(uname)" = Linux ] || return 0
  need_vulkan_loader
  [ -z "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] || return 0
  [ -z "$(vulkan_drivers)" ] || return 0
  if [ -e /proc/driver/nvidia ]; then
    say "note: an NVIDIA GPU without its Vulkan driver (in a container: NVIDIA_DRIVER_CAPABILITIES=all); using the CPU"
  fi
  install_packages "a Vulkan driver that runs on the CPU" mesa-vulkan-drivers
}

# Mesa's software driver, the only one that the tests are to see: the same results on every machine.
need_software_adapter() {
  [ "$(uname)" = Linux ] || return 0
  need_vulkan_loader
  vulkan_drivers | grep lvp_icd >/dev/null || install_packages "a Vulkan driver that runs on the CPU" mesa-vulkan-drivers
  VK_DRIVER_FILES=$(vulkan_drivers | grep lvp_icd | grep -v i686 | head -n 1)
  export VK_DRIVER_FILES VK_ICD_FILENAMES=$VK_DRIVER_FILES SPLITMIX_ADAPTER=llvmpipe
}

need_node() {
  command -v node >/dev/null && command -v npm >/dev/null || install_packages "Node.js" nodejs npm
}

# Tools that are compiled here lie outside the repository: once for all clones of it.
TOOLS="${XDG_CACHE_HOME:-$HOME/.cache}/splitmix-tools"

# The test runner, which ends a test that hangs. Built once, where it is not installed.
need_nextest() {
  PATH="$PATH:$TOOLS/bin"
  cargo nextest --version >/dev/null 2>&1 && return 0
  say "installing the test runner cargo-nextest into $TOOLS: a few minutes, once"
  CARGO_PROFILE_DEV_DEBUG=0 cargo install --quiet --locked --debug --root "$TOOLS" --no-default-features --features default-no-update \
    cargo-nextest --version 0.9.128 || fail "cargo-nextest could not be installed: see https://nexte.st"
}

# The compiler for WebAssembly, called as wasm_cargo: the Rust that is there, where it has the target or rustup fetches it; else
# Debian's, whose standard library is compiled for WebAssembly once for each content: the compiler, the library's lock file, the flags.
need_wasm() {
  wasm_cargo() { cargo "$@"; }
  local target=wasm32-unknown-unknown std
  std=$(rustc --print target-libdir --target $target 2>/dev/null || true)
  compgen -G "$std/libstd-*.rlib" >/dev/null && return 0
  if command -v rustup >/dev/null && rustup target add $target >/dev/null 2>&1; then
    return 0
  fi
  [ -x /usr/bin/rustc ] && [ -x /usr/bin/cargo ] && [ -d "$(/usr/bin/rustc --print sysroot)/lib/rustlib/src" ] \
    || install_packages "a Rust compiler for WebAssembly" rustc-web cargo-web rust-web-src
  local linker
  linker="$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld"
  if [ ! -x "$linker" ]; then
    linker=$(command -v wasm-ld-22 || true)
    [ -n "$linker" ] || install_packages "a linker for WebAssembly" lld-22
    linker=$(command -v wasm-ld-22)
  fi
  # As the compiler's own build does it; the first flag keeps its private parts private.
  local library flags="-Zforce-unstable-if-unmarked -Cembed-bitcode=yes" content sysroot
  library="$(/usr/bin/rustc --print sysroot)/lib/rustlib/src/rust/library"
  content=$({ /usr/bin/rustc -vV; cat "$library/Cargo.lock"; echo "$flags"; } | sha256sum | cut -c1-16)
  sysroot="$TOOLS/wasm-std-$content"
  if [ ! -d "$sysroot" ]; then
    say "compiling Rust's standard library for WebAssembly into $sysroot: a minute or two, once"
    local build="$sysroot.$$"
    RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS=$flags \
      __CARGO_DEFAULT_LIB_METADATA=wasmstd CARGO_TARGET_DIR="$build/build" CARGO_INCREMENTAL=0 \
      /usr/bin/cargo build --quiet --release --locked --target $target --features panic-unwind,backtrace \
      --manifest-path "$library/sysroot/Cargo.toml" >&2 \
      || fail "the standard library could not be compiled for WebAssembly; where rustup works: rustup target add $target"
    local lib="$build/lib/rustlib/$target/lib"
    mkdir -p "$lib" && cp "$build/build/$target"/release/deps/*.rlib "$lib/"
    # Whole or not there, and another clone's is as good.
    rm -rf "$build/build"
    mv -T "$build" "$sysroot" 2>/dev/null || rm -rf "$build"
  fi
  export WASM_LINKER=$linker WASM_SYSROOT=$sysroot
  wasm_cargo() {
    RUSTC=/usr/bin/rustc CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS="--sysroot $WASM_SYSROOT" \
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$WASM_LINKER" /usr/bin/cargo "$@"
  }
}

# Chromium, which the page is tested in.
need_chromium() {
  command -v chromium >/dev/null || install_packages "Chromium" chromium
}
