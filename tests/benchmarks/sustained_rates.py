#!/usr/bin/env python3
"""What a GPU's matrix units do for longer than a moment: torch's attention and matrix products for two seconds each, with clock and power.

    sustained_rates.py

A prompt of a long context is arithmetic for many seconds. Then the power cap decides, and rates timed in a few milliseconds are not reached. Each
line gives the rate of the first call and of the last third of the calls, and from nvidia-smi the clock [MHz], the power [W] and the reasons
that lower the clock (bit 4: power cap). Shapes are those of Qwen2.5-1.5B: 12 heads in 2 groups of dimension 128, width 1536, inner width 8960.
Says 'skipped' and ends with 0 where there is no GPU or no torch.
"""
import subprocess
import sys
import threading
import time

try:
    import torch
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(0)

BATCH, CHUNK, HEADS, GROUPS, DIM = 4, 8192, 12, 2, 128


class Watch:
    """Samples of nvidia-smi, ten a second, in the background."""

    def __init__(self):
        self.samples = []
        self.process = subprocess.Popen(["nvidia-smi", "--query-gpu=clocks.sm,power.draw.instant,clocks_event_reasons.active",
                                         "--format=csv,noheader,nounits", "-lms", "100"], stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.samples.append((time.time(), line.strip().split(", ")))

    def between(self, start, end):
        return [sample for at, sample in self.samples if start < at < end]


def timed(f):
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    f()
    end.record()
    return start, end


def sustain(watch, name, f, flops, seconds=2):
    f()
    torch.cuda.synchronize()
    time.sleep(1)  # so that the first call meets a card at rest
    start, end = timed(f)
    torch.cuda.synchronize()
    first = start.elapsed_time(end) / 1e3
    began, calls = time.time(), []
    while time.time() - began < seconds:
        calls += [timed(f) for _ in range(max(1, int(0.03 / first)))]
        torch.cuda.synchronize()
    ended = time.time()
    last = [a.elapsed_time(b) / 1e3 for a, b in calls][-max(1, len(calls) // 3):]
    seen = watch.between(began + seconds / 2, ended)
    print("%-36s first %4.0f TFLOP/s, sustained %4.0f; clock %s; power %s; reasons %s" %
          (name, flops / first / 1e12, flops * len(last) / sum(last) / 1e12, " ".join(s[0] for s in seen[::3]), " ".join(s[1] for s in seen[::3]),
           " ".join(sorted({s[2] for s in seen}))), flush=True)


def main():
    if not torch.cuda.is_available():
        print("skipped: no GPU")
        return
    bf16 = dict(device="cuda", dtype=torch.bfloat16)
    watch = Watch()
    query = torch.randn(BATCH, CHUNK, HEADS, DIM, **bf16).transpose(1, 2)
    keys, values = torch.randn(BATCH, GROUPS, 65536, DIM, **bf16), torch.randn(BATCH, GROUPS, 65536, DIM, **bf16)

    def cudnn(length, causal=False):
        torch.ops.aten._scaled_dot_product_cudnn_attention(query, keys[:, :, :length], values[:, :, :length], None, True, 0.0, causal)

    def flash(length):
        torch.ops.aten._flash_attention_forward(query.transpose(1, 2), keys[:, :, :length].transpose(1, 2), values[:, :, :length].transpose(1, 2), None, None,
                                                CHUNK, length, 0.0, False, False)

    flops = lambda length: 4 * BATCH * HEADS * CHUNK * length * DIM
    sustain(watch, "cuDNN, 8192 x 8192", lambda: cudnn(8192), flops(8192))
    sustain(watch, "cuDNN, 8192 x 32768", lambda: cudnn(32768), flops(32768))
    sustain(watch, "cuDNN, causal 8192", lambda: cudnn(8192, True), flops(8192) / 2)
    sustain(watch, "flash attention, 8192 x 32768", lambda: flash(32768), flops(32768))
    del query, keys, values
    for rows, columns, inner in ((8192, 8192, 8192), (32768, 17920, 1536), (32768, 1536, 8960)):
        left, weight, out = torch.randn(rows, inner, **bf16), torch.randn(columns, inner, **bf16) * 0.02, torch.empty(rows, columns, **bf16)
        sustain(watch, "product %d x %d x %d" % (rows, columns, inner), lambda: torch.mm(left, weight.t(), out=out), 2 * rows * columns * inner)
    watch.process.kill()


if __name__ == "__main__":
    main()
