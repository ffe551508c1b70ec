#!/usr/bin/env python3
"""A stand-in for `postnas` that keeps the contracts of run folders and of the worker's protocol, so that tests decide what
happens: steps and pace come from the spec, and prompts such as "crash" make it misbehave."""
import fcntl
import json
import os
import signal
import sys
import time


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())


class Events:
    def __init__(self, path):
        self.seq = 0
        if os.path.exists(path):
            with open(path) as old:
                self.seq = sum(1 for line in old if line.endswith("\n"))
        self.file = open(path, "a")

    def write(self, kind, **fields):
        self.seq += 1
        self.file.write(json.dumps({"v": 1, "seq": self.seq, "t": now(), "event": kind, **fields}) + "\n")
        self.file.flush()


def finish(folder, code, reason, resumable):
    temporary = os.path.join(folder, ".exit.tmp")
    with open(temporary, "w") as out:
        json.dump({"code": code, "reason": reason, "resumable": resumable, "time": now()}, out)
    os.rename(temporary, os.path.join(folder, "exit.json"))
    sys.exit(code)


def run(arguments):
    folder = arguments[arguments.index("--run-dir") + 1]
    spec = json.load(open(os.path.join(folder, "spec.json")))
    lock = open(os.path.join(folder, ".lock"), "a")
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    exit_file = os.path.join(folder, "exit.json")
    if os.path.exists(exit_file):
        os.remove(exit_file)
    mode = os.environ.get("FAKE_WORKER_MODE", "")
    progress_file = os.path.join(folder, "progress")
    begin = int(open(progress_file).read()) if "--resume" in arguments and os.path.exists(progress_file) else 0
    total = spec["training"]["steps"]
    stopping = []
    signal.signal(signal.SIGTERM, (lambda *_: None) if mode == "stubborn" else (lambda *_: stopping.append(1)))
    events = Events(os.path.join(folder, "events.jsonl"))
    events.write("hello", versions={"postnas": "fake"}, device="cpu (1 thread)", pid=os.getpid(), stage=spec["stage"])
    events.write("stage", name="training", index=0, count=2)
    print("library noise that belongs to the log", file=sys.stderr, flush=True)
    for step in range(begin, total):
        if stopping:
            open(progress_file, "w").write(str(step))
            events.write("checkpoint", step=step, path="checkpoints/step-%d" % step)
            events.write("bye", code=130, reason="interrupted")
            finish(folder, 130, "interrupted", True)
        if mode == "fail" and step == 3:
            events.write("error", **{"class": "input", "message": "tasks/broken.jsonl: line 7 is no JSON", "hint": "Repair the line."})
            events.write("bye", code=3, reason="error")
            finish(folder, 3, "tasks/broken.jsonl: line 7 is no JSON", False)
        events.write("metric", name="loss", value=5.0 / (step + 1), step=step + 1)
        events.write("progress", done=step + 1, total=total, unit="steps", rate=20.0, eta=(total - step - 1) / 20.0)
        time.sleep(0.02)
    events.write("stage", name="heatmap", index=1, count=2)
    layers = 4
    for layer in range(layers):
        placement = ["attention" if i == layer else "gla" for i in range(layers)]
        events.write("candidate", id="h%d" % layer, placement=placement, origin="heatmap", objective="", layer=layer,
                     scores={"retrieval": {"accuracy": 0.2 * layer, "negative_loss": -1.0, "objective": 0.2 * layer}},
                     cost={"state_bytes": 1000 + layer, "parameters": 1000, "decode_tokens_per_second": 50.0 + layer})
    events.write("result", artifact="search", path="artifacts/search.json", values={"best": {"accuracy": 0.6}})
    events.write("bye", code=0, reason="done")
    finish(folder, 0, "done", False)


def worker():
    seq = 0

    def say(kind, **fields):
        nonlocal seq
        seq += 1
        print(json.dumps({"v": 1, "seq": seq, "t": now(), "event": kind, **fields}), flush=True)

    say("hello", versions={}, device="cpu", pid=os.getpid(), stage="worker")
    for line in sys.stdin:
        request = json.loads(line)
        command, name = request["command"], request["id"]
        if command == "shutdown":
            break
        if command == "load" and "missing" in request["model"]:
            say("error", id=name, **{"class": "input", "message": request["model"] + ": does not exist", "hint": "Choose another."})
        elif command == "load":
            say("result", id=name, values={"model": request["model"], "parameters": 7, "layers": ["attention"]})
        elif command == "generate" and request.get("prompt") == "crash":
            print("error: the device is gone", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        elif command == "generate" and request.get("prompt") == "garbage":
            print("this is no JSON", flush=True)
            say("result", id=name, values={"text": "after garbage"})
        elif command == "generate":
            for piece in ["Hel", "lo ", "wörld"]:
                say("token", id=name, token_id=1, text=piece)
            say("result", id=name, values={"text": "Hello wörld", "finish_reason": "stop", "new_tokens": 3})
    say("bye", code=0, reason="done")


if sys.argv[1] == "worker":
    worker()
else:
    run(sys.argv[1:])
