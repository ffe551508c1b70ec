#!/usr/bin/env bash
# Sets up, builds, tests and runs PostNAS Workbench on Debian 12 or Ubuntu 22.04/24.04, with or without a GPU.
set -euo pipefail
export LC_ALL=C.UTF-8

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
build=$root/build/release
venv=$root/.venv

usage() {
    cat <<EOF
usage: ./installer/bootstrap.sh COMMAND
  demo        set up, build, run the quick-start search, and open the workbench on it if there is a display
  test        set up, build, and run every test that this machine can run
  build       set up and build
  run [ARGS]  set up, build, and open the workbench
  gpu-bundle  set up, build, and pack the headless programs for a GPU machine: dist/postnas-gpu.tar.xz
EOF
}

say() { printf '%s\n' "$*"; }
fail() { # sentence, hint, exit code
    printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
    exit "${3:-4}"
}

# --- what the machine is -------------------------------------------------------------------------------------------
distribution() {
    [ -r /etc/os-release ] || fail "/etc/os-release is missing, so the distribution is unknown" "Use Debian 12 or Ubuntu 22.04/24.04."
    # shellcheck disable=SC1091
    . /etc/os-release
    printf '%s-%s' "${ID:-unknown}" "${VERSION_ID:-unknown}"
}

packages() {
    # What compiles and tests the headless programs.
    printf '%s\n' g++ cmake ninja-build ccache pkg-config python3 python3-venv ca-certificates \
        nlohmann-json3-dev libcli11-dev libspdlog-dev libyaml-cpp-dev libsqlite3-dev libpcre2-dev libutf8proc-dev \
        libxxhash-dev libzstd-dev zlib1g-dev libgtest-dev libgmock-dev
    case "$1" in
    ubuntu-22.04) ;; # its QCustomPlot is built for Qt 5 alone: no window there
    debian-12) printf '%s\n' mold qt6-base-dev qt6-svg-dev libqt6svg6 qt6-qpa-plugins libgl1-mesa-dev libqcustomplot-dev libqcustomplot2.1-qt6 fonts-dejavu-core ;;
    *) printf '%s\n' mold qt6-base-dev qt6-svg-dev qt6-qpa-plugins libgl1-mesa-dev libqcustomplot-dev fonts-dejavu-core ;;
    esac
}

install_packages() {
    local os missing=() name
    os=$(distribution)
    case "$os" in
    debian-12 | ubuntu-22.04 | ubuntu-24.04) ;;
    *) say "note: $os was never tried; going on as on Debian 12" ;;
    esac
    command -v dpkg-query >/dev/null || fail "this is no Debian or Ubuntu: dpkg is missing" "Install what installer/bootstrap.sh lists with your own package manager, then run cmake --preset release."
    while read -r name; do
        dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null | grep -qx installed || missing+=("$name")
    done < <(packages "$os")
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing packages: ${missing[*]}"
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || fail "packages are missing and there are no rights to install them: ${missing[*]}" "Ask an administrator to install them, then start again."
        as_root=(sudo)
    fi
    "${as_root[@]}" apt-get update -qq || fail "the package lists could not be fetched" "Check the network connection and start again."
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
        || fail "apt-get could not install: ${missing[*]}" "Check the rights, the network and the disk, then start again."
}

# --- LibTorch ------------------------------------------------------------------------------------------------------
have_gpu() { [ -e /dev/nvidia0 ] || [ -e /dev/nvidiactl ]; }

