"""A student of stillroom as a model of Hugging Face's transformers: 8-bit matrices are multiplied out."""
import pathlib

import torch
from safetensors.torch import load_file
from transformers import BertConfig, BertForTokenClassification


def load(folder: pathlib.Path) -> BertForTokenClassification:
    """The student in `folder`, ready for inference."""
    stored = load_file(folder / "model.safetensors")
    scales = {name: scale for name, scale in stored.items() if name.endswith("_scale")}
    weights = {
        name: tensor.float() * scales[f"{name}_scale"][:, None] if f"{name}_scale" in scales else tensor
        for name, tensor in stored.items()
        if name not in scales
    }
    config = BertConfig.from_pretrained(folder)
    model = BertForTokenClassification(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if [name for name in missing if not name.endswith("position_ids")] or unexpected:
        raise SystemExit(f"{folder}: missing {missing}, unexpected {unexpected}")
    return model.eval()
