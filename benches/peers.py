"""What others make of the same student and the same word pieces as `cargo run --release --example figures -- student`.

    pip install torch transformers onnxruntime onnx safetensors
    STILLROOM_WORKLOAD=/tmp/workload.json cargo run --release --example figures -- student && python benches/peers.py /tmp/workload.json

Word pieces a second, padding never counted: the median of five rounds after one that warms up, with the least and the most.
Each competitor has a process of its own, which loads nothing of the others, and ends with the peak of its resident memory, libraries
included, as `figures` does.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
ROUNDS = 5
MODEL = pathlib.Path(__file__).parent.parent / "models/stillroom-minilm-l6"


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
    """ONNX files of the student, fused, in f32 and int8."""
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
    quantize_dynamic(str(folder / "f32.onnx"), str(folder / "int8.onnx"), weight_type=QuantType.QInt8,
                     extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})


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


def in_onnx_runtime(kind, windows, by_length, folder):
    """The measures of ONNX Runtime on what `export` wrote."""
    import onnxruntime as ort
    name, options = f"ONNX Runtime {kind}, fused", ort.SessionOptions()
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(str(folder / f"{kind}.onnx"), options, providers=["CPUExecutionProvider"])
    measure(name, windows, 1, in_onnx(session))
    for is_sorted in (True, False):
        measure(name, windows, 32, in_onnx(session), is_sorted)
    for length, equal in by_length.items():
        measure(f"{name}, windows of {length}", equal, 1, in_onnx(session))
    # Before there is another session.
    peak(name)
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(folder / f"{kind}.onnx"), options, providers=["CPUExecutionProvider"])
    latency(name, windows, in_onnx(session))


def one(workload, library, kind, folder):
    """The measures of one competitor, in a process of its own."""
    workload, folder = json.loads(pathlib.Path(workload).read_text()), pathlib.Path(folder)
    if library == "torch":
        in_torch(kind, workload["windows"])
    elif kind == "export":
        export(folder)
    else:
        in_onnx_runtime(kind, workload["windows"], workload["by_length"], folder)


def main():
    competitors = [("torch", "pipeline"), ("torch", "f32"), ("torch", "bf16"), ("onnx", "export"), ("onnx", "f32"), ("onnx", "int8")]
    with tempfile.TemporaryDirectory() as folder:
        for competitor in competitors:
            subprocess.run([sys.executable, __file__, sys.argv[1], *competitor, folder], check=True)


one(*sys.argv[1:]) if len(sys.argv) > 2 else main()
