"""Writes the tiny BERT beside this file and the logits that transformers computes with it, for tests/parity.rs.

    pip install torch==2.* transformers==5.* safetensors tokenizers && python make.py

The weights are random and large, so that every part of the network matters to the logits."""
import json
import pathlib

import torch
from safetensors.torch import save_file
from tokenizers import BertWordPieceTokenizer
from transformers import BertConfig, BertForTokenClassification

HERE = pathlib.Path(__file__).parent
WORDS = """the patient has had no of for with and was is on started denies reports seen today daily mg , . : - ( )
asthma gout anaemia angina sepsis migraine eczema malaria aspirin metformin heparin digoxin warfarin insulin codeine statin
fever cough nausea rash pain fatigue itch vertigo severe mild chronic acute old new left right hyper ##tension ##itis ##emia
arthr nephr 1 2 5 10 100 a b c d e f g ##a ##b ##c ##d ##s µ ° é x y""".split()
TEXTS = ["The patient has severe asthma and nausea, started on aspirin 100 mg daily.",
         "Arthritis: denies fever.",
         "Chronic hypertension with angina. Seen today for mild vertigo - no rash (itch), warfarin 5 mg.\n\nMigraine is new."]

def main():
    torch.manual_seed(1)
    (HERE / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] + WORDS) + "\n")
    labels = [f"{tag}-{task}" for task in ("disease", "medication", "symptom") for tag in "OI"]
    config = BertConfig(vocab_size=5 + len(WORDS), hidden_size=48, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=96, max_position_embeddings=512, initializer_range=0.3,
                        id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})
    model = BertForTokenClassification(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, HERE / "model.safetensors")
    config.save_pretrained(HERE)
    tokenizer = BertWordPieceTokenizer(str(HERE / "vocab.txt"), lowercase=True)
    cases = []
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        cases.append({"text": text, "ids": ids, "logits": [[round(x, 6) for x in row] for row in logits.tolist()]})
    (HERE / "logits.json").write_text(json.dumps({"cases": cases}, ensure_ascii=False) + "\n")

main()
