"""What other decodings, and features of open vocabularies, would make of a student on the dev splits: word-level F1, nothing trained but
two to four weights a task by two-fold cross-validation.

    pip install torch==2.* transformers==5.* safetensors tokenizers
    python benches/strength.py models/stillroom-minilm-l6 ../shared/data/corpora ../shared/data/vocab
"""
import csv
import json
import pathlib
import re
import sys

import numpy as np
import torch
from tokenizers import Tokenizer

from weights import load

TASKS = ["disease", "medication", "symptom"]
ROWS = [("ncbi_disease", 0), ("bc5cdr", 0), ("bc5cdr", 1), ("maccrobat", 0), ("maccrobat", 1), ("maccrobat", 2)]
# Word pieces of a window, and from one window to the next; what two windows show is taken from each by half.
WINDOW, STRIDE = 510, 382
WORDS_MAX = 8


def pieces_probabilities(model, ids):
    """The probability of class I, `[pieces, tasks]`, of a text of any length."""
    found = np.zeros((len(ids), len(TASKS)))
    for start in range(0, max(1, len(ids) - WINDOW + STRIDE), STRIDE) if len(ids) > WINDOW else [0]:
        window = ids[start:start + WINDOW]
        with torch.no_grad():
            logits = model(torch.tensor([[101, *window, 102]])).logits[0, 1:-1].reshape(-1, len(TASKS), 2)
        inside = torch.softmax(logits, -1)[:, :, 1].numpy()
        first = start if start == 0 else start + (WINDOW - STRIDE) // 2
        found[first:start + len(window)] = inside[first - start:]
    return found


def read(model, tokenizer, document):
    """Words of a document, their log odds and gold labels, `[words, tasks]`."""
    encoded = tokenizer.encode(document["text"], add_special_tokens=False)
    probabilities = pieces_probabilities(model, encoded.ids)
    words = {}
    for piece, word in enumerate(encoded.word_ids):
        words.setdefault(word, []).append(piece)
    spans = [(encoded.offsets[pieces[0]][0], encoded.offsets[pieces[-1]][1]) for pieces in words.values()]
    gold = np.zeros((len(spans), len(TASKS)), bool)
    for entity in document["entities"]:
        for row, (start, end) in enumerate(spans):
            gold[row, TASKS.index(entity["task"])] |= start < entity["end"] and end > entity["start"]
    mean = np.clip([probabilities[pieces].mean(0) for pieces in words.values()], 1e-5, 1 - 1e-5)
    texts = [document["text"][start:end].lower() for start, end in spans]
    return {"words": texts, "odds": np.log(mean / (1 - mean)), "gold": gold}


def f1(documents, task, decode):
    counts = np.zeros(3)
    for document in documents:
        tagged, gold = decode(document)[:, task] >= 0, document["gold"][:, task]
        counts += [(tagged & gold).sum(), tagged.sum(), gold.sum()]
    return 2 * counts[0] / (counts[1] + counts[2])


def neighbours(strength):
    """Posterior log odds of a chain of two states, whose neighbours are the likelier equal by e^(4 strength)."""
    def decode(document):
        odds, messages = document["odds"], np.zeros((2, *document["odds"].shape))
        step = lambda x: np.logaddexp(strength + x, -strength) - np.logaddexp(-strength + x, strength)
        for at in range(1, len(odds)):
            messages[0, at] = step(messages[0, at - 1] + odds[at - 1])
            messages[1, -at - 1] = step(messages[1, -at] + odds[-at])
        return odds + messages.sum(0)
    return decode


def same_words(share):
    """A share of the mean log odds of all places of a word in the document."""
    def decode(document):
        places, odds = {}, document["odds"].copy()
        for at, word in enumerate(document["words"]):
            if len(word) > 2:
                places.setdefault(word, []).append(at)
        for at in places.values():
            odds[at] = (1 - share) * document["odds"][at] + share * document["odds"][at].mean(0)
        return odds
    return decode


def vocabularies(folder):
    """Names of every table, as tuples of words."""
    split = re.compile(r"\w+|[^\w\s]")
    for path in sorted(pathlib.Path(folder).glob("*.tsv")):
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            yield {tuple(split.findall(row["synonym"].lower())) for row in rows if len(row["synonym"]) > 3}


def marks(words, names):
    """1 where the longest match from the left lies, `[words]`."""
    found, at = np.zeros(len(words)), 0
    while at < len(words):
        length = next((n for n in range(WORDS_MAX, 0, -1) if tuple(words[at:at + n]) in names), 0)
        found[at:at + length] = 1
        at += max(1, length)
    return found


def with_features(documents, task, use_vocabularies):
    """F1 of a logistic regression on the log odds, and on marks of the vocabularies beside them, by two-fold cross-validation."""
    def features(document):
        odds = document["odds"][:, task:task + 1]
        marked = [document["marks"], document["marks"] * odds] if use_vocabularies else []
        return torch.tensor(np.hstack([np.ones_like(odds), odds, *marked]))
    folds = [documents[0::2], documents[1::2]]
    decoded = {}
    for train, test in (folds, folds[::-1]):
        inputs = torch.cat([features(document) for document in train])
        gold = torch.tensor(np.concatenate([document["gold"][:, task] for document in train])).double()
        weights = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.LBFGS([weights], max_iter=200)

        def loss():
            optimizer.zero_grad()
            value = torch.nn.functional.binary_cross_entropy_with_logits(inputs @ weights, gold)
            value.backward()
            return value

        optimizer.step(loss)
        for document in test:
            odds = (features(document) @ weights.detach()).numpy()
            decoded[id(document)] = np.repeat(odds[:, None], len(TASKS), 1)
    return f1(documents, task, lambda document: decoded[id(document)])


def main(folder, corpora, vocabulary):
    model, tokenizer = load(pathlib.Path(folder)).eval(), Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    names, documents = list(vocabularies(vocabulary)), {}
    for corpus in {corpus for corpus, _ in ROWS}:
        lines = pathlib.Path(corpora, corpus, "dev.jsonl").read_text(encoding="utf-8").splitlines()
        documents[corpus] = [read(model, tokenizer, json.loads(line)) for line in lines]
        for document in documents[corpus]:
            document["marks"] = np.stack([marks(document["words"], of) for of in names], 1)
    decodings = {"as it is": lambda document: document["odds"]}
    decodings |= {f"neighbours alike, {strength}": neighbours(strength) for strength in (0.1, 0.2, 0.3)}
    decodings |= {f"the same word alike, {share}": same_words(share) for share in (0.2, 0.4)}
    rows = {name: [f1(documents[corpus], task, decode) for corpus, task in ROWS] for name, decode in decodings.items()}
    for name, use in (("regression on the odds", False), ("regression on odds and vocabularies", True)):
        rows[name] = [with_features(documents[corpus], task, use) for corpus, task in ROWS]
    print("| | " + " | ".join(f"{corpus} {TASKS[task]}" for corpus, task in ROWS) + " | mean |")
    print("|---" * (len(ROWS) + 2) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{value:.4f}" for value in [*row, np.mean(row)]) + " |")


if __name__ == "__main__":
    main(*sys.argv[1:])
