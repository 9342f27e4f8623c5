"""What others make of the same student and the same word pieces as `cargo run --release --example figures -- student`.

    pip install torch transformers onnxruntime onnx safetensors
    STILLROOM_WORKLOAD=/tmp/workload.json cargo run --release --example figures -- student && python benches/peers.py /tmp/workload.json

Word pieces a second, padding never counted: the median of five rounds after one that warms up, with the least and the most.
"""
import json
import pathlib
import sys
import tempfile
import time
import warnings

import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers import optimizer
from transformers import PreTrainedTokenizerFast, pipeline

from weights import load

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


class Logits(torch.nn.Module):
    """From word pieces and mask to logits alone, as ONNX wants it."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        return self.model(input_ids=ids, attention_mask=mask, token_type_ids=torch.zeros_like(ids)).logits


def export(folder):
    """ONNX files of the student, fused, in f32 and int8."""
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


def main():
    workload = json.loads(pathlib.Path(sys.argv[1]).read_text())
    windows, by_length = workload["windows"], workload["by_length"]
    torch.set_num_threads(2)
    model = load(MODEL)

    def in_torch(model):
        def run(ids, mask):
            with torch.inference_mode():
                model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        return run

    pipelines(windows, model)
    half = load(MODEL).to(torch.bfloat16)
    measure("torch f32", windows, 1, in_torch(model))
    for is_sorted in (True, False):
        measure("torch f32", windows, 32, in_torch(model), is_sorted)
        measure("torch bf16", windows, 32, in_torch(half), is_sorted)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        export(folder)
        for kind in ("f32", "int8"):
            options = ort.SessionOptions()
            options.intra_op_num_threads = 2
            session = ort.InferenceSession(str(folder / f"{kind}.onnx"), options, providers=["CPUExecutionProvider"])
            measure(f"ONNX Runtime {kind}, fused", windows, 1, in_onnx(session))
            for is_sorted in (True, False):
                measure(f"ONNX Runtime {kind}, fused", windows, 32, in_onnx(session), is_sorted)
            for length, equal in by_length.items():
                measure(f"ONNX Runtime {kind}, fused, windows of {length}", equal, 1, in_onnx(session))
            options.intra_op_num_threads = 1
            session = ort.InferenceSession(str(folder / f"{kind}.onnx"), options, providers=["CPUExecutionProvider"])
            latency(f"ONNX Runtime {kind}, fused", windows, in_onnx(session))


main()
