"""PyTorch on a workload, once for every line it reads, as sheaf-engine-bench does (bench/peers/rounds.py).

    python torch_peer.py MODEL_FOLDER WORKLOAD [--compile] [--device cuda] [--dtype bfloat16] [--vectors FILE]

Texts of a batch have one length, so that nothing is padded. Ids come from the host batch by batch, and vectors go back.
"""

import argparse
import json
import pathlib
import sys
import time

import numpy as np
import torch
import transformers

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "peers"))

import workload  # noqa: E402


def pooling_of(folder):
    return json.loads((folder / "1_Pooling/config.json").read_text())["pooling_mode"]


def attention_of(folder):
    """SDPA takes no tables of positions, and transformers refuses it for DeBERTa."""
    return "eager" if json.loads((folder / "config.json").read_text())["model_type"] == "deberta-v2" else "sdpa"


class Model:
    def __init__(self, folder, device, dtype, compiled):
        transformers.logging.set_verbosity_error()
        self.device = device
        self.pooling = pooling_of(folder)
        self.model = transformers.AutoModel.from_pretrained(folder, dtype=dtype, attn_implementation=attention_of(folder))
        self.model.to(device).eval()
        self.run = torch.compile(self.embed) if compiled else self.embed

    def embed(self, ids):
        states = self.model(input_ids=ids).last_hidden_state
        if self.pooling == "mean":
            pooled = states.float().mean(1)
        else:
            pooled = states[:, 0 if self.pooling == "cls" else -1].float()
        return torch.nn.functional.normalize(pooled, dim=1)

    @torch.inference_mode()
    def answer(self, batches):
        return [self.run(torch.from_numpy(ids).to(self.device, non_blocking=True)).cpu().numpy() for ids in batches]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("workload", type=pathlib.Path)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--vectors", type=pathlib.Path)
    args = parser.parse_args()
    batches = [np.array(batch, np.int64) for batch in workload.read(args.workload)]
    model = Model(args.model, args.device, getattr(torch, args.dtype), args.compile)
    start = time.perf_counter()
    vectors = model.answer(batches)
    first = time.perf_counter() - start
    if args.vectors:
        np.concatenate(vectors).astype(np.float32).tofile(args.vectors)
    print(json.dumps({"version": torch.__version__, "first_run_seconds": first}), flush=True)
    while input_line():
        start = time.perf_counter()
        model.answer(batches)
        print(json.dumps({"wall": time.perf_counter() - start}), flush=True)


def input_line():
    try:
        input()
        return True
    except EOFError:
        return False


if __name__ == "__main__":
    main()
