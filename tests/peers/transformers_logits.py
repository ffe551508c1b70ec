#!/usr/bin/env python3
"""Compares logits with transformers on random Qwen2 and Qwen3 checkpoints: rope variants, sliding windows, tied and untied heads.

usage: transformers_logits.py PATH_OF_POSTNAS      (needs torch, transformers and safetensors; says 'skipped' without them)
"""
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import torch
    from safetensors.torch import load_file, save_file
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(0)

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


def variants():
    for rope, tied in itertools.product(ROPES, (True, False)):
        # The dynamic variant changes frequencies behind the trained length: both sides see one pass beyond it.
        positions = 64 if rope == "dynamic" else 256
        for name, config, model, extra in (("qwen2", Qwen2Config, Qwen2ForCausalLM, {}), ("qwen3", Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16})):
            yield name, rope, config(**COMMON, **extra, max_position_embeddings=positions, tie_word_embeddings=tied, rope_scaling=ROPES[rope]), model
    yield "qwen2", "sliding", Qwen2Config(**COMMON, use_sliding_window=True, sliding_window=16, max_window_layers=1), Qwen2ForCausalLM


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).parents[2] / "build/release/bin/postnas")
    passed = failed = 0
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
                subprocess.run([program, "logits", folder, "--input", folder + "/ids.safetensors", "--output", folder + "/out.safetensors",
                                "--device", "cpu", *way], check=True)
                error = (load_file(folder + "/out.safetensors")["logits"] - expected).abs().max().item()
                good = error < 1e-4
                passed, failed = passed + good, failed + (not good)
                print("%s %s %s tied=%s %s: largest difference %.2g" % ("ok  " if good else "FAIL", name, rope, config.tie_word_embeddings, " ".join(way), error))
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
