#!/usr/bin/env python3
"""Writes what the quick-start model is made from: tokenizer, training phases, placement data and held-out tasks."""

import argparse
import gzip
import json
import multiprocessing
import os
from pathlib import Path

import lines
import tasks_build
import tokenizer_build
import words

SEQUENCE_LENGTH = 256
KINDS = ["retrieval", "copy", "facts", "choice", "arithmetic", "talk"]
# From two pairs up and from near to far; all kinds stay in every phase.
PHASES = {
    "phase-1": {"share": 0.30, "kinds": KINDS, "shares": [32, 20, 16, 20, 10, 4], "chat": 0.4, "pairs": (2, 4),
                "text": (10, 45), "copy": (4, 30), "recap": (3, 10), "options": (2, 3), "lookup": 0.35, "steps": (1, 3)},
    "phase-2": {"share": 0.25, "kinds": KINDS, "shares": [36, 8, 16, 24, 14, 8], "chat": 0.4, "pairs": (2, 8),
                "text": (15, 130), "copy": (5, 50), "recap": (5, 15), "options": (2, 4), "lookup": 0.25, "steps": (1, 4)},
    "phase-3": {"share": 0.45, "kinds": KINDS, "shares": [38, 4, 16, 22, 18, 12], "chat": 0.4, "pairs": (3, 9),
                "text": (20, 200), "copy": (5, 50), "recap": (8, 18), "options": (4, 4), "lookup": 0.1, "steps": (2, 5)},
}
# What the supernet is distilled on: the three tasks at their final difficulty.
PLACEMENT = {"kinds": ["retrieval", "choice", "arithmetic"], "shares": [1, 1, 4], "chat": 0.25, "pairs": (4, 9),
             "text": (30, 200), "options": (4, 4), "lookup": 0.0, "steps": (2, 5)}
CHUNK = 2000  # lines drawn from one random stream; the corpus does not depend on how many processes draw


def chunkLines(job):
    phase, name, seed, index, count = job
    maker = lines.Maker("%s-%d-%d" % (name, seed, index), words.makeFacts(seed))
    rows = []
    for _ in range(count):
        parts = maker.line(phase, SEQUENCE_LENGTH)
        rows.append(json.dumps({"parts": [{"text": text, "weight": weight} for text, weight in parts]}))
    return "\n".join(rows) + "\n"


def writeLines(path, phase, name, seed, count, processes):
    jobs = [(phase, name, seed, index, min(CHUNK, count - index * CHUNK)) for index in range((count + CHUNK - 1) // CHUNK)]
    compress = str(path).endswith(".gz")
    # No time stamp in the compressed file: the same seed gives the same bytes.
    with (gzip.GzipFile(str(path), "wb", mtime=0) if compress else open(str(path), "wb")) as out:
        if processes == 1:
            for job in jobs:
                out.write(chunkLines(job).encode())
            return
        with multiprocessing.Pool(processes) as pool:
            for text in pool.imap(chunkLines, jobs):
                out.write(text.encode())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", default=str(Path(__file__).parent / "data"), help="folder of the training phases")
    parser.add_argument("--lines", type=int, default=64 * 8000, help="training lines over all phases")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--shipped", action="store_true",
                        help="write tokenizer, held-out tasks and placement data beside this file instead of the phases")
    options = parser.parse_args()
    here = Path(__file__).parent
    if options.shipped:
        size = tokenizer_build.buildTokenizer(here / "tokenizer")
        tasks_build.writeTasks(here / "tasks", options.seed)
        writeLines(here / "placement-data.jsonl.gz", PLACEMENT, "placement", options.seed, 6000, options.processes)
        print("tokenizer of %d tokens, tasks and placement data written to %s" % (size, here))
        return
    output = Path(options.output)
    output.mkdir(parents=True, exist_ok=True)
    for name, phase in PHASES.items():
        count = int(options.lines * phase["share"])
        writeLines(output / (name + ".jsonl"), phase, name, options.seed, count, options.processes)
        print("%s: %d lines" % (output / (name + ".jsonl"), count))


if __name__ == "__main__":
    main()
