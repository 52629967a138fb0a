"""One peer as a program that runs a workload once for every line it reads, as sheaf-engine-bench does.

    python contender.py KIND MODEL_FOLDER WORKLOAD --threads N --vectors FILE --converted FOLDER

First it prints a line of JSON with its version and the time of its first run, whose answers it writes to FILE as floats;
then {"wall", "cpu"} in seconds for each line. A model is converted once, into --converted.
"""

import argparse
import dataclasses
import importlib
import json
import os
import pathlib
import sys
import time

import numpy as np

import model_files
import workload


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@dataclasses.dataclass
class Task:
    model: pathlib.Path  # a folder as the hub has them
    converted: pathlib.Path  # where what it is converted to is kept
    batches: list
    threads: int

    def padded(self):
        padding = json.loads((self.model / "config.json").read_text()).get("pad_token_id") or 0
        return [workload.pad(batch, padding) for batch in self.batches]


def optimize(task, plain, path):
    from onnxruntime.transformers import optimizer
    config = json.loads((task.model / "config.json").read_text())
    optimizer.optimize_model(str(plain), "bert", num_heads=config["num_attention_heads"],
                             hidden_size=config["hidden_size"], opt_level=0).save_model_to_file(str(path))


def onnx_graph(task, optimized=False):
    """The graph as exported, or after onnxruntime's own optimizer of transformers."""
    def export(path):
        import export_onnx
        export_onnx.export(str(task.model), str(path))
    plain = model_files.once(task.converted / "plain.onnx", export)
    if optimized:
        return str(model_files.once(task.converted / "optimized.onnx", lambda path: optimize(task, plain, path)))
    return str(plain)


class OnnxRuntime:
    def __init__(self, task, optimized=False):
        import onnxruntime
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        self.version = onnxruntime.__version__
        self.session = onnxruntime.InferenceSession(onnx_graph(task, optimized), options,
                                                    providers=["CPUExecutionProvider"])
        self.batches = task.padded()

    def run(self):
        return [self.session.run(None, batch)[0] for batch in self.batches]


class OnnxRuntimeOptimized(OnnxRuntime):
    def __init__(self, task):
        super().__init__(task, optimized=True)


class OpenVino:
    PRECISION = "f32"

    def __init__(self, task):
        import openvino
        self.version = openvino.__version__.split("-")[0]
        settings = {"INFERENCE_NUM_THREADS": task.threads, "INFERENCE_PRECISION_HINT": self.PRECISION,
                    "PERFORMANCE_HINT": "LATENCY"}
        self.request = openvino.Core().compile_model(onnx_graph(task), "CPU", settings).create_infer_request()
        self.batches = task.padded()

    def run(self):
        return [self.request.infer(batch)[0].copy() for batch in self.batches]


class OpenVinoBf16(OpenVino):
    PRECISION = "bf16"


class OnnxRuntimeInt8(OnnxRuntime):
    """Weights of one scale a column, activations of one a tensor, as onnxruntime's own quantizer has them."""

    def __init__(self, task):
        super().__init__(task)
        import onnxruntime
        from onnxruntime.quantization import quantize_dynamic
        plain = onnx_graph(task)
        path = model_files.once(task.converted / "int8.onnx",
                                lambda path: quantize_dynamic(plain, str(path), per_channel=True))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = task.threads
        self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class CTranslate2:
    """The encoder is theirs; pooling and the classifier's head, which it lacks, are numpy's."""

    def __init__(self, task, precision="float32"):
        import ctranslate2
        self.version = ctranslate2.__version__
        def convert(path):
            from ctranslate2.converters import TransformersConverter
            TransformersConverter(str(task.model)).convert(str(path), force=True)
        converted = model_files.once(task.converted / "ctranslate2", convert)
        self.encoder = ctranslate2.Encoder(str(converted), device="cpu", compute_type=precision,
                                           intra_threads=task.threads)
        self.batches = task.batches
        self.pooling = model_files.pooling_of(task.model)
        self.head = None if self.pooling else classifier_head(task.model)

    def run(self):
        return [self.finish(np.array(self.encoder.forward_batch(batch).last_hidden_state), batch)
                for batch in self.batches]

    def finish(self, states, batch):
        if self.head:
            inner, inner_bias, outer, outer_bias = self.head
            return np.tanh(states[:, 0] @ inner.T + inner_bias) @ outer.T + outer_bias
        if self.pooling == "cls":
            return unit(states[:, 0])
        return unit(np.stack([states[i, :len(text)].mean(0) for i, text in enumerate(batch)]))


class CTranslate2Bf16(CTranslate2):
    def __init__(self, task):
        super().__init__(task, precision="bfloat16")


class CTranslate2Int8(CTranslate2):
    def __init__(self, task):
        super().__init__(task, precision="int8")


def classifier_head(folder):
    """Weights of XLM-RoBERTa's head for sequences."""
    from safetensors import safe_open
    with safe_open(folder / "model.safetensors", "np") as weights:
        names = [f"classifier.{layer}.{part}" for layer in ("dense", "out_proj") for part in ("weight", "bias")]
        return [weights.get_tensor(name) for name in names]


