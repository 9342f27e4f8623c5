"""Models of the shapes of the published bases with random weights, each in a format that such bases are published in, and how far
stillroom's logits of them are from transformers': prints a table.

    pip install torch==2.* transformers==5.* safetensors && python benches/bases.py /tmp/bases
"""
import json
import os
import pathlib
import subprocess
import sys

import torch
from transformers import BertConfig, BertForTokenClassification, DistilBertConfig, DistilBertForTokenClassification

ROOT = pathlib.Path(__file__).parents[1]
LABELS = {i: f"{tag}-{task}" for i, (task, tag) in
          enumerate((task, tag) for task in ("disease", "medication", "symptom") for tag in "OI")}
LENGTHS = [512, 310, 64, 7]  # word pieces of the texts
MODELS = {
    "bert-base-uncased": (BertForTokenClassification, BertConfig(vocab_size=30522, id2label=LABELS), "safetensors"),
    "biobert, bioclinbert": (BertForTokenClassification, BertConfig(vocab_size=28996, id2label=LABELS), "legacy"),
    "distilbert-base": (DistilBertForTokenClassification, DistilBertConfig(vocab_size=30522, id2label=LABELS), "archive"),
}


def write(folder, kind, config, form):
    torch.manual_seed(1)
    model = kind(config).eval()
    folder.mkdir(parents=True, exist_ok=True)
    if form == "safetensors":
        model.save_pretrained(folder)
    else:
        config.save_pretrained(folder)
        state = model.state_dict()
        if form == "legacy":  # from TensorFlow, with matrices in columns
            state = {name: value.t().contiguous().t() if value.dim() == 2 else value for name, value in state.items()}
        torch.save(state, folder / "pytorch_model.bin", _use_new_zipfile_serialization=form == "archive")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + [f"piece{i}" for i in range(5, config.vocab_size)]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n")
    cases = []
    for length in LENGTHS:
        ids = torch.cat([torch.tensor([2]), torch.randint(5, config.vocab_size, (length - 2,)), torch.tensor([3])])
        with torch.no_grad():
            cases.append({"ids": ids.tolist(), "logits": model(ids[None]).logits[0].tolist()})
    (folder / "logits.json").write_text(json.dumps({"cases": cases}))


def main():
    for name, model in MODELS.items():
        write(pathlib.Path(sys.argv[1]) / f"{name} ({model[2]})", *model)
    figures = ["cargo", "run", "--release", "--example", "figures", "--", "parity"]
    subprocess.run(figures, cwd=ROOT, check=True, env=os.environ | {"STILLROOM_BASES": sys.argv[1]})


main()
