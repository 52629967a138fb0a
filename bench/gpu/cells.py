"""Which models and lengths are measured, and what is to be reached (docs/cuda.md)."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Cell:
    model: str  # of bench/peers/checkpoints.py
    length: int
    goal: float  # tokens a second
    flop: float  # a token, of products with weights
    dtype: str = ""  # behind the kind of device in a backend's name; empty: what others are measured in

    @property
    def name(self):
        return f"{self.model}, {self.length} tokens" + (f", {self.dtype}" if self.dtype else "")


CELLS = [
    Cell("minilm-l6", 50, 16e6, 21.2e6),
    Cell("minilm-l6", 256, 16e6, 21.2e6),
    Cell("bert-base", 50, 3.0e6, 169.9e6),
    Cell("bert-base", 128, 3.1e6, 169.9e6),
    Cell("bert-base", 512, 2.9e6, 169.9e6),
    Cell("bert-large", 128, 0.92e6, 604e6),
    Cell("bert-large", 512, 0.88e6, 604e6),
    Cell("deberta-v3-base", 512, 1.8e6, 169.9e6),
    Cell("qwen3-0.6b", 512, 0.60e6, 880.8e6),
    Cell("qwen3-4b", 512, 80e3, 7266.6e6),
]
NARROW = ["minilm-l6"]  # of at most 384 columns
# Half as fast again as bfloat16 should be, on cards.
FP8 = [Cell(cell.model, cell.length, 1.5 * cell.goal, cell.flop, dtype)
       for cell in CELLS if cell.model in ("bert-large", "qwen3-0.6b", "qwen3-4b") and cell.length == 512
       for dtype in ("fp8", "fp8 with attention")]
# Meant for Ampere's cards; nowhere slower than bfloat16 should be.
INT8 = [Cell(cell.model, cell.length, cell.goal, cell.flop, "int8") for cell in CELLS
        if cell.model in ("bert-large", "qwen3-0.6b") and cell.length == 512]
LATENCY = Cell("minilm-l6", 16, 0, 21.2e6)
LATENCY_GOAL_US = 150
# Of loading: a process's start to its first vector, and a packed model's way back to the card.
LOAD_GOALS = {"minilm-l6": {"goal s": 1.5}, "bert-base": {"goal ms": 50}}


def chosen(words, cells=None):
    return [cell for cell in (CELLS if cells is None else cells) if all(word in cell.name for word in words.split())]
