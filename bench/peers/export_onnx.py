"""Writes a BERT or XLM-RoBERTa as ONNX, for onnxruntime and OpenVINO: what its folder says it answers with.

    python export_onnx.py MODEL_FOLDER OUT.onnx     (needs torch, transformers, onnx)
"""

import sys

import torch
import transformers

import model_files


class Embedder(torch.nn.Module):
    """What sentence-transformers computes: body, CLS or masked mean, L2 norm; ids and mask are [texts, longest]."""

    def __init__(self, folder, pooling):
        super().__init__()
        self.body = transformers.AutoModel.from_pretrained(folder, attn_implementation="eager").eval()
        self.pooling = pooling

    def forward(self, input_ids, attention_mask):
        states = self.body(input_ids=input_ids, attention_mask=attention_mask,
                           token_type_ids=torch.zeros_like(input_ids)).last_hidden_state
        if self.pooling == "cls":
            return torch.nn.functional.normalize(states[:, 0], dim=-1)
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=-1)


class Classifier(torch.nn.Module):
    """The head's scores, before any activation."""

    def __init__(self, folder):
        super().__init__()
        self.whole = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder, attn_implementation="eager").eval()

    def forward(self, input_ids, attention_mask):
        return self.whole(input_ids=input_ids, attention_mask=attention_mask,
                          token_type_ids=torch.zeros_like(input_ids)).logits


def export(folder, path):
    pooling = model_files.pooling_of(folder)
    ids = torch.ones(2, 8, dtype=torch.int64)
    axes = {0: "texts", 1: "tokens"}
    torch.onnx.export(Embedder(folder, pooling) if pooling else Classifier(folder), (ids, ids), path, dynamo=False,
                      opset_version=17, input_names=["input_ids", "attention_mask"], output_names=["answers"],
                      dynamic_axes={"input_ids": axes, "attention_mask": axes, "answers": {0: "texts"}})


if __name__ == "__main__":
    export(sys.argv[1], sys.argv[2])
