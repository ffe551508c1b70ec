#!/usr/bin/env python3
"""Times postnas and its peers in one run on one GPU and writes the ratios.

    gpu_speed.py POSTNAS [--output FOLDER] [--only operators|models] [--quick]

Peers: flash-linear-attention (chunked and recurrent gated delta rule, gated linear attention, RWKV-7), torch's scaled_dot_product_attention, and
transformers' Qwen2 and Qwen3 with a static cache. Each is timed as its users call it, with CUDA events, on random inputs; short
calls several at a time. Writes peers.json and peers.md to FOLDER, after each operator anew, since a peer's tuning may take minutes. A peer that is
not installed or that raises is reported as such, never left out silently.
Says 'skipped' and ends with 0 where there is no GPU or no torch.
"""
import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from pathlib import Path

try:
    import torch
    import torch.nn.functional as F
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(0)


def seconds(f, repeats=10, warm_up=3):
    """The median of one call, with the device idle before; short calls several at a time, as `postnas benchmark kernels` takes them."""
    def together(calls):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start.record()
        for _ in range(calls):
            f()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / 1e3 / calls

    for _ in range(warm_up):
        f()
    once = together(1)
    calls = min(50, math.ceil(20e-3 / max(once, 1e-6))) if once < 2e-3 else 1
    return statistics.median(together(calls) for _ in range(repeats))


def recurrence_inputs(batch, length, heads, key, value, per_channel=False):
    bf16 = dict(device="cuda", dtype=torch.bfloat16)
    k = F.normalize(torch.randn(batch, length, heads, key, device="cuda"), dim=-1).to(torch.bfloat16)
    gate = (batch, length, heads, key) if per_channel else (batch, length, heads)
    return dict(q=torch.randn(batch, length, heads, key, **bf16), k=k, v=torch.randn(batch, length, heads, value, **bf16),
                g=-0.1 * torch.rand(*gate, device="cuda"), scale=key ** -0.5,
                initial_state=torch.zeros(batch, heads, key, value, device="cuda"), output_final_state=True)


def rwkv7_inputs(batch, length, heads, width):
    bf16 = dict(device="cuda", dtype=torch.bfloat16)
    shape = (batch, length, heads, width)
    kappa = F.normalize(torch.randn(*shape, device="cuda"), dim=-1)
    return dict(r=torch.randn(*shape, **bf16), w=-0.6 * torch.rand(*shape, device="cuda"), k=torch.randn(*shape, **bf16), v=torch.randn(*shape, **bf16),
                a=-kappa.to(torch.bfloat16), b=(kappa * torch.rand(*shape, device="cuda")).to(torch.bfloat16), scale=1.0, lower_bound=-0.61,
                initial_state=torch.zeros(batch, heads, width, width, device="cuda"), output_final_state=True)


def with_backward(function, inputs):
    """Seconds of the backward pass alone."""
    leaves = {n: t.detach().clone().requires_grad_() if torch.is_tensor(t) else t for n, t in inputs.items()}
    tensors = [t for t in leaves.values() if torch.is_tensor(t)]
    out = function(**leaves)[0]
    gradient = torch.randn_like(out)
    return seconds(lambda: torch.autograd.grad(out, tensors, gradient, allow_unused=True, retain_graph=True), 5, 1)


