"""The student on a processor beside what others make of it: the same weights, the same word pieces, one table.

    pip install torch transformers onnxruntime onnx safetensors
    python benches/peers.py                          # the student that comes with stillroom, on 60 notes
    python benches/peers.py --notes 10 --student DIR # another student or base, as `model.safetensors` with a `tokenizer.json`

By turns, --rounds times: stillroom (`cargo run --release --example figures -- student`), then each competitor in a process of its own,
which loads nothing of the others, and ends with the peak of its resident memory, libraries included, as `figures` does.

A figure of a process is word pieces a second, padding never counted, the median of five passes after one that warms up, or the time that a
window takes. The table has the median of the rounds, the least and the most.
"""
import argparse
import collections
import concurrent.futures
import itertools
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
ROUNDS = 5
ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = pathlib.Path(os.environ.get("STILLROOM_STUDENT", ROOT / "models/stillroom-minilm-l6"))
# What a line of a process says, behind its name, by its unit.
UNITS = {"word pieces/s": r"([\d.]+) word pieces/s", "MiB at the peak": r"peak of the process ([\d.]+) MiB",
         "MiB for taggers and weights": r"([\d.]+) MiB more than before", "ms, p50": r"p50 ([\d.]+) ms",
         "ms, p99": r"p50 [\d.]+ ms, p99 ([\d.]+) ms"}


def batches(windows, size, by_length=True):
    """Windows in batches of `size`, by falling length or as they come, padded to the longest of each."""
    order = sorted(windows, key=len, reverse=True) if by_length else windows
    for first in range(0, len(order), size):
        part = order[first : first + size]
        ids = np.zeros((len(part), max(map(len, part))), np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(part):
            ids[row, : len(window)] = window
            mask[row, : len(window)] = 1
        yield ids, mask


def rate(name, windows, run):
    """Prints how fast `run()` reads the windows."""
    seconds = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    seconds = sorted(seconds[1:])
    median, least, most = [sum(map(len, windows)) / s for s in (seconds[ROUNDS // 2], seconds[-1], seconds[0])]
    print(f"{name}: {median:.0f} word pieces/s ({least:.0f} to {most:.0f})", flush=True)


def measure(name, windows, size, run, by_length=True):
    """Prints how fast `run(ids, mask)` is on batches."""
    prepared = list(batches(windows, size, by_length))
    order = "" if size == 1 else " by length" if by_length else " as they come"
    rate(f"{name}, batch {size}{order}", windows, lambda: [run(ids, mask) for ids, mask in prepared])


def pipelines(windows, model):
    """Prints how fast the pipeline of transformers is, from text to words with labels."""
    from transformers import PreTrainedTokenizerFast, pipeline
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(MODEL / "tokenizer.json"), pad_token="[PAD]", unk_token="[UNK]",
                                        cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]", model_max_length=512)
    read = pipeline("token-classification", model=model, tokenizer=tokenizer)
    # The workload has word pieces; its texts are what they spell.
    texts = [tokenizer.decode(window, skip_special_tokens=True) for window in windows]
    for size, by_length in ((1, True), (32, True), (32, False)):
        order = sorted(texts, key=len, reverse=True) if by_length else texts
        name = "batch 1" if size == 1 else f"batch {size} {'by length' if by_length else 'as they come'}"
        rate(f"transformers' pipeline, {name}", windows, lambda: read(order, batch_size=size))


def latency(name, windows, run):
    """Prints how long a window takes, one after the other on one thread; words are neither cut nor put together."""
    milliseconds = []
    for _ in range(ROUNDS):
        for window in windows:
            ids = np.array([window], np.int64)
            began = time.perf_counter()
            run(ids, np.ones_like(ids))
            milliseconds.append((time.perf_counter() - began) * 1e3)
    p50, p99 = np.percentile(milliseconds, [50, 99])
    print(f"{name}: one window, one thread: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)


def in_onnx(session):
    return lambda ids, mask: session.run(None, {"ids": ids, "mask": mask})


def export(folder):
    """ONNX files of the student, fused, in f32 and int8, and in int8 with a scale for each output of a matrix,
    which `fidelity.py` alone reads."""
    import onnx
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer
    from weights import load

    class Logits(torch.nn.Module):
        """From word pieces and mask to logits alone, as ONNX wants it."""

        def __init__(self, model):
            super().__init__()
            self.model = model

        def forward(self, ids, mask):
            return self.model(input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).logits

    model, plain = load(MODEL), str(folder / "plain.onnx")
    model.set_attn_implementation("eager")
    ids = torch.ones((2, 40), dtype=torch.long)
    axes = {name: {0: "batch", 1: "length"} for name in ("ids", "mask", "logits")}
    torch.onnx.export(Logits(model), (ids, ids), plain, input_names=["ids", "mask"], output_names=["logits"],
                      dynamic_axes=axes, dynamo=False, opset_version=17)
    config = model.config
    fused = optimizer.optimize_model(plain, model_type="bert", num_heads=config.num_attention_heads,
                                     hidden_size=config.hidden_size, opt_level=1)
    fused.save_model_to_file(str(folder / "f32.onnx"))
    # The fused operators are ONNX Runtime's own, so that it cannot infer their type.
    for kind, per_channel in (("int8", False), ("int8-by-output", True)):
        quantize_dynamic(str(folder / "f32.onnx"), str(folder / f"{kind}.onnx"), weight_type=QuantType.QInt8,
                         per_channel=per_channel, extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})


def peak(name):
    """Prints the most memory that this process has had resident."""
    kib = re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]
    print(f"{name}: peak of the process {int(kib) >> 10} MiB", flush=True)


def in_torch(kind, windows):
    """The measures of torch, or of the pipeline on it."""
    import torch
    from weights import load
    torch.set_num_threads(2)
    model = load(MODEL)
    if kind == "pipeline":
        pipelines(windows, model)
        return peak("transformers' pipeline")
    if kind == "bf16":
        model = model.to(torch.bfloat16)

    def run(ids, mask):
        with torch.inference_mode():
            model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))

    if kind == "f32":
        measure("torch f32", windows, 1, run)
    for is_sorted in (True, False):
        measure(f"torch {kind}", windows, 32, run, is_sorted)
    peak(f"torch {kind}")


