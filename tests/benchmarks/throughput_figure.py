#!/usr/bin/env python3
"""The paper's throughput figure with this engine: four models, four context lengths, decoding and prompts.

    throughput_figure.py measure POSTNAS RESULTS.json [--batch N]      on a GPU
    throughput_figure.py draw RESULTS.json FOLDER                      throughput.md and throughput.svg; needs matplotlib

Random weights; decoding at the same batch for all models, and each at the largest batch that fits; prompts at batch 1 in chunks of 8192.
What fails, for lack of memory say, is in the results with its reason.
"""
import argparse
import json
import subprocess
import tempfile
from pathlib import Path

MODELS = ("jet-nemotron-2b", "jet-nemotron-4b", "qwen2.5-1.5b", "qwen3-1.7b")
NAMES = {"jet-nemotron-2b": "Jet-Nemotron-2B", "jet-nemotron-4b": "Jet-Nemotron-4B", "qwen2.5-1.5b": "Qwen2.5-1.5B", "qwen3-1.7b": "Qwen3-1.7B"}
CONTEXTS = (4096, 16384, 65536, 262144)
# Jet-Nemotron paper (arXiv 2508.15884): Jet-2B over Qwen3-1.7B and over Qwen2.5-1.5B; at 64K from its 2,885, 61 and 241 tokens a second.
PAPER = {"largest": {4096: (15.6, None), 65536: (47.3, 12.0), 262144: (53.6, None)}, "prefill": {4096: (1.14, None), 262144: (6.14, None)}}
KINDS = {"same": "decoding, same batch", "largest": "decoding, largest batch", "prefill": "prompt, batch 1"}


def measure(program, output, batch):
    options = {"same": ["--batch", str(batch), "--no-prefill", "--steps", "16"], "largest": ["--batch", "largest", "--no-prefill", "--steps", "8"],
               "prefill": ["--batch", "1", "--no-decode", "--chunk", "8192"]}
    report = {"rows": []}

    def run(model, contexts, arguments):
        """The rows of one process, or why there are none."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows.json"
            process = subprocess.run([program, "benchmark", "throughput", "--config", model, "--contexts", ",".join(map(str, contexts)), *arguments,
                                      "--output", str(file)], text=True, capture_output=True)
            if process.returncode != 0:
                return None, process.stderr.strip().split("\n")[0]
            result = json.loads(file.read_text())
        report.update({key: result[key] for key in ("device", "dtype", "versions", "copy_bytes_per_second", "matrix_flops_per_second")})
        return result["rows"], None

    for kind, arguments in options.items():
        for model in MODELS:
            rows, error = run(model, CONTEXTS, arguments)
            if rows is None:  # one length does not fit: which
                rows = []
                for context in CONTEXTS:
                    one, error = run(model, [context], arguments)
                    rows.append(one[0] if one else {"context": context, "error": error})
            for row in rows:
                report["rows"].append(dict(row, kind=kind, model=model))
                part = row.get("decode") or row.get("prefill") or {}
                print(kind, model, row["context"], row.get("batch"), part.get("tokens_per_second", row.get("error")), flush=True)
            Path(output).write_text(json.dumps(report, indent=1) + "\n")


def speed(row):
    part = row.get("decode") or row.get("prefill") if row else None
    return part["tokens_per_second"] if part else None


def draw(results, folder):
    report = json.loads(Path(results).read_text())
    rows = {(r["kind"], r["model"], r["context"]): r for r in report["rows"]}
    number = lambda x: "-" if x is None else "{:,.0f}".format(x)
    ratio = lambda a, b: "-" if a is None or b is None else "%.1f" % (a / b)
    lines = ["%s, %s, float32 recurrent states; copy %.2f TB/s, matrix %.0f TFLOP/s in the same run; postnas %s, torch %s." %
             (report["device"], report["dtype"], report["copy_bytes_per_second"] / 1e12, report["matrix_flops_per_second"] / 1e12,
              report["versions"].get("postnas", "?"), report["versions"].get("torch", "?")), ""]
    for kind, title in KINDS.items():
        lines += ["### Tokens a second, " + title, "", "| context | " + " | ".join(NAMES[m] for m in MODELS) + " | Jet-2B over Qwen3-1.7B | paper | Jet-2B over Qwen2.5-1.5B | paper |",
                  "|---" * (len(MODELS) + 5) + "|"]
        for context in CONTEXTS:
            each = {m: rows.get((kind, m, context)) for m in MODELS}
            cells = [number(speed(each[m])) + (" (%d)" % each[m]["batch"] if kind != "prefill" and speed(each[m]) else "") for m in MODELS]
            jet = speed(each["jet-nemotron-2b"])
            cells.insert(0, "%dK" % (context // 1024))
            for other, paper in zip(("qwen3-1.7b", "qwen2.5-1.5b"), PAPER.get(kind, {}).get(context, (None, None))):
                cells += [ratio(jet, speed(each[other])), "-" if paper is None else str(paper)]
            lines.append("| %s |" % " | ".join(cells))
        failed = [r for r in report["rows"] if r["kind"] == kind and "error" in r]
        lines += [""] + ["%s at %dK: %s" % (NAMES[r["model"]], r["context"] // 1024, r["error"]) for r in failed] + ([""] if failed else [])
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "throughput.md").write_text("\n".join(lines))

    import matplotlib
    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "postnas"
    import matplotlib.pyplot as plt
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    colours = dict(zip(MODELS, ("#1b9e77", "#66c2a5", "#7570b3", "#d95f02")))
    for axis, (kind, title) in zip(axes, KINDS.items()):
        for m in MODELS:
            points = [(c / 1024, speed(rows.get((kind, m, c)))) for c in CONTEXTS]
            points = [p for p in points if p[1]]
            axis.plot(*zip(*points), marker="o" if m.startswith("jet") else "s", color=colours[m], label=NAMES[m])
        axis.set(xscale="log", yscale="log", title=title[0].upper() + title[1:], xlabel="context, thousand tokens (K = 1024)", ylabel="tokens a second")
        axis.set_xticks([c / 1024 for c in CONTEXTS], ["%dK" % (c // 1024) for c in CONTEXTS])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.savefig(folder / "throughput.svg", metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("measure")
    one.add_argument("program")
    one.add_argument("output")
    one.add_argument("--batch", type=int, default=2)
    two = commands.add_parser("draw")
    two.add_argument("results")
    two.add_argument("folder")
    options = parser.parse_args()
    if options.command == "measure":
        measure(options.program, options.output, options.batch)
    else:
        draw(options.results, options.folder)


if __name__ == "__main__":
    main()