class Peers:
    """Operators by the names and shapes of `postnas benchmark kernels`."""

    def __init__(self, note):
        """`note` gets all rows after each new one."""
        self.rows = []
        self.note = note

    def add(self, operator, shape, peer, forward, backward=None):
        row = {"operator": operator, "shape": shape, "peer": peer}
        for name, measure in (("forward_seconds", forward), ("backward_seconds", backward)):
            if measure is None:
                continue
            try:
                row[name] = measure()
            except Exception as error:  # a peer's failure is a result
                row[name.replace("seconds", "error")] = ("%s: %s" % (type(error).__name__, str(error).strip().split("\n")[0]))[:200]
        self.rows.append(row)
        print(json.dumps(row), flush=True)
        self.note(self.rows)
        torch.cuda.empty_cache()

    def recurrences(self, quick):
        try:
            import fla
            from fla.ops.gated_delta_rule import chunk_gated_delta_rule, fused_recurrent_gated_delta_rule
            from fla.ops.gla import chunk_gla
            from fla.ops.rwkv7 import chunk_rwkv7
        except ImportError as missing:
            print("flash-linear-attention is not installed: %s" % missing)
            return
        name = "flash-linear-attention " + fla.__version__
        for batch, length, backward in ((1, 65536, False), (8, 4096, True), (128, 2048, False)):
            inputs = recurrence_inputs(batch, length, 12, 96, 256)
            inputs["beta"] = torch.rand(batch, length, 12, device="cuda", dtype=torch.bfloat16)
            shape = "batch %d, length %d, heads 12, key 96, value 256" % (batch, length)
            self.add("gated_delta_rule", shape, name, lambda: seconds(lambda: chunk_gated_delta_rule(**inputs)),
                     (lambda: with_backward(chunk_gated_delta_rule, inputs)) if backward and not quick else None)
        for batch in (128, 256):
            inputs = recurrence_inputs(batch, 1, 12, 96, 256)
            inputs["beta"] = torch.rand(batch, 1, 12, device="cuda", dtype=torch.bfloat16)
            self.add("gated_delta_rule_step", "batch %d, length 1, heads 12, key 96, value 256" % batch, name,
                     lambda: seconds(lambda: fused_recurrent_gated_delta_rule(**inputs), 50))
        # Last: their tuning takes minutes.
        inputs = recurrence_inputs(8, 4096, 12, 128, 128, True)
        self.add("gated_linear_attention", "batch 8, length 4096, heads 12, key 128, value 128", name, lambda: seconds(lambda: chunk_gla(**inputs)),
                 None if quick else lambda: with_backward(chunk_gla, inputs))
        inputs = rwkv7_inputs(8, 4096, 32, 64)
        self.add("rwkv7", "batch 8, length 4096, heads 32, key 64, value 64", name, lambda: seconds(lambda: chunk_rwkv7(**inputs)),
                 None if quick else lambda: with_backward(chunk_rwkv7, inputs))

    def attention(self):
        name = "torch " + torch.__version__
        bf16 = dict(device="cuda", dtype=torch.bfloat16)
        q, k, v = torch.randn(128, 12, 1, 128, **bf16), torch.randn(128, 2, 65536, 128, **bf16), torch.randn(128, 2, 65536, 128, **bf16)
        # Grouped heads as rows of one query: what a user writes to read the cache once.
        self.add("decode_attention", "batch 128, context 65536, heads 12 in 2 groups, dim 128", name,
                 lambda: seconds(lambda: F.scaled_dot_product_attention(q.view(128, 2, 6, 128), k, v)))
        del q, k, v
        q, k, v = torch.randn(1, 12, 32768, 128, **bf16), torch.randn(1, 2, 32768, 128, **bf16), torch.randn(1, 2, 32768, 128, **bf16)
        from torch.nn.attention import SDPBackend, sdpa_kernel
        for backend in (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION):
            def run(backend=backend):
                with sdpa_kernel(backend):
                    F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            self.add("causal_attention", "batch 1, length 32768, heads 12 in 2 groups, dim 128", name + ", " + backend.name.lower(), lambda: seconds(run))


def transformers_speed(config_file, contexts, prefill):
    """Decoding steps over a static cache of random numbers, and a prompt in chunks: rows with tokens a second."""
    import transformers
    from transformers import AutoConfig, AutoModelForCausalLM, StaticCache

    config = AutoConfig.for_model(**json.loads(Path(config_file).read_text()))
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa").eval()
    torch.set_default_dtype(torch.float32)
    rows = []

    def row(what, batch, context, measure):
        out = {"peer": "transformers " + transformers.__version__, "what": what, "batch": batch, "context": context}
        try:
            with torch.inference_mode():
                out["tokens_per_second"] = measure()
        except Exception as error:
            out["error"] = ("%s: %s" % (type(error).__name__, str(error).strip().split("\n")[0]))[:200]
        rows.append(out)
        print(json.dumps(out), flush=True)
        torch.cuda.empty_cache()

    def decode(batch, context):
        cache = StaticCache(config=config, max_cache_len=context + 32)
        ids = torch.randint(config.vocab_size, (batch, 1), device="cuda")
        model(ids, past_key_values=cache, use_cache=True)
        for layer in cache.layers:
            layer.keys.normal_()
            layer.values.normal_()

        def step():
            for layer in cache.layers:
                layer.cumulative_length.fill_(context)
            model(ids, past_key_values=cache, use_cache=True, position_ids=torch.full((batch, 1), context, device="cuda"))

        return batch / seconds(step, 8)

    def read(batch, context, chunk):
        cache = StaticCache(config=config, max_cache_len=context)
        started = None
        for first in range(0, context, chunk):
            ids = torch.randint(config.vocab_size, (batch, chunk), device="cuda")
            positions = torch.arange(first, first + chunk, device="cuda").expand(batch, chunk)
            if first == 0:  # loads code and fills the allocator
                model(ids, past_key_values=StaticCache(config=config, max_cache_len=context), use_cache=True, position_ids=positions, logits_to_keep=1)
                torch.cuda.synchronize()
                started = time.perf_counter()
            model(ids, past_key_values=cache, use_cache=True, position_ids=positions, logits_to_keep=1)
        torch.cuda.synchronize()
        return batch * context / (time.perf_counter() - started)

    for batch, context in contexts:
        row("decode", batch, context, lambda: decode(batch, context))
    for batch, context, chunk in prefill:
        row("prefill", batch, context, lambda: read(batch, context, chunk))
    return rows


