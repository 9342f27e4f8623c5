"""What torch makes of the same training steps as `cargo run --release --example figures -- training`.

    pip install torch transformers safetensors
    STILLROOM_WORKLOAD=/tmp/training.json cargo run --release --example figures -- training
    python benches/training.py /tmp/training.json

Batches of 8 windows, sorted by length so that there is little padding, dropout as in the configuration, AdamW, the norm of the
gradient clipped, three pairs of classes a word piece. Word pieces a second, padding never counted: the median of three passes after
one step that warms up, with the least and the most. Each precision has a process of its own for either kind, and its line ends with the
peak of the resident memory of that process, libraries included, as that of `figures` does.
"""
import contextlib
import json
import pathlib
import random
import re
import subprocess
import sys
import time

import torch

from weights import load

ROUNDS = 3
BATCH = 8
MODEL = pathlib.Path(__file__).parent.parent / "models/stillroom-minilm-l6"


def batches(windows):
    """Windows of like length together, in any order: ids, mask, and a class for every word piece and task."""
    order = sorted(windows, key=len)
    parts = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
    random.Random(0).shuffle(parts)
    for part in parts:
        ids = torch.zeros((len(part), max(map(len, part))), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, window in enumerate(part):
            ids[row, : len(window)] = torch.tensor(window)
            mask[row, : len(window)] = 1
        targets = torch.where(mask[..., None].bool(), 0, -100).expand(-1, -1, 3).contiguous()
        yield ids, mask, targets


def step(model, optimizer, batch, precision):
    ids, mask, targets = batch
    narrow = precision == torch.bfloat16
    with torch.autocast("cpu", dtype=torch.bfloat16) if narrow else contextlib.nullcontext():
        logits = model(input_ids=ids, attention_mask=mask).logits
    logits = logits.float().reshape(*targets.shape, 2)
    torch.nn.functional.cross_entropy(logits.flatten(0, 2), targets.flatten()).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()


def freeze(model, layers):
    """As `stillroom train --freeze`."""
    if layers > 0:
        for part in [model.bert.embeddings, *model.bert.encoder.layer[:layers]]:
            part.requires_grad_(False)


def measure(windows, precision, layers):
    """Prints how fast a student learns in `precision` when the embeddings and so many of its layers are frozen."""
    torch.set_num_threads(2)
    tokens = sum(map(len, windows))
    model = load(MODEL).train()
    freeze(model, layers)
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=1e-5, weight_decay=0.01)
    prepared, rates = list(batches(windows)), []
    step(model, optimizer, prepared[0], precision)
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for batch in prepared:
            step(model, optimizer, batch, precision)
        rates.append(tokens / (time.perf_counter() - began))
    rates.sort()
    kib = re.search(r"VmHWM:\s+(\d+)", pathlib.Path("/proc/self/status").read_text())[1]
    print(f"{precision}, {layers} layers frozen: {rates[ROUNDS // 2]:.0f} word pieces/s "
          f"({rates[0]:.0f} to {rates[-1]:.0f}); peak of the process {int(kib) >> 10} MiB", flush=True)


def main():
    path, *which = sys.argv[1:]
    if which:
        precision, layers = which
        return measure(json.loads(pathlib.Path(path).read_text()), getattr(torch, precision), int(layers))
    for precision in ("float32", "bfloat16"):
        for layers in ("0", "3"):
            subprocess.run([sys.executable, __file__, path, precision, layers], check=True)


main()
