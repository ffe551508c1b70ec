#!/usr/bin/env python3
"""Compares `postnas tokenize --jsonl` with Hugging Face's `tokenizers` on random strings.

    tokenizer_parity.py POSTNAS TOKENIZER_FOLDER [--count N] [--seed S]

Says 'skipped' and ends with 0 where the package is not installed (pip install tokenizers).
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import unicodedata

BLOCKS = [(0x20, 0x7F), (0x20, 0x7F), (0x00, 0x20), (0xA0, 0x250), (0x250, 0x370), (0x300, 0x370), (0x370, 0x530), (0x590, 0x700),
          (0x900, 0xE00), (0x1100, 0x1200), (0x1AB0, 0x1B00), (0x1E00, 0x2000), (0x2000, 0x2070), (0x20D0, 0x2100), (0x3000, 0x3100),
          (0x4E00, 0x5200), (0xAC00, 0xB000), (0xF900, 0xFB50), (0x1F300, 0x1F700), (0x10000, 0x12000), (0x1D100, 0x1D800),
          (0x1E000, 0x1E900), (0x2F800, 0x2FA20), (0xE0000, 0xE0200), (0x0, 0x110000)]
WORDS = ["'s", "'LL", "'Re", "'\u017f", "don't", " the", "  ", "   \n", "\r\n", "\n\n", "\t", "\u00a0", "\u2028", "\u3000", "123", "1",
         "\u0663", "\u2167", "e\u0301", "a\u0323\u0307", "\u1112\u1161\u11ab", "\u0915\u093c", "!!!", " //", "/*", "...\n", "_x", "-"]


def random_text(rng, specials):
    out = []
    for _ in range(rng.randint(1, 25)):
        kind = rng.random()
        if kind < 0.35:
            out.append(rng.choice(WORDS))
        elif kind < 0.43 and specials:
            token = rng.choice(specials)
            out.append(token if rng.random() < 0.7 else token[:rng.randint(1, len(token))])
        elif kind < 0.55:
            out.append(chr(rng.choice(b"abcdefgXYZ '\n")) * rng.choice([1, 2, 3, 60, 200]))
        else:
            low, high = rng.choice(BLOCKS)
            out.append("".join(chr(c) for c in (rng.randrange(low, high) for _ in range(rng.randint(1, 8))) if not 0xD800 <= c < 0xE000))
    text = "".join(out)
    return unicodedata.normalize(rng.choice(["NFC", "NFD"]), text) if rng.random() < 0.3 else text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("postnas")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    try:
        import tokenizers
    except ImportError:
        print("skipped: the Python package 'tokenizers' is not installed")
        return 0
    reference = tokenizers.Tokenizer.from_file(str(arguments.folder / "tokenizer.json"))
    reference.no_truncation()
    reference.no_padding()
    specials = [token.content for token in reference.get_added_tokens_decoder().values()]
    rng = random.Random(arguments.seed)
    texts = [random_text(rng, specials) for _ in range(arguments.count)]
    # Every code point once, between two letters, in lines of 64.
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    texts += ["a" + "a".join(points[i:i + 64]) for i in range(0, len(points), 64)]
    result = subprocess.run([arguments.postnas, "tokenize", str(arguments.folder), "--jsonl"], text=True, encoding="utf-8",
                            input="".join(json.dumps({"text": text}) + "\n" for text in texts), capture_output=True, check=False)
    if result.returncode != 0:
        print(result.stderr, file=sys.stderr)
        return 1
    answers = [json.loads(line) for line in result.stdout.rstrip("\n").split("\n")]
    if len(answers) != len(texts):
        print(f"{len(texts)} texts, but {len(answers)} answers", file=sys.stderr)
        return 1
    wrong = 0
    for text, answer in zip(texts, answers):
        ids = reference.encode(text).ids
        decoded = reference.decode(ids, skip_special_tokens=False)
        if ids != answer["ids"] or decoded != answer["decoded"]:
            wrong += 1
            if wrong <= 5:
                print(f"differs: {ascii(text)}\n  tokenizers {ids} {ascii(decoded)}\n  postnas    {answer['ids']} {ascii(answer['decoded'])}")
    print(f"{len(texts)} texts, {wrong} differ (tokenizers {tokenizers.__version__})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
