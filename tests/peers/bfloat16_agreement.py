#!/usr/bin/env python3
"""How often bfloat16 on the GPU chooses the token that float32 on the CPU chooses.

    bfloat16_agreement.py POSTNAS MODEL... [--tokens N] [--device cuda] [--lines FILE.jsonl.gz]

Random ids, and float32's own greedy continuations of random prompts, go through `postnas logits`: the ids in one pass, and as a prompt of half of them and single
steps. A choice counts as the same when it is the reference's most likely token; the second share also counts those where the reference's two likeliest
logits are nearer to each other than bfloat16 can tell (2^-8 of the larger). The plain share of all models must reach 99 %. With --lines, a
corpus of weighted parts as in projects/quickstart, the tokens that a trained model was trained to give, by their weight, are counted alone.
"""
import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(0)


def logits(program, model, ids, device, dtype, *options):
    with tempfile.TemporaryDirectory() as folder:
        source, target = folder + "/ids.safetensors", folder + "/out.safetensors"
        save_file({"input_ids": ids}, source)
        subprocess.run([program, "logits", model, "--input", source, "--output", target, "--device", device, "--dtype", dtype, *options], check=True)
        return load_file(target)["logits"]


def greedy(program, model, prompts, tokens):
    """The prompts and what float32 on the CPU continues them with, as one tensor; those that ended earlier are left out."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prompts.jsonl"
        file.write_text("".join(json.dumps({"prompt_ids": ids, "max_new_tokens": tokens}) + "\n" for ids in prompts.tolist()))
        out = subprocess.run([program, "generate", model, "--prompts", str(file), "--batch", str(len(prompts)), "--device", "cpu", "--dtype", "float32"], check=True,
                             capture_output=True, text=True).stdout
    rows = {row["index"]: row["tokens"] for row in map(json.loads, out.splitlines())}
    whole = [prompts[i].tolist() + rows[i] for i in sorted(rows) if len(rows[i]) == tokens]
    return torch.tensor(whole) if whole else None


def trained_choices(program, model, lines, device, count=256, length=200):
    """The share of equal choices among the tokens of the largest weight, and how many there are."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(model) / "tokenizer.json"))
    rows, weights = [], []
    for line in gzip.open(lines, "rt"):
        parts = [(tokenizer.encode(part["text"], add_special_tokens=False).ids, part["weight"]) for part in json.loads(line)["parts"]]
        ids = [i for some, _ in parts for i in some]
        if len(ids) >= length and len(rows) < count:
            rows.append(ids[:length])
            weights.append([weight for some, weight in parts for _ in some][:length])
    ids, weight = torch.tensor(rows), torch.tensor(weights)[:, 1:]
    equal = (logits(program, model, ids, "cpu", "float32").argmax(-1) == logits(program, model, ids, device, "bfloat16").argmax(-1))[:, :-1]
    taught = weight > weight.max() / 5
    return equal[taught].float().mean().item(), int(taught.sum())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--lines", help="a corpus for the last model")
    options = parser.parse_args()
    torch.manual_seed(1)
    same = total = told = 0
    for model in options.models:
        vocabulary = json.loads((Path(model) / "config.json").read_text())["vocab_size"]
        ids = torch.randint(vocabulary, (4, options.tokens))
        reference = logits(options.program, model, ids, "cpu", "float32")
        top = reference.topk(2, -1).values
        close = (top[..., 0] - top[..., 1]) <= top.abs().amax(-1) / 256
        for name, extra in (("one pass", ()), ("prompt, then token by token", ("--prefill", str(options.tokens // 2)))):
            equal = logits(options.program, model, ids, options.device, "bfloat16", *extra).argmax(-1) == reference.argmax(-1)
            same, total, told = same + equal.sum().item(), total + equal.numel(), told + (equal | close).sum().item()
            print("%s, %s: %.2f %% the same, %.2f %% where bfloat16 can tell them apart" %
                  (Path(model).name, name, 100 * equal.float().mean(), 100 * (equal | close).float().mean()), flush=True)
        path = greedy(options.program, model, torch.randint(vocabulary, (16, 12)), 128)
        if path is None:
            print("%s: every greedy continuation ended early" % Path(model).name)
            continue
        equal = logits(options.program, model, path, options.device, "bfloat16").argmax(-1)[:, 11:-1] == path[:, 12:]
        print("%s, along float32's greedy tokens: %.2f %% the same" % (Path(model).name, 100 * equal.float().mean()), flush=True)
    if options.lines:
        share, number = trained_choices(options.program, options.models[-1], options.lines, options.device)
        print("%s, %d tokens it was trained to give: %.2f %% the same" % (Path(options.models[-1]).name, number, 100 * share))
    print("all: %.2f %% the same, %.2f %% where bfloat16 can tell them apart" % (100 * same / total, 100 * told / total))
    sys.exit(0 if same >= 0.99 * total else 1)


if __name__ == "__main__":
    main()
