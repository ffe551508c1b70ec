#!/usr/bin/env bash
# Packs postnas, its operator library and the shared libraries that they need besides LibTorch and the driver into a folder
# that runs on a machine without packages or network: gpu_bundle.sh BUILD_FOLDER OUTPUT_FOLDER
set -euo pipefail
build=$1
output=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
bundle=$output/postnas-gpu
rm -rf "$bundle"
mkdir -p "$bundle/bin" "$bundle/libexec" "$bundle/lib" "$bundle/share/postnas"

cp "$build/bin/postnas" "$bundle/libexec/postnas"
[ ! -e "$build/lib/libpostnas_cuda.so" ] || cp "$build/lib/libpostnas_cuda.so" "$bundle/lib/"
mkdir -p "$bundle/share/postnas/resources"
cp -r "$root/resources/architectures" "$bundle/share/postnas/resources/"

# The C library and its kin belong to the machine; LibTorch and CUDA come from there too.
ldd "$build/bin/postnas" | awk '$3 ~ /^\// {print $3}' | while read -r library; do
    case "$(basename "$library")" in
    libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | ld-linux* | libtorch* | libc10* | libcud* | libcupti* | libnv* | libgomp* | libshm* | libstdc++* | libgcc_s* | libutil*) ;;
    *) cp -L "$library" "$bundle/lib/" ;;
    esac
done
strip --strip-unneeded "$bundle/libexec/postnas" "$bundle"/lib/*.so* 2>/dev/null || true

cat >"$bundle/bin/postnas" <<'LAUNCHER'
#!/bin/sh
# Finds LibTorch through POSTNAS_LIBTORCH or an installed torch, then starts postnas.
here=$(cd "$(dirname "$0")/.." && pwd)
torch=${POSTNAS_LIBTORCH:-$(python3 -c 'import importlib.util as u; s = u.find_spec("torch"); print(s.submodule_search_locations[0] if s else "")' 2>/dev/null)}
if [ ! -e "$torch/lib/libtorch_cpu.so" ]; then
    echo "error: LibTorch was not found${torch:+ in $torch}" >&2
    echo "hint: set POSTNAS_LIBTORCH to the 'torch' folder of a torch 2.11.0 installation, or install it: pip install torch==2.11.0" >&2
    exit 3
fi
path=$torch/lib
for folder in "$(dirname "$torch")"/nvidia/*/lib; do [ -d "$folder" ] && path=$path:$folder; done
export LD_LIBRARY_PATH="$here/lib:$path${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export POSTNAS_RESOURCES="${POSTNAS_RESOURCES:-$here/share/postnas/resources}"
[ ! -e "$here/lib/libpostnas_cuda.so" ] || export POSTNAS_CUDA_LIBRARY="${POSTNAS_CUDA_LIBRARY:-$here/lib/libpostnas_cuda.so}"
exec "$here/libexec/postnas" "$@"
LAUNCHER
chmod +x "$bundle/bin/postnas"

tar -C "$output" -cJf "$output/postnas-gpu.tar.xz" postnas-gpu
size=$(stat -c %s "$output/postnas-gpu.tar.xz")
[ "$size" -le $((40 * 1024 * 1024)) ] || { echo "error: the bundle has $((size / 1024 / 1024)) MB; at most 40 are allowed" >&2; exit 5; }
echo "wrote $output/postnas-gpu.tar.xz ($((size / 1024)) KiB)"
