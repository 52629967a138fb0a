"""Batches of token ids, as sheaf-engine-bench reads them: a batch a line, texts separated by ';', ids by spaces."""

import numpy as np


def read(path):
    return [[[int(i) for i in text.split()] for text in line.split(";")] for line in path.read_text().splitlines()]


def write(path, batches):
    path.write_text("".join(";".join(" ".join(map(str, t)) for t in batch) + "\n" for batch in batches))


def texts_of(lengths, first=4, last=70, begin=(), end=(), seed=1):
    """Texts of these lengths, ids from `first` to `last` between `begin` and `end`."""
    rng = np.random.default_rng(seed)
    return [[*begin, *rng.integers(first, last, max(0, n - len(begin) - len(end))).tolist(), *end][:n] for n in lengths]


def pad(batch, padding):
    """What those that cannot do without padding are given: ids and mask, [texts, longest]."""
    longest = max(map(len, batch))
    ids = np.full((len(batch), longest), padding, np.int64)
    mask = np.zeros_like(ids)
    for row, text in enumerate(batch):
        ids[row, :len(text)] = text
        mask[row, :len(text)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def tokens_of(batches):
    return sum(len(text) for batch in batches for text in batch)