def session_of(kind, folder, threads):
    """A session of ONNX Runtime on what `export` wrote, as a function."""
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    return in_onnx(ort.InferenceSession(str(folder / f"{kind}.onnx"), options, providers=["CPUExecutionProvider"]))


def in_onnx_runtime(kind, windows, by_length, folder):
    """The measures of ONNX Runtime as one session on two threads."""
    name, session = f"ONNX Runtime {kind}, fused", session_of(kind, folder, 2)
    measure(name, windows, 1, session)
    for is_sorted in (True, False):
        measure(name, windows, 32, session, is_sorted)
    for length, equal in by_length.items():
        measure(f"{name}, windows of {length}", equal, 1, session)
    # Before there is another session.
    peak(name)
    latency(name, windows, session_of(kind, folder, 1))


def in_sessions(kind, windows, by_length, folder):
    """The measures of ONNX Runtime in stillroom's own layout: a session of one thread on each of two, which take a window at a time as
    they become free, by falling length. A session lets go of Python's lock while it computes."""
    name, sessions = f"ONNX Runtime {kind}, fused, two sessions of one thread", [session_of(kind, folder, 1) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor(len(sessions)) as pool:
        def dealt(windows):
            prepared = list(batches(windows, 1))

            def once():
                turns = itertools.count()

                def work(session):
                    # Taking the next number of a count is one step, which no other thread interrupts.
                    while (turn := next(turns)) < len(prepared):
                        session(*prepared[turn])

                list(pool.map(work, sessions))

            return once

        rate(name, windows, dealt(windows))
        for length, equal in by_length.items():
            rate(f"{name}, windows of {length}", equal, dealt(equal))
    peak(name)


def one(workload, library, kind, folder):
    """The measures of one competitor, in a process of its own."""
    workload, folder = json.loads(pathlib.Path(workload).read_text()), pathlib.Path(folder)
    if library == "torch":
        in_torch(kind, workload["windows"])
    elif library == "export":
        export(folder)
    else:
        measures = in_sessions if library == "sessions" else in_onnx_runtime
        measures(kind, workload["windows"], workload["by_length"], folder)


def collect(command, figures, prefix=""):
    """Runs a process and adds the figures that it prints, by name and unit; shows what it prints as it comes."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            print(line, end="", file=sys.stderr, flush=True)
            for unit, pattern in UNITS.items():
                if found := re.fullmatch(rf"(.+): {pattern}.*", line.strip()):
                    figures[prefix + found[1], unit].append(float(found[2]))
    if process.returncode:
        raise SystemExit(f"{command} ended with {process.returncode}")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rounds", type=int, default=3, help="turns of all (default 3)")
    options.add_argument("--notes", type=int, default=60, help="notes of the demo (default 60)")
    options.add_argument("--student", type=pathlib.Path, default=MODEL, help="a folder (default the one that comes with stillroom)")
    options = options.parse_args()
    subprocess.run(["cargo", "build", "--release", "--example", "figures"], cwd=ROOT, check=True)
    figures, others = collections.defaultdict(list), [("torch", "pipeline"), ("torch", "f32"), ("torch", "bf16"), ("onnx", "f32"),
                                                      ("sessions", "f32"), ("onnx", "int8"), ("sessions", "int8")]
    with tempfile.TemporaryDirectory() as folder:
        workload = f"{folder}/workload.json"
        os.environ.update(STILLROOM_STUDENT=str(options.student.resolve()), STILLROOM_WORKLOAD=workload)
        ours = ["cargo", "run", "--quiet", "--release", "--example", "figures", "--", "student", str(options.notes)]
        for turn in range(options.rounds):
            collect(ours, figures, "stillroom ")
            for competitor in ([("export", "all")] if turn == 0 else []) + others:
                collect([sys.executable, __file__, "one", workload, *competitor, folder], figures)
    print("| | | median | least | most |\n|---|---|---|---|---|")
    for (name, unit), values in figures.items():
        median, least, most = (f"{value:,.0f}" if value >= 1000 else f"{value:g}" for value in
                               (statistics.median(values), min(values), max(values)))
        print(f"| {name} | {unit} | {median} | {least} | {most} |")


if __name__ == "__main__":
    one(*sys.argv[2:]) if sys.argv[1:2] == ["one"] else main()
