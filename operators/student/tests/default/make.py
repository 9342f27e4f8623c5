"""Writes the logits that transformers computes with the student in `models/`, for `src/parity.rs`; again after every new student.

    pip install torch==2.* transformers==5.* safetensors tokenizers && python make.py
"""
import json
import pathlib
import sys

import torch
from tokenizers import Tokenizer

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[3]
sys.path.insert(0, str(ROOT / "benches"))
from weights import load  # noqa: E402

MODEL = ROOT / "models/stillroom-minilm-l6"
LONG = """HPI: 67 y/o man with T2DM, HTN and stage 3 chronic kidney disease c/o worsening dyspnoea and bilateral leg swelling for
5 days. Denies chest pain, palpitations, fever or cough. Ran out of furosemide last week. No sick contacts. PMH: coronary artery
disease s/p PCI 2019, atrial fibrillation on apixaban 5 mg b.i.d., gout, obstructive sleep apnoea. Medications: metformin 500 mg
twice daily, lisinopril 20 mg daily, atorvastatin 80 mg at night, allopurinol 100 mg. Allergies: penicillin (rash). Exam: T 37.2
°C, BP 162/94, HR 104 irregular, SpO₂ 91 % on room air; JVP raised, bibasal crackles, pitting oedema to the knees. Labs: NT-proBNP
4,810 pg/mL, creatinine 2.1 mg/dL (baseline 1.6), K 5.1 mmol/L, troponin negative × 2. Chest X-ray: cardiomegaly, small pleural
effusions. A/P: acute decompensated heart failure, likely from non-adherence; IV furosemide 80 mg, strict input/output, daily
weights. Hold metformin and lisinopril given acute kidney injury. Rate control with metoprolol. Follow up nausea, which began
after colchicine was started for a gout flare."""
TEXTS = ["Pt c/o severe headache & photophobia – no fever; started on sumatriptan 50 mg.",
         "Naproxen-induced gastric ulcer in a patient with rheumatoid arthritis.",
         "Frau Müller, 5 µg/kg Fentanyl, SpO₂ 93 % – pas de fièvre. \U0001f912",
         LONG]


def main():
    model, tokenizer, cases = load(MODEL), Tokenizer.from_file(str(MODEL / "tokenizer.json")), []
    tokenizer.no_truncation()
    tokenizer.no_padding()
    for text in TEXTS:
        ids = tokenizer.encode(text).ids
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0]
        cases.append({"text": text, "ids": ids, "logits": [[round(x, 6) for x in row] for row in logits.tolist()]})
    (HERE / "logits.json").write_text(json.dumps({"cases": cases}, ensure_ascii=False) + "\n")


main()
