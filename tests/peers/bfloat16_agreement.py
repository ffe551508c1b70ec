#!/usr/bin/env python3
"""How often bfloat16 on the GPU chooses the token that float32 on the CPU chooses.

    bfloat16_agreement.py POSTNAS MODEL... [--tokens N] [--device cuda]

The same random ids go through `postnas logits` twice: in one pass, and as a prompt of half of them and single steps. A choice counts as the same when it is the
reference's most likely token, or when the reference's two likeliest logits are nearer to each other than bfloat16 can tell (2^-8 of the larger).
Both shares are printed; the plain one of all models must reach 99 %. Random ids make flat distributions, so that this is the hard case.
"""
import argparse
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--device", default="cuda")
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
    print("all: %.2f %% the same, %.2f %% where bfloat16 can tell them apart" % (100 * same / total, 100 * told / total))
    sys.exit(0 if same >= 0.99 * total else 1)


if __name__ == "__main__":
    main()
