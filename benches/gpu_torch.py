"""PyTorch on the weights and windows that `benches/gpu` has measured stillroom on: bf16, scaled dot-product attention, compiled.

    python benches/gpu_torch.py --device cuda --out target/gpu-figures --seconds 200

Reads OUT/windows.json and the students in OUT and models/. Word pieces a second, padding never counted; windows are sorted by length
and padded to multiples of 64 in batches of a budget, so that there are few shapes to compile.
"""
import argparse
import json
import pathlib
import time

MODELS = {"base": None, "minilm": "models/stillroom-minilm-l6", "tiny": None}
BUDGETS = (32768, 131072)


def batches(windows, budget):
    """Windows by falling length in batches of `budget` word pieces, padded to a multiple of 64 of the longest."""
    order, at = sorted(windows, key=len, reverse=True), 0
    while at < len(order):
        length = -(-len(order[at]) // 64) * 64
        rows = max(1, budget // length)
        yield order[at : at + rows], rows, length
        at += rows


def tensors(torch, windows, budget, device):
    """The batches as tensors of word pieces and masks; the last is filled up, so that its shape is one of the others'."""
    for part, rows, length in batches(windows, budget):
        ids = torch.zeros((rows, length), dtype=torch.long)
        mask = torch.zeros((rows, length), dtype=torch.long)
        mask[:, 0] = 1
        for row, window in enumerate(part):
            ids[row, : len(window)] = torch.tensor(window)
            mask[row, : len(window)] = 1
        ids, mask = (t.pin_memory() if device != "cpu" else t for t in (ids, mask))
        yield ids, mask


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--device", default="cuda")
    options.add_argument("--out", type=pathlib.Path, required=True)
    options.add_argument("--seconds", type=float, default=200)
    options.add_argument("--eager", action="store_true", help="do not compile")
    options = options.parse_args()
    end = time.monotonic() + options.seconds
    try:
        import torch

        from weights import load
    except ImportError as missing:
        print(f"without {missing.name}, PyTorch is not measured")
        return
    device = "cpu" if options.device == "cpu" else "cuda"
    windows = json.loads((options.out / "windows.json").read_text())
    pieces, rows = sum(map(len, windows)), []
    sync = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    print(f"\nPyTorch {torch.__version__}, bf16, sdpa\n\n| | | |\n|---|---|---|")
    for name, folder in MODELS.items():
        folder = pathlib.Path(folder) if folder else options.out / name
        if not folder.exists() or (name == "minilm" and device == "cpu"):
            continue
        for compiled in (False,) if options.eager else (True, False):
            for budget in BUDGETS if device == "cuda" else (2048,):
                if time.monotonic() > end:
                    print(f"left out for want of time: PyTorch {name}, budget {budget}, compiled {compiled}")
                    continue
                model = load(folder).to(device=device, dtype=torch.bfloat16)
                model.set_attn_implementation("sdpa")
                # One compilation for all shapes: one for each would take longer than there is.
                run = torch.compile(model, dynamic=True) if compiled else model
                ready = list(tensors(torch, windows, budget, device))

                def once():
                    outputs = []
                    for ids, mask in ready:
                        ids, mask = (t.to(device, non_blocking=True) for t in (ids, mask))
                        logits = run(input_ids=ids, attention_mask=mask).logits
                        inside = torch.softmax(logits.unflatten(-1, (-1, 2)).float(), -1)[..., 1]
                        outputs.append(inside.to("cpu", non_blocking=True))
                    sync()
                    return outputs

                with torch.inference_mode():
                    began = time.perf_counter()
                    once()
                    warm, rounds, began = time.perf_counter() - began, 0, time.perf_counter()
                    while rounds == 0 or time.perf_counter() - began < 4:
                        once()
                        rounds += 1
                    seconds = time.perf_counter() - began
                padded = sum(ids.numel() for ids, _ in ready)
                row = {"word pieces/s": rounds * pieces / seconds, "padding %": 100 * (1 - pieces / padded), "warm-up s": warm}
                of = f"{name} bf16, {'compiled' if compiled else 'eager'}, {budget} pieces a batch"
                print(f"| PyTorch | {of} | " + "; ".join(f"{key} {value:.{0 if value > 100 else 1}f}" for key, value in row.items()) + " |", flush=True)
                rows.append({"what": "PyTorch", "of": of, "figures": row})
                (options.out / "torch.json").write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1))
                del model, run
    print()


main()
