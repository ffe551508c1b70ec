#!/usr/bin/env python3
"""Compares logits with transformers: random Qwen2 and Qwen3 checkpoints, and stored reference logits.

    transformers_logits.py [POSTNAS] [--reference FOLDER] [--only-reference]

Random checkpoints: rope variants, a sliding window, tied and untied heads, in one pass and in chunks then token by token.
FOLDER is a bfloat16 checkpoint with expected.safetensors (input_ids, logits), such as tests/data/qwen3-tiny-sharded-bf16: which
of the two ways to compute in float32 from its weights the stored logits come from, and that postnas gives both.
Says 'skipped' and ends with 0 where torch, transformers or safetensors is not installed.
"""
import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import torch
    import transformers
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(0)

TOLERANCE = 1e-4
ROPES = {
    "default": None,
    "linear": {"rope_type": "linear", "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "factor": 2.0},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    "llama3": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
               "original_max_position_embeddings": 64},
}
COMMON = dict(vocab_size=200, hidden_size=48, intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
              initializer_range=0.2, rope_theta=10000.0, attn_implementation="eager")


class Tally:
    """Counts and prints comparisons."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, difference, limit=TOLERANCE):
        good = difference <= limit  # false for a NaN
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print("%s %s: largest difference %.2g" % ("ok  " if good else "FAIL", name, difference), flush=True)


def largest(a, b):
    return (a.double() - b.double()).abs().max().item()


def ours(program, model, ids_file, *options):
    with tempfile.TemporaryDirectory() as folder:
        output = folder + "/out.safetensors"
        subprocess.run([program, "logits", str(model), "--input", str(ids_file), "--output", output, "--device", "cpu", *options], check=True)
        return load_file(output)["logits"]


def variants():
    for rope, tied in itertools.product(ROPES, (True, False)):
        # The dynamic variant changes frequencies behind the trained length: both sides see one pass beyond it.
        positions = 64 if rope == "dynamic" else 256
        for name, config, model, extra in (("qwen2", Qwen2Config, Qwen2ForCausalLM, {}), ("qwen3", Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16})):
            yield name, rope, config(**COMMON, **extra, max_position_embeddings=positions, tie_word_embeddings=tied, rope_scaling=ROPES[rope]), model
    window = dict(use_sliding_window=True, sliding_window=16, max_window_layers=1)
    yield "qwen2", "sliding", Qwen2Config(**COMMON, **window), Qwen2ForCausalLM
    yield "qwen3", "sliding", Qwen3Config(**COMMON, **window, head_dim=16), Qwen3ForCausalLM


def compare_random(program, tally):
    for seed, (name, rope, config, model_class) in enumerate(variants()):
        torch.manual_seed(seed)
        model = model_class(config).float().eval()
        for parameter in model.parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, 1.0, 0.2)
        ids = torch.randint(0, 200, (2, 100))
        with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            expected = model(ids).logits
            model.save_pretrained(folder)
            save_file({"input_ids": ids}, folder + "/ids.safetensors")
            for way in ([], ["--prefill", "70", "--chunk", "9"]):
                if way and rope == "dynamic":
                    continue
                difference = largest(ours(program, folder, folder + "/ids.safetensors", *way), expected)
                tally.check(" ".join([name, rope, "tied=%s" % config.tie_word_embeddings, *way]), difference)


def compare_reference(program, folder, tally):
    stored_file = folder / "expected.safetensors"
    if not stored_file.is_file():
        print("skipped: %s does not exist" % stored_file)
        return
    stored = load_file(stored_file)

    def logits(model):
        with torch.no_grad():
            return model.eval()(stored["input_ids"]).logits

    def load():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)

    loaded = logits(load())
    # The weights are bfloat16 already, so this rounds only the buffer of rotary frequencies, inv_freq.
    rounded = logits(load().to(torch.bfloat16).float())
    print("%s: stored logits against\n  from_pretrained(dtype=float32)                              %.3g\n"
          "  the same after .to(bfloat16).float(), which rounds inv_freq %.3g" % (folder.name, largest(stored["logits"], loaded),
                                                                                  largest(stored["logits"], rounded)))
    # 0 with the versions and on the kind of processor that it was made with; others may differ in the last bits.
    tally.check("stored = transformers with rounded inv_freq", largest(stored["logits"], rounded), 1e-5)
    tally.check("postnas = transformers' from_pretrained", largest(ours(program, folder, stored_file), loaded))
    rounding = ("--rope-frequencies", "bfloat16")
    tally.check("postnas --rope-frequencies bfloat16 = stored", largest(ours(program, folder, stored_file, *rounding), stored["logits"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("postnas", nargs="?", default=str(Path(__file__).parents[2] / "build/release/bin/postnas"))
    parser.add_argument("--only-reference", action="store_true")
    parser.add_argument("--reference", type=Path, default=Path(__file__).parents[1] / "data/qwen3-tiny-sharded-bf16")
    arguments = parser.parse_args()
    print("torch %s, transformers %s" % (torch.__version__, transformers.__version__))
    transformers.utils.logging.disable_progress_bar()
    tally = Tally()
    compare_reference(arguments.postnas, arguments.reference, tally)
    if not arguments.only_reference:
        compare_random(arguments.postnas, tally)
    print("%d passed, %d failed" % (tally.passed, tally.failed))
    return 1 if tally.failed else 0


if __name__ == "__main__":
    sys.exit(main())
