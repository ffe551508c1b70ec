#!/usr/bin/env python3
"""Encodes one text with the project's tokenizer and with Hugging Face's `tokenizers`, on one core, and prints both speeds.

    tokenizer_benchmark.py POSTNAS_TOKENIZER_BENCHMARK TOKENIZER_FOLDER TEXT_FILE [--seconds S]

Speeds are megabytes (10^6 bytes) per second of processor time, so that other work on the machine counts little.
Says 'skipped' and ends with 0 where the package is not installed (pip install tokenizers).
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"


def documents(text, size=16 * 1024):
    """As tokenizer_benchmark.cpp cuts: about `size` bytes, up to the next line end."""
    data = text.encode()
    begin = 0
    while begin < len(data):
        newline = data.find(b"\n", min(begin + size, len(data) - 1))
        end = len(data) if newline < 0 else newline + 1
        yield data[begin:end].decode()
        begin = end


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("--seconds", type=float, default=5)
    arguments = parser.parse_args()
    try:
        import tokenizers
    except ImportError:
        print("skipped: the Python package 'tokenizers' is not installed")
        return 0
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # the child inherits it
    ours = json.loads(subprocess.run([arguments.benchmark, str(arguments.folder), str(arguments.text), str(arguments.seconds)],
                                     capture_output=True, text=True, check=True).stdout)
    started = time.process_time()
    reference = tokenizers.Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    loading = time.process_time() - started
    text = arguments.text.read_text(encoding="utf-8", newline="") if sys.version_info >= (3, 13) else open(
        arguments.text, encoding="utf-8", newline="").read()
    parts = list(documents(text))
    size = len(text.encode())
    done = 0
    started = time.process_time()
    while time.process_time() - started < arguments.seconds or done == 0:
        tokens = sum(len(reference.encode(part).ids) for part in parts)
        done += size
    speed = done / (time.process_time() - started) / 1e6
    print(f"text          {size / 1e6:.2f} MB, {tokens} tokens (postnas: {ours['tokens']})")
    print(f"loading       postnas {ours['load_seconds']:.3f} s, tokenizers {tokenizers.__version__} {loading:.3f} s")
    print(f"encoding      postnas {ours['mb_per_cpu_s']:.2f} MB/s, tokenizers {speed:.2f} MB/s: {ours['mb_per_cpu_s'] / speed:.1f} times as fast")
    return 0 if tokens == ours["tokens"] else 1


if __name__ == "__main__":
    sys.exit(main())
