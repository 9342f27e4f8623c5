"""Writes the small models beside this file, one of each layout that bases are published in, and the word pieces and logits that
transformers has for them, for `src/parity.rs`.

    pip install torch==2.* transformers==5.* safetensors tokenizers && python make.py

Weights are random and large, so that every part of the network matters to the logits, and rounded to the type that they are
stored in."""
import collections
import json
import pathlib
import shutil

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (AutoModelForTokenClassification, AutoTokenizer, BertConfig, BertForTokenClassification, DistilBertConfig,
                          DistilBertForTokenClassification)

HERE = pathlib.Path(__file__).parent
LABELS = {i: f"{tag}-{task}" for i, (task, tag) in
          enumerate((task, tag) for task in ("disease", "medication", "symptom") for tag in "OI")}
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXTS = ["Pt c/o severe Headache & photophobia; started on Sumatriptan 50 mg.",
         "Frau Müller, 5 µg/kg Fentanyl, SpO₂ 93 % – pas de fièvre. ÉTAT fébrile, NAÏVE Øre, İzmir, ﬁbrosis \U0001f912",
         "患者 has 发热and咳嗽, カタカナ 한국어.",
         "Gout\x00 and\u200b fe\u00advers\x85 was\ufffd seen\ttoday\r\n\u3000no\u00a0rash e\u0301 E\u0300.",
         "a" * 120 + " ok"]


def pieces():
    """Words in both cases, and all letters, so that most of a text is in the vocabulary and the rest is unknown."""
    known = ["Pt", "severe", "Head", "##ache", "head", "photo", "##phobia", "started", "on", "Gout", "gout", "and", "was", "seen",
             "today", "no", "rash", "mg", "fe", "##vers", "Frau", "frau", "Müller", "Muller", "muller", "müller", "Fentanyl", "de"]
    letters = sorted({letter for text in TEXTS for form in (text, text.lower()) for letter in form
                      if letter.isprintable() and not letter.isspace()} | {"e\u0301"} | set("eianuoz"))
    return SPECIAL + known + letters + [f"##{letter}" for letter in letters if letter.isalpha() and ord(letter) < 0x250]


def random_model(kind, config, dtype):
    torch.manual_seed(1)
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn_like(parameter) * (0.1 if parameter.dim() == 1 else 0.25)
            parameter.copy_((noise + (parameter if parameter.dim() == 1 else 0)).to(dtype).float())
    return changed(model.state_dict(), lambda name: name, lambda value: value.to(dtype).contiguous())


def changed(state, rename, convert=lambda value: value):
    """A state dict as torch makes them, which say of which version their modules are."""
    new = collections.OrderedDict((rename(name), convert(value)) for name, value in state.items())
    new._metadata = state._metadata
    return new


def bert(hidden, dtype):
    config = BertConfig(vocab_size=len(pieces()), hidden_size=hidden, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=2 * hidden, max_position_embeddings=512, id2label=LABELS)
    return config, random_model(BertForTokenClassification, config, dtype)


def distilbert(dtype):
    config = DistilBertConfig(vocab_size=len(pieces()), dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=512,
                              id2label=LABELS)
    return config, random_model(DistilBertForTokenClassification, config, dtype)


def write_tokenizer(folder, folding):
    """`vocab.txt`, and what says how letters are folded, if it does."""
    (folder / "vocab.txt").write_text("\n".join(pieces()) + "\n")
    if folding is not None:
        (folder / "tokenizer_config.json").write_text(json.dumps(folding) + "\n")


def write_whole_tokenizer(folder):
    """`tokenizer.json` with truncation and padding, as many are published."""
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces())}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=64)
    tokenizer.save(str(folder / "tokenizer.json"))


def as_published_early(state):
    """The names of layer norms in the first checkpoints, matrices in columns, as they came from TensorFlow, and the heads that they were
    trained with, one of which shares its weights."""
    words = state["bert.embeddings.word_embeddings.weight"]
    state = changed(state, lambda name: name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"),
                    lambda value: value.t().contiguous().t() if value.dim() == 2 and value is not words else value)
    state.update({"bert.embeddings.position_ids": torch.arange(512).expand((1, -1)),
                  "bert.pooler.dense.weight": torch.ones(2, 2), "cls.predictions.decoder.weight": words,
                  "cls.predictions.bias": torch.zeros(len(words)), "cls.seq_relationship.weight": torch.ones(2, 2)})
    return state


def write_reference(folder):
    """What transformers makes of the folder."""
    model, loaded = AutoModelForTokenClassification.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not loaded["missing_keys"], (folder, loaded)
    tokenizer, cases = AutoTokenizer.from_pretrained(folder), []
    for text in TEXTS:
        ids = tokenizer(text, truncation=False, padding=False)["input_ids"]
        with torch.no_grad():
            logits = model.eval()(torch.tensor([ids])).logits[0]
        cases.append({"text": text, "ids": ids, "logits": [[round(x, 6) for x in row] for row in logits.tolist()]})
    (folder / "logits.json").write_text(json.dumps({"cases": cases}, ensure_ascii=False) + "\n")


def main():
    cased, early = {"do_lower_case": False}, bert(16, torch.float32)
    bins = {
        # Parameters, as of a model that was saved without detaching them.
        "archive": (bert(32, torch.bfloat16), {"do_lower_case": True, "tokenize_chinese_chars": False},
                    lambda state: changed(state, lambda name: name, torch.nn.Parameter), True),
        "legacy": (early, None, as_published_early, False),
    }
    safetensors = {
        "prefixed": (bert(32, torch.float16), "whole", lambda name: name),
        "bare": (bert(16, torch.float32), None, lambda name: name.removeprefix("bert.")),
        "cased": (bert(32, torch.float16), cased, lambda name: name),
        "distilbert": (distilbert(torch.float16), {"do_lower_case": True, "strip_accents": False}, lambda name: name),
    }
    for name, ((config, state), folding, rename) in safetensors.items():
        folder = begin(name, config, folding)
        save_file({rename(name): value for name, value in state.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    for name, ((config, state), folding, change, is_archive) in bins.items():
        folder = begin(name, config, folding)
        torch.save(change(state), folder / "pytorch_model.bin", _use_new_zipfile_serialization=is_archive)
    for name in [*safetensors, *bins]:
        write_reference(HERE / name)


def begin(name, config, folding):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    config.save_pretrained(folder)
    write_whole_tokenizer(folder) if folding == "whole" else write_tokenizer(folder, folding)
    return folder


main()