install_libtorch() {
    if [ -n "${POSTNAS_LIBTORCH:-}" ]; then
        [ -e "$POSTNAS_LIBTORCH/lib/libtorch_cpu.so" ] || fail "POSTNAS_LIBTORCH is $POSTNAS_LIBTORCH, where lib/libtorch_cpu.so is missing" "Let it name the 'torch' folder of a torch 2.11.0 installation, or unset it." 3
        return 0
    fi
    local stamp=$venv/.postnas-libtorch wanted
    wanted="$(sha256sum <installer/requirements-libtorch.txt) gpu=$(have_gpu && echo yes || echo no)"
    [ -e "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && return 0
    say "installing LibTorch 2.11.0 into .venv (about 530 MB to fetch, 1.2 GB on disk)"
    local free
    free=$(df -Pk "$root" | awk 'NR == 2 {print int($4 / 1024)}')
    [ "$free" -ge 3000 ] || fail "the disk has only $free MiB free; LibTorch needs 3000 while it is unpacked" "Free some space and start again."
    [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || fail "the Python environment .venv could not be made" "Install python3-venv and start again."
    "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -r installer/requirements-libtorch.txt \
        || fail "LibTorch could not be installed" "Check the network connection and the disk, then start again; nothing else was changed."
    if have_gpu; then
        say "a GPU is here: installing the CUDA libraries that torch 2.11.0 names (about 2.5 GB)"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --only-binary=:all: torch==2.11.0 \
            || fail "the CUDA libraries could not be installed" "Check the network connection and the disk, then start again."
    fi
    printf '%s' "$wanted" >"$stamp"
}

# --- building ------------------------------------------------------------------------------------------------------
find_nvcc() { command -v nvcc || { [ -x /usr/local/cuda/bin/nvcc ] && echo /usr/local/cuda/bin/nvcc; } || true; }

setup() {
    install_packages
    install_libtorch
}

programs() { # the targets that users run; tests are built by `build` and `test` alone
    echo postnas
    [ "$(distribution)" = ubuntu-22.04 ] || echo postnas-workbench
    [ -z "$(find_nvcc)" ] || echo postnas_cuda
}

compile() { # targets: none means all
    local options=(-DPOSTNAS_WERROR="${POSTNAS_WERROR:-OFF}") nvcc
    [ "$(distribution)" = ubuntu-22.04 ] && options+=(-DPOSTNAS_BUILD_WORKBENCH=OFF) && say "note: Ubuntu 22.04 has no QCustomPlot for Qt 6, so the window is not built; the headless programs are"
    nvcc=$(find_nvcc)
    if [ -n "$nvcc" ]; then
        options+=(-DPOSTNAS_CUDA=ON -DCMAKE_CUDA_COMPILER="$nvcc")
    else
        options+=(-DPOSTNAS_CUDA=OFF)
        say "note: there is no nvcc, so the CUDA operators are not built"
    fi
    cmake --preset release "${options[@]}" >"$root/.configure.log" 2>&1 || { cat "$root/.configure.log" >&2; fail "cmake could not configure the build" "The lines above say why." 5; }
    rm -f "$root/.configure.log"
    say "building into build/release"
    if [ $# -gt 0 ]; then cmake --build "$build" --target "$@"; else cmake --build "$build"; fi || fail "the build failed" "The lines above say where." 5
}

# --- commands ------------------------------------------------------------------------------------------------------
display() { [ -n "${DISPLAY:-}${WAYLAND_DISPLAY:-}" ]; }

demo() {
    setup
    compile $(programs)
    local project=$root/build/quickstart run
    run=$project/runs/quickstart-placement
    [ -e "$project/project.json" ] || "$build/bin/postnas" project create "$project" --name "Quick start" --teacher projects/quickstart/model
    mkdir -p "$project/runs"
    if [ -e "$run/exit.json" ] && grep -q '"code": *0' "$run/exit.json"; then
        say "the quick-start search was done before: $run"
    elif [ -e "$run/spec.json" ]; then
        "$build/bin/postnas" run placement --run-dir "$run" --resume
    else
        "$build/bin/postnas" run placement --spec projects/quickstart/placement.json --run-dir "$run"
    fi
    "$build/bin/postnas" report "$run" --output "$project/report.md" >/dev/null
    cat "$project/report.md"
    say "heatmap: $run/artifacts/heatmap.json"
    say "hybrid:  $run/artifacts/hybrid   (chat with it: build/release/bin/postnas chat build/quickstart/runs/quickstart-placement/artifacts/hybrid)"
    if display && [ -x "$build/bin/postnas-workbench" ]; then
        exec "$build/bin/postnas-workbench" "$project"
    fi
    say "open the workbench on it: ./installer/bootstrap.sh run build/quickstart"
}

run_tests() {
    setup
    compile
    # Several programs share the processors: threads that spin while they wait would slow the others down.
    OMP_WAIT_POLICY=PASSIVE ctest --test-dir "$build" --output-on-failure --timeout 600 -j "$(nproc)" || fail "some tests failed" "The lines above name them." 5
}

case "${1:-}" in
demo) demo ;;
test) run_tests ;;
build) setup && compile ;;
run)
    shift
    setup
    compile $(programs)
    exec "$build/bin/postnas-workbench" "$@"
    ;;
gpu-bundle)
    setup
    compile postnas $([ -z "$(find_nvcc)" ] || echo postnas_cuda)
    installer/gpu_bundle.sh "$build" "$root/dist"
    ;;
-h | --help | help) usage ;;
*)
    usage >&2
    exit 2
    ;;
esac