class SentenceTransformers:
    """Its modules, given ids in place of texts. Its fp32 answers are the reference for all others."""

    def __init__(self, task, dtype="float32"):
        import torch
        import sentence_transformers
        torch.set_num_threads(task.threads)
        self.torch, self.version = torch, f"{sentence_transformers.__version__}, torch {torch.__version__}"
        self.embeds = model_files.pooling_of(task.model) is not None
        kind = sentence_transformers.SentenceTransformer if self.embeds else sentence_transformers.CrossEncoder
        # float32 is asked for: a file of bfloat16 would be computed so.
        self.model = kind(str(task.model), device="cpu", model_kwargs={"dtype": getattr(torch, dtype)}).eval()
        self.batches = [{name: torch.from_numpy(value) for name, value in batch.items()} for batch in task.padded()]

    def run(self):
        with self.torch.inference_mode():
            return [self.answer(dict(batch)).float().numpy() for batch in self.batches]

    def answer(self, features):
        if self.embeds:
            return self.model(features)["sentence_embedding"]
        return self.model.model(**features).logits


class SentenceTransformersBf16(SentenceTransformers):
    def __init__(self, task):
        super().__init__(task, "bfloat16")


class MatrixPeak:
    """Products of two 1024-cubes, the fastest library of those here; what all others are held against."""

    SIZE, TIMES = 1024, 40

    def __init__(self, task):
        found = {name: self.product(make(self, task.threads)) for name, make in (
            ("numpy (OpenBLAS)", MatrixPeak.numpy), ("torch (MKL)", MatrixPeak.torch),
            ("oneDNN by torch", MatrixPeak.one_dnn), ("oneDNN by OpenVINO", MatrixPeak.openvino))}
        for product in found.values():  # threads and caches awake
            product()
        seconds = {name: min(timed(product) for _ in range(3)) for name, product in found.items()}
        best = min(seconds, key=seconds.get)
        self.run, self.version = found[best], best
        self.flop = 2 * self.SIZE**3 * self.TIMES
        self.start = {"gflop": self.flop * 1e-9,
                      "gflop_per_s": {name: round(self.flop * 1e-9 / value, 1) for name, value in seconds.items()}}

    def product(self, once):
        def several():
            for _ in range(self.TIMES):
                once()
            return []
        return several

    def cubes(self):
        rng = np.random.default_rng(1)
        return [rng.standard_normal((self.SIZE, self.SIZE), np.float32) for _ in range(2)]

    def numpy(self, threads):
        import threadpoolctl
        threadpoolctl.threadpool_limits(threads)
        a, b = self.cubes()
        out = np.empty_like(a)
        return lambda: np.matmul(a, b, out=out)

    def torch(self, threads):
        import torch
        torch.set_num_threads(threads)
        a, b = map(torch.from_numpy, self.cubes())
        out = torch.empty_like(a)
        return lambda: torch.mm(a, b, out=out)

    def one_dnn(self, threads):
        import torch
        torch.set_num_threads(threads)
        a, b = (torch.from_numpy(x).to_mkldnn() for x in self.cubes())
        return lambda: torch.nn.functional.linear(a, b)

    def openvino(self, threads):
        import openvino
        import openvino.opset13 as op
        a, b = self.cubes()
        left = op.parameter([self.SIZE, self.SIZE], np.float32)
        graph = openvino.Model([op.matmul(left, op.constant(b), False, False)], [left])
        settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        request = openvino.Core().compile_model(graph, "CPU", settings).create_infer_request()
        request.set_input_tensor(openvino.Tensor(a))
        return request.infer


KINDS = {"onnxruntime": OnnxRuntime, "onnxruntime, optimized": OnnxRuntimeOptimized, "OpenVINO": OpenVino,
         "OpenVINO bf16": OpenVinoBf16, "onnxruntime int8": OnnxRuntimeInt8, "ctranslate2": CTranslate2,
         "ctranslate2 bf16": CTranslate2Bf16, "ctranslate2 int8": CTranslate2Int8,
         "sentence-transformers": SentenceTransformers, "sentence-transformers bf16": SentenceTransformersBf16,
         "llama.cpp f32": "llama:F32", "llama.cpp q8_0": "llama:Q8", "llama.cpp f32, 1024 words": "llama:F32FewWords",
         "matrix peak": MatrixPeak}


def contender_of(kind):
    found = KINDS[kind]
    if not isinstance(found, str):
        return found
    module, name = found.split(":")
    return getattr(importlib.import_module(module), name)


def timed(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("workload", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--vectors", type=pathlib.Path, required=True)
    parser.add_argument("--converted", type=pathlib.Path, required=True)
    args = parser.parse_args()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # where libraries write to, those in C too
    args.converted.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    contender = contender_of(args.kind)(Task(args.model, args.converted, workload.read(args.workload), args.threads))
    opened = time.perf_counter()
    answers = contender.run()
    if answers:
        np.concatenate(answers).astype(np.float32).tofile(args.vectors)
    print(json.dumps({"version": contender.version, "open_seconds": opened - start,
                      "first_run_seconds": time.perf_counter() - opened} | getattr(contender, "start", {})),
          file=out, flush=True)
    for _ in sys.stdin:
        cpu = time.process_time()
        print(json.dumps({"wall": timed(contender.run), "cpu": time.process_time() - cpu}), file=out, flush=True)


if __name__ == "__main__":
    main()
