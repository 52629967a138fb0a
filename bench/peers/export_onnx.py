"""Writes all-MiniLM-L6-v2 (or any BERT) as ONNX with mean pooling and normalization, for onnxruntime.

    python export_onnx.py MODEL_FOLDER OUT.onnx     (needs torch, transformers, onnx)
"""

import sys

import torch
from transformers import AutoModel


class Embedder(torch.nn.Module):
    """What sentence-transformers computes: BERT, masked mean, L2 norm; ids and mask are [texts, longest]."""

    def __init__(self, folder):
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder, attn_implementation="eager").eval()

    def forward(self, input_ids, attention_mask):
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask,
                           token_type_ids=torch.zeros_like(input_ids)).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return torch.nn.functional.normalize(mean, dim=-1)


def main():
    ids = torch.ones(2, 8, dtype=torch.int64)
    axes = {0: "texts", 1: "tokens"}
    torch.onnx.export(Embedder(sys.argv[1]), (ids, ids), sys.argv[2], dynamo=False, opset_version=17,
                      input_names=["input_ids", "attention_mask"], output_names=["vectors"],
                      dynamic_axes={"input_ids": axes, "attention_mask": axes, "vectors": {0: "texts"}})


if __name__ == "__main__":
    main()
