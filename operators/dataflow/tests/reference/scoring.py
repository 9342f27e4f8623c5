"""Writes scoring.json: random labels with the figures of scikit-learn, seqeval and scipy, for tests/scoring_reference.rs.

Needs Python 3.11, scikit-learn 1.9.1, seqeval 1.2.2, scipy 1.17.1. To write it again, from this folder:

    python3 -m venv /tmp/scoring && /tmp/scoring/bin/pip install scikit-learn==1.9.1 seqeval==1.2.2 scipy==1.17.1
    /tmp/scoring/bin/python scoring.py > scoring.json

Each case is a small corpus. Labels are drawn as IOB2 tags over words, because IOB2 keeps adjacent spans apart as annotations do;
the spans are then written in code points, some of them with ragged ends inside their first and last words, which must not matter.
- word: scikit-learn's precision, recall and F1 of class I over all words, and its confusion matrix.
- span_exact: seqeval's strict entities of the scheme IOB2: its precision, recall and F1, and its sets of entities counted.
- span_overlap: the size of a maximum bipartite matching of spans that share a word, by scipy.
"""

import json
import random

import numpy
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_bipartite_matching
from seqeval.metrics import v1 as seqeval
from seqeval.scheme import IOB2, Entities
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

CASES, DOCUMENTS, WORDS = 40, 4, 28


def draw_words(rng, count):
    at, words = 0, []
    for _ in range(count):
        start = at + rng.choice([0, 1, 1, 1, 1, 2, 9])
        at = start + rng.choice([1, 2, 3, 4, 5, 7, 11])
        words.append((start, at))
    return words


def draw_tags(rng, count, density):
    tags = []
    for _ in range(count):
        inside = bool(tags) and tags[-1] != "O"
        if inside and rng.random() < 0.5:
            tags.append("I-X")
        else:
            tags.append("B-X" if rng.random() < density else "O")
    return tags


def disturb(rng, tags, noise):
    """A prediction: mostly the reference, with tags redrawn and stray I mended, so that hits and misses both occur."""
    drawn = draw_tags(rng, len(tags), rng.random())
    mixed = [d if rng.random() < noise else t for t, d in zip(tags, drawn)]
    return ["B-X" if t == "I-X" and (i == 0 or mixed[i - 1] == "O") else t for i, t in enumerate(mixed)]


def word_ranges(tags):
    ranges = []
    for i, tag in enumerate(tags):
        if tag == "B-X":
            ranges.append([i, i + 1])
        elif tag == "I-X":
            ranges[-1][1] = i + 1
    return ranges


def spans(rng, words, tags):
    result = []
    for first, last in word_ranges(tags):
        (start, first_end), (last_start, end) = words[first], words[last - 1]
        if rng.random() < 0.2:
            start, end = rng.randrange(start, first_end), rng.randrange(last_start, end) + 1
        # In a word of one span both ragged ends may cross: keep the span whole then.
        result.append((start, end) if start < end else (words[first][0], words[last - 1][1]))
    return result


def overlap_pairs(predicted, reference):
    if not predicted or not reference:
        return 0
    shared = [[int(p[0] < r[1] and r[0] < p[1]) for r in reference] for p in predicted]
    return int((maximum_bipartite_matching(csr_matrix(numpy.array(shared)), perm_type="column") >= 0).sum())


def figures(tp, predicted, reference, precision, recall, f1):
    counts = {"tp": int(tp), "fp": int(predicted - tp), "fn": int(reference - tp)}
    # As strings, because not every JSON reader gives back the last bit of a number.
    return counts | {"precision": repr(float(precision)), "recall": repr(float(recall)), "f1": repr(float(f1))}


def word_figures(true, predicted):
    flat_true = [int(t != "O") for tags in true for t in tags]
    flat_predicted = [int(t != "O") for tags in predicted for t in tags]
    (_, fp), (fn, tp) = confusion_matrix(flat_true, flat_predicted, labels=[0, 1])
    p, r, f, _ = precision_recall_fscore_support(
        flat_true, flat_predicted, labels=[1], average="micro", zero_division=0)
    return figures(tp, tp + fp, tp + fn, p, r, f)


def exact_figures(true, predicted):
    p, r, f, _ = seqeval.precision_recall_fscore_support(
        true, predicted, average="micro", scheme=IOB2, zero_division=0)
    t = {e.to_tuple() for sentence in Entities(true, IOB2).entities for e in sentence}
    q = {e.to_tuple() for sentence in Entities(predicted, IOB2).entities for e in sentence}
    return figures(len(t & q), len(q), len(t), p, r, f)


def overlap_figures(true, predicted):
    tp = sum(overlap_pairs(word_ranges(q), word_ranges(t)) for t, q in zip(true, predicted))
    reference = sum(tag == "B-X" for tags in true for tag in tags)
    given = sum(tag == "B-X" for tags in predicted for tag in tags)
    precision, recall = tp / max(given, 1), tp / max(reference, 1)
    return figures(tp, given, reference, precision, recall, 2 * tp / max(given + reference, 1))


def case(rng, density, noise):
    documents, true, predicted = [], [], []
    for _ in range(DOCUMENTS):
        words = draw_words(rng, rng.randrange(1, WORDS + 1))
        true.append(draw_tags(rng, len(words), density))
        predicted.append(disturb(rng, true[-1], noise))
        documents.append({
            "words": words,
            "reference": spans(rng, words, true[-1]),
            "predicted": spans(rng, words, predicted[-1]),
        })
    return {
        "documents": documents,
        "word": word_figures(true, predicted),
        "span_exact": exact_figures(true, predicted),
        "span_overlap": overlap_figures(true, predicted),
    }


def main():
    rng = random.Random(20240229)
    settings = [(0.0, 0.0), (0.0, 0.5), (1.0, 0.0), (1.0, 1.0)]
    settings += [(rng.uniform(0.02, 0.6), rng.uniform(0.0, 0.8)) for _ in range(CASES - len(settings))]
    cases = [case(rng, density, noise) for density, noise in settings]
    print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]")


if __name__ == "__main__":
    main()
