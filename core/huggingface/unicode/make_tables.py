#!/usr/bin/env python3
"""Writes unicode_table.inc: the class of every Unicode code point as Hugging Face's tokenizers see it.

Three engines decide how the tokenizers package cuts text, each with its own Unicode version: Oniguruma (split patterns),
Rust's regex (word borders of added tokens) and an NFC of Unicode 9. Deriving the table from one Unicode release would
therefore be wrong for thousands of code points, so this script asks the package itself about each of them.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install tokenizers==0.22.1
    /tmp/venv/bin/python make_tables.py            # writes the table beside this script
    /tmp/venv/bin/python make_tables.py --check    # compares the committed table with the installed package
"""
import argparse
import pathlib
import sys
import unicodedata

import tokenizers
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

# Bits of a class; core/huggingface/unicode_classes.h has the same list.
LETTER, NUMBER, SPACE, MARK, WORD, NFC_BASE, NFC_ORDERED, NFC_UNSURE = (1 << i for i in range(8))
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF]
HERE = pathlib.Path(__file__).resolve().parent


def matched_by(pattern):
    """The code points that a regular expression of one character matches."""
    splitter = pre_tokenizers.Split(Regex(pattern), "removed")
    out = set()
    for start in range(0, len(CODE_POINTS), 4096):
        chunk = CODE_POINTS[start:start + 4096]
        kept = {ord(ch) for piece, _ in splitter.pre_tokenize_str("".join(map(chr, chunk))) for ch in piece}
        out.update(c for c in chunk if c not in kept)
    return out


def word_characters():
    """\\w of Rust's regex: what stops an added token with single_word from being recognised."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_tokens([AddedToken("qq", single_word=True, normalized=False)])
    token = tokenizer.token_to_id("qq")
    return {c for c in CODE_POINTS if token not in tokenizer.encode("qq" + chr(c)).ids}


def stripped_spaces():
    """\\s of Rust's regex: what an added token with rstrip takes along."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.add_tokens([AddedToken("qq", rstrip=True, normalized=False)])
    return {c for c in CODE_POINTS if tokenizer.encode("qq" + chr(c)).offsets[0][1] == 3}


def normalization():
    """base: can compose, whole or in parts, with a later character; ordered: only its combining class matters; unsure: may change or compose
    with an earlier character."""
    nfc = normalizers.NFC().normalize_str
    base, ordered, unsure = set(), {0x345}, set()
    for c in CODE_POINTS:
        if nfc(chr(c)) != chr(c):
            unsure.add(c)
        elif nfc("\u0345" + chr(c)) != "\u0345" + chr(c):
            ordered.add(c)
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            first, second = (int(p, 16) for p in parts)
            if nfc(chr(first) + chr(second)) == chr(c):
                base.update((first, c))  # c too: marks may come between its parts
                unsure.add(second)
    base.update(range(0x1100, 0x1113))  # Hangul: leading consonants and syllables without a final one
    base.update(range(0xAC00, 0xD7A4, 28))
    unsure.update(range(0x1161, 0x1176))
    unsure.update(range(0x11A8, 0x11C3))
    return base, ordered - unsure, unsure


def classes():
    base, ordered, unsure = normalization()
    spaces = matched_by(r"\s")
    if spaces != stripped_spaces():
        sys.exit("Oniguruma and Rust's regex disagree on white space: the table needs one more bit")
    table = [0] * 0x110000
    for bit, members in ((LETTER, matched_by(r"\p{L}")), (NUMBER, matched_by(r"\p{N}")), (SPACE, spaces),
                         (MARK, matched_by(r"\p{M}")), (WORD, word_characters()), (NFC_BASE, base),
                         (NFC_ORDERED, ordered), (NFC_UNSURE, unsure)):
        for c in members:
            table[c] |= bit
    return table


def render(table):
    runs = [(c, table[c]) for c in range(0x110000) if c == 0 or table[c] != table[c - 1]]
    # Hangul syllables alternate regularly; the reader fills them in, which halves the table.
    runs = [(c, v) for c, v in runs if not 0xAC00 < c < 0xD7A4]
    lines = [f"// Written by make_tables.py from tokenizers {tokenizers.__version__}: {{first code point, class}} of each run.",
             "// clang-format off"]
    line = ""
    for c, v in runs:
        item = f"{{{c},{v}}},"
        if len(line) + len(item) > 126:
            lines.append(line)
            line = ""
        line += item
    return "\n".join(lines + [line, "// clang-format on"]) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    arguments = parser.parse_args()
    target = HERE / "unicode_table.inc"
    text = render(classes())
    if not arguments.check:
        target.write_text(text)
    elif target.read_text().split("\n", 1)[1] != text.split("\n", 1)[1]:
        sys.exit(f"{target.name} differs from what tokenizers {tokenizers.__version__} does; run this script to renew it")
    else:
        print(f"{target.name} is what tokenizers {tokenizers.__version__} does")


if __name__ == "__main__":
    main()