def ours(program, *arguments):
    file = Path("/tmp") / ("postnas-%d.json" % time.time_ns())
    result = subprocess.run([program, "benchmark", *arguments, "--output", str(file)], text=True, capture_output=True)
    if result.returncode != 0:
        return {"error": result.stderr.strip().split("\n")[0]}
    return json.loads(file.read_text())


def cell(value, scale, digits):
    return "-" if value is None else "%.*f" % (digits, value * scale)


def operator_table(own, peers):
    lines = ["| operator | shape | peer | peer ms | postnas ms | ratio | peer backward ms | postnas backward ms | ratio |", "|---|---|---|---|---|---|---|---|---|"]
    by_name = {(o["operator"], o["shape"]): o for o in own.get("operators", [])}
    for peer in peers:
        mine = by_name.get((peer["operator"], peer["shape"]), {})
        cells = [peer["operator"], peer["shape"], peer["peer"]]
        for which in ("forward", "backward"):
            theirs, us = peer.get(which + "_seconds"), mine.get(which + "_seconds")
            cells += [peer.get(which + "_error") or cell(theirs, 1e3, 3), cell(us, 1e3, 3), cell(theirs / us if theirs and us else None, 1, 2)]
        lines.append("| %s |" % " | ".join(cells))
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--output", default=".")
    parser.add_argument("--only", choices=("operators", "models"))
    parser.add_argument("--quick", action="store_true", help="no backward passes of the peers")
    parser.add_argument("--configs", default=str(Path(__file__).resolve().parents[2] / "resources" / "architectures"))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("skipped: no GPU")
        return
    report = {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__}
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)

    def write(lines):
        (folder / "peers.json").write_text(json.dumps(report, indent=2) + "\n")
        (folder / "peers.md").write_text("\n".join(lines) + "\n")

    lines = []
    if options.only != "models":
        own = ours(options.program, "kernels", "--shapes", "large")

        def note(rows):
            report["operators"] = {"postnas": own, "peers": rows}
            lines[:] = operator_table(own, rows)
            write(lines)

        peers = Peers(note)
        peers.attention()
        peers.recurrences(options.quick)
        lines.append("")
    if options.only != "operators":
        rows = []
        plan = {"qwen2.5-1.5b": ([(1, 4096), (8, 65536), (16, 65536), (32, 65536)], [(2, 65536, 8192)]), "qwen3-1.7b": ([(8, 65536)], [])}
        for name, (contexts, prefill) in plan.items():
            mine = {}
            for batch, context in contexts:
                result = ours(options.program, "throughput", "--config", name, "--contexts", str(context), "--batch", str(batch), "--no-prefill", "--steps", "16")
                mine["decode", batch, context] = result["rows"][0]["decode"]["tokens_per_second"] if "rows" in result else None
            for batch, context, chunk in prefill:
                result = ours(options.program, "throughput", "--config", name, "--contexts", str(context), "--batch", str(batch), "--no-decode", "--chunk", str(chunk))
                mine["prefill", batch, context] = result["rows"][0]["prefill"]["tokens_per_second"] if "rows" in result else None
            for row in transformers_speed(Path(options.configs) / (name + ".json"), contexts, prefill):
                rows.append(dict(row, model=name, postnas_tokens_per_second=mine[row["what"], row["batch"], row["context"]]))
            torch.cuda.empty_cache()
        report["models"] = rows
        lines += ["| model | what | batch | context | peer | peer tokens/s | postnas tokens/s | ratio |", "|---|---|---|---|---|---|---|---|"]
        for r in rows:
            theirs, us = r.get("tokens_per_second"), r["postnas_tokens_per_second"]
            lines.append("| %s | %s | %d | %d | %s | %s | %s | %s |" % (r["model"], r["what"], r["batch"], r["context"], r["peer"], r.get("error") or cell(theirs, 1, 1),
                                                                        cell(us, 1, 1), cell(us / theirs if theirs and us else None, 1, 2)))
    write(lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
