#!/usr/bin/env python3
"""Writes tests/data/tokenizer-fixtures: small tokenizers and what Hugging Face's `tokenizers` makes of some texts.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install tokenizers==0.22.2
    /tmp/venv/bin/python tests/peers/make_tokenizer_fixtures.py

(0.23 decodes an added token that NFC changes to a broken character; 0.22 and this project give its text.)
"""
import json
import pathlib
import random

from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers)

OUTPUT = pathlib.Path(__file__).resolve().parents[1] / "data" / "tokenizer-fixtures"
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")
# o200k's pattern has no scanner, so this one goes through PCRE2.
OTHER = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
         r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CORPUS = ["The quick brown fox doesn't jump over the lazy dog's back; they'll say it's 12345 times faster than 678.",
          "Der schnelle braune Fuchs springt über den faulen Hund. L'été, c'est agréable à l'hôtel, naïve façade.",
          "Привет, мир! 你好，世界。こんにちは世界 안녕하세요 नमस्ते दुनिया   spaces\n\n\nlines\t\ttabs\r\n  mixed \n",
          "int main() { return a[i] += 0x1F; } // comment\nfor (auto& x : xs) { y(x); }\n<b>bold</b> <|im_end|>"] * 4
SNIPPETS = ["Hello", " world", "'s", "'LL", "'ſ", "don't", " ", "  ", "   ", "\n", "\r\n", "\t", "\u00a0", "\u3000", "12", "3", "٣", "Ⅷ",
            "é", "e\u0301", "\u0301", "\u0323\u0301", "Å", "\u212b", "한", "\u1112\u1161\u11ab", "नि", "क\u093c", "你好", "。", "👍🏽", "👩‍👩‍👧", "\u200d",
            "<|im_start|>", "<|im_end|>", "<tool_call>", "<|im_", "end|>", "word", "WORD", "keyword", "Word ", "[SPACE]", "café",
            "cafe\u0301", "x", "Z", "_", "...", "!?", "/", "//\n", "\u0000", "\x7f", "\U0001f600", "\U00011938", "\u1a7f", "ǅ", "ʰ", "a" * 70]


def train(pattern, normalizer=None, prefix_space=False, use_regex=False, sequence=True):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    level = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=use_regex)
    split = [pre_tokenizers.Split(Regex(pattern), "isolated")] if pattern else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split + [level]) if sequence else level
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(CORPUS, trainers.BpeTrainer(vocab_size=420, show_progress=False,
                                                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return tokenizer


def fixtures():
    qwen = train(QWEN2, normalizers.NFC())
    qwen.add_special_tokens([AddedToken(t, normalized=False) for t in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")])
    qwen.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("  ", normalized=True)])
    yield "qwen", qwen

    flags = train(QWEN2, normalizers.Sequence([normalizers.NFC()]))
    flags.add_special_tokens([AddedToken("<|im_start|>", rstrip=True), AddedToken("<|im_end|>", lstrip=True),
                              AddedToken("[SPACE]", lstrip=True, rstrip=True, normalized=True)])
    flags.add_tokens([AddedToken("word", single_word=True, normalized=False), AddedToken("wor", normalized=False),
                      AddedToken("cafe\u0301", normalized=True), AddedToken("\u00e9 x", normalized=False),
                      AddedToken("\u00e9", normalized=False)])
    yield "flags", flags

    gpt2 = train(None, None, prefix_space=True, use_regex=True, sequence=False)
    gpt2.add_special_tokens(["<|endoftext|>"])
    yield "gpt2-prefix-space", gpt2

    both = train(LLAMA3, None, prefix_space=True, use_regex=True)
    both.add_special_tokens([AddedToken("<s>", normalized=False), AddedToken("</s>", normalized=False)])
    both.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A $B", special_tokens=[("<s>", both.token_to_id("<s>")), ("</s>", both.token_to_id("</s>"))])])
    yield "llama3-template", both

    plain = json.loads(train(LLAMA3).to_str())
    plain["model"]["ignore_merges"] = True
    plain["model"]["merges"] = plain["model"]["merges"][:60]
    yield "ignore-merges", Tokenizer.from_str(json.dumps(plain))

    other = json.loads(train(OTHER, normalizers.NFC()).to_str())
    yield "pcre2-pattern", Tokenizer.from_str(json.dumps(other))

    # Bytes that are missing from the vocabulary are left out of the ids.
    poor = json.loads(train(QWEN2).to_str())
    gone = {"Z", "x", "Ð"}
    poor["model"]["vocab"] = {k: v for k, v in poor["model"]["vocab"].items() if not set(k) & gone}
    poor["model"]["merges"] = [m for m in poor["model"]["merges"] if not set("".join(m)) & gone]
    yield "missing-bytes", Tokenizer.from_str(json.dumps(poor))


def main():
    rng = random.Random(20)
    texts = ["", " ", "Hello, world!"] + ["".join(rng.choices(SNIPPETS, k=rng.randint(1, 14))) for _ in range(150)]
    for name, tokenizer in fixtures():
        folder = OUTPUT / name
        folder.mkdir(parents=True, exist_ok=True)
        state = json.loads(tokenizer.to_str())
        if name in ("gpt2-prefix-space", "ignore-merges"):  # the older form of merges
            state["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in state["model"]["merges"]]
        (folder / "tokenizer.json").write_text(json.dumps(state, ensure_ascii=False) + "\n")
        with open(folder / "cases.jsonl", "w") as out:
            for text in texts:
                encoding = tokenizer.encode(text)
                decoded = tokenizer.decode(encoding.ids, skip_special_tokens=False)
                plain = tokenizer.decode(encoding.ids, skip_special_tokens=True)
                out.write(json.dumps({"text": text, "ids": encoding.ids, "decoded": decoded, "plain": plain}) + "\n")


if __name__ == "__main__":
    main()
