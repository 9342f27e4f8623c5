"""What 8 bits cost in word-level F1 on the dev splits: stillroom's, and those of ONNX Runtime that `peers.py` times.

    pip install torch transformers onnxruntime onnx safetensors tokenizers
    python benches/fidelity.py ../shared/data/corpora

stillroom's rows are of `stillroom eval`, at the student's thresholds; ONNX Runtime's are at one half and in windows cut as `strength.py` cuts
them. Each is compared with the f32 of its own.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import types

import numpy as np
import torch
from tokenizers import Tokenizer

from peers import MODEL, ROOT, export, session_of
from strength import ROWS, TASKS, f1, read

EVAL = ["cargo", "run", "--quiet", "--release", "--bin", "stillroom", "--", "eval", "--json"]


def stillroom(corpora, precision):
    """F1 by row, by the program."""
    scores = {}
    for corpus in {corpus for corpus, _ in ROWS}:
        command = [*EVAL, "--precision", precision, "--model", str(MODEL.resolve()), "--gold", str(corpora / corpus / "dev.jsonl")]
        scores[corpus] = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)["word"]
    return [scores[corpus][TASKS[task]]["f1"] for corpus, task in ROWS]


def onnx_runtime(documents, folder, kind):
    """F1 by row, by a session on what `export` wrote."""
    session, tokenizer = session_of(kind, folder, 2), Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def model(ids):
        logits, = session(ids.numpy(), np.ones(ids.shape, np.int64))
        return types.SimpleNamespace(logits=torch.from_numpy(logits))

    found = {corpus: [read(model, tokenizer, document) for document in of] for corpus, of in documents.items()}
    return [f1(found[corpus], task, lambda document: document["odds"]) for corpus, task in ROWS]


def print_row(name, scores, exact):
    """F1 in f32, or by how much F1 differs from it."""
    differences = [score - of for score, of in zip(scores, exact)]
    cells = [f"{score:.4f}" for score in scores] if scores is exact else [f"{difference:+.4f}" for difference in differences]
    largest = "" if scores is exact else f"{max(map(abs, differences)):.4f}"
    print(f"| {name} | {' | '.join(cells)} | {largest} |", flush=True)


def main(corpora):
    print(f"| | {' | '.join(f'{corpus} {TASKS[task]}' for corpus, task in ROWS)} | largest difference |\n|---|{'---|' * len(ROWS)}---|")
    exact = stillroom(corpora, "f32")
    print_row("stillroom f32", exact, exact)
    print_row("stillroom, 8 bits", stillroom(corpora, "int8"), exact)
    documents = {corpus: [json.loads(line) for line in (corpora / corpus / "dev.jsonl").read_text(encoding="utf-8").splitlines()]
                 for corpus in {corpus for corpus, _ in ROWS}}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        export(folder)
        exact = onnx_runtime(documents, folder, "f32")
        print_row("ONNX Runtime f32", exact, exact)
        for kind, name in (("int8", "int8"), ("int8-by-output", "int8, a scale an output")):
            print_row(f"ONNX Runtime {name}", onnx_runtime(documents, folder, kind), exact)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(pathlib.Path(sys.argv[1]).resolve())
