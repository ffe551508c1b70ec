"""Builds the byte-level BPE tokenizer of the quick-start model: every word of the tasks becomes one token."""

import json
from collections import Counter
from pathlib import Path

import words

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
# Qwen2's split pattern: contractions, letters with one leading mark or space, single digits, marks, line ends, spaces.
SPLIT = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
# Marks that follow words in the tasks; each becomes one token with the line end that belongs to it.
MARKS = [".\n", "?\n", ":\n", "\n\n"]
CHAT_TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' "
                 "+ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def byteAlphabet():
    """GPT-2's reversible map from bytes to printable characters."""
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def trainMerges(strings, alphabet):
    """Most frequent pair first, ties to the larger pair, until every string is one token."""
    pieces = [[alphabet[b] for b in text.encode()] for text in strings]
    merges = []
    while True:
        counts = Counter(pair for piece in pieces for pair in zip(piece, piece[1:]))
        if not counts:
            return merges
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        for index, piece in enumerate(pieces):
            merged, at = [], 0
            while at < len(piece):
                if at + 1 < len(piece) and (piece[at], piece[at + 1]) == best:
                    merged.append(piece[at] + piece[at + 1])
                    at += 2
                else:
                    merged.append(piece[at])
                    at += 1
            pieces[index] = merged


def buildTokenizer(folder):
    """Writes tokenizer.json and tokenizer_config.json; returns the vocabulary's size with the special tokens."""
    alphabet = byteAlphabet()
    merges = trainMerges(words.allWords() + MARKS, alphabet)
    vocab = {alphabet[byte]: index for index, byte in enumerate(sorted(alphabet, key=lambda b: alphabet[b]))}
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    added = [{"id": len(vocab) + index, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": False, "special": True} for index, text in enumerate(SPECIAL)]
    byteLevel = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": SPLIT}, "behavior": "Isolated", "invert": False}, byteLevel]},
        "post_processor": byteLevel, "decoder": byteLevel,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": [list(pair) for pair in merges]},
    }
    config = {
        "add_bos_token": False, "add_prefix_space": False,
        "added_tokens_decoder": {str(entry["id"]): {key: entry[key] for key in
                                                    ("content", "lstrip", "normalized", "rstrip", "single_word", "special")}
                                 for entry in added},
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "bos_token": None, "chat_template": CHAT_TEMPLATE, "clean_up_tokenization_spaces": False,
        "eos_token": "<|im_end|>", "errors": "replace", "model_max_length": 512, "pad_token": "<|endoftext|>",
        "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer", "unk_token": None,
    }
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return len(vocab) + len(SPECIAL)
