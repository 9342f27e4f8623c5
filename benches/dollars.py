"""Dollars a note: this student on this machine, and language models at their prices, beside what the published study says.

    pip install tokenizers                                        # Python 3.11
    cargo build --release && python benches/dollars.py

The student reads annotated documents as notes by `extract`; its time a note is that of as many notes again, so that its start does not
count, and all cores read. The median of three, and the machine's price is [prices] usd_an_hour of studies/public.toml.

No model over the network is asked: what one would cost is computed from the prices that come with stillroom, as they stood on --day. In:
the prompt for all tasks and the note. Out: the annotations in the form that models are to answer in, with three words before each.
Tokens are counted as word pieces of the student's tokenizer, as the vendors' own are not here: these put some signs of JSON together,
so the answer is counted high. The schema of the answer, reasoning and answers that fail are not counted. It is an estimate, and no bill.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time
import tomllib

from tokenizers import Tokenizer

ROOT = pathlib.Path(__file__).resolve().parent.parent
TEACHERS, STUDENT = ROOT / "operators/teachers", ROOT / "models/stillroom-minilm-l6"
BEFORE_WORDS = 3
# Vedula et al., arXiv 2501.00031: seconds a note of its student; how many times as fast and as cheap that is as each model.
PUBLISHED_SECONDS = 0.14
PUBLISHED = {"gpt-4o-2024-08-06": (12, 85), "o1-mini-2024-09-12": (4, 101), "gemini-1.5-flash-002": (8, 2)}


def seconds_a_note(binary, texts, repeat):
    """The student's, over all cores: the median with the least and the most."""
    with tempfile.TemporaryDirectory() as folder:
        folder, measured = pathlib.Path(folder), []

        def extract(times):
            notes = folder / f"{times}.jsonl"
            many = [{"note_id": f"{turn}-{at}", "text": text} for turn in range(times) for at, text in enumerate(texts)]
            notes.write_text("".join(json.dumps(note) + "\n" for note in many))
            began = time.monotonic()
            subprocess.run([binary, "extract", notes, "--model", STUDENT, "-o", folder / "out"], check=True,
                           stderr=subprocess.DEVNULL)
            return time.monotonic() - began

        extract(1)
        for _ in range(repeat):
            once, twice = extract(1), extract(2)
            measured.append((twice - once) / len(texts))
    return statistics.median(measured), min(measured), max(measured)


def answer(document):
    """The annotations of a document, as a model is to answer."""
    text = document["text"]
    findings = [{"task": entity["task"], "text": text[entity["start"]:entity["end"]],
                 "before": " ".join(text[:entity["start"]].split()[-BEFORE_WORDS:])} for entity in document["entities"]]
    return json.dumps({"findings": findings}, ensure_ascii=False)


def prices(day):
    """The row of each model that was valid on a day."""
    rows = tomllib.loads((TEACHERS / "prices.toml").read_text())["price"]
    return {row["model"]: row for row in sorted(rows, key=lambda row: row["valid_from"]) if row["valid_from"] <= day}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    price = tomllib.loads((ROOT / "studies/public.toml").read_text())["prices"]["usd_an_hour"]
    parser.add_argument("--binary", default=ROOT / "target/release/stillroom", type=pathlib.Path)
    parser.add_argument("--gold", default=ROOT.parent / "shared/data/corpora/maccrobat/train.jsonl", type=pathlib.Path,
                        help="documents that are annotated for all tasks")
    parser.add_argument("--usd-an-hour", default=price, type=float, help="of this machine")
    parser.add_argument("--day", default="2024-12-31", help="of the vendors' prices; that of the study by default")
    parser.add_argument("--repeat", default=3, type=int)
    return parser.parse_args()


def main():
    args = arguments()
    documents = [json.loads(line) for line in args.gold.read_text().split("\n") if line]
    tokenizer = Tokenizer.from_file(str(STUDENT / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def tokens(texts):
        return sum(len(encoded.ids) for encoded in tokenizer.encode_batch(texts, add_special_tokens=False)) / len(texts)

    note, out = tokens([document["text"] for document in documents]), tokens(list(map(answer, documents)))
    prompt = tokens([(TEACHERS / "prompts/all.v1.txt").read_text()])
    seconds, least, most = seconds_a_note(args.binary, [document["text"] for document in documents], args.repeat)
    ours = args.usd_an_hour / 3600 * seconds
    print(f"{len(documents)} notes of {note:.0f} word pieces on average; the prompt has {prompt:.0f}, and an answer {out:.0f}\n")
    print("| | seconds a note | dollars a million notes | times what this student costs | as published |\n|---|---|---|---|---|")
    print(f"| this student, {args.usd_an_hour:.2f} dollars an hour | {seconds:.4f} ({least:.4f} to {most:.4f}) | {ours * 1e6:.2f} | 1 | |")
    print(f"| the student of the study, as it says | {PUBLISHED_SECONDS} | | | |")
    for model, row in prices(args.day).items():
        usd = ((prompt + note) * row["in_usd"] + out * row["out_usd"]) / 1e6
        faster, cheaper = PUBLISHED.get(model, (None, ""))
        took = f"{faster} times that of the study's student" if faster else ""
        print(f"| {model}, prices of {args.day} | {took} | {usd * 1e6:,.0f} | {usd / ours:,.0f} | {cheaper} |")


main()
