"""What a stage found so far, as one JSON and one table."""

import itertools
import json
import time

# What a measured cell stands for: with another program, or on another card, it is measured again.
SAME = ("card", "driver", "programs")


class Results:
    def __init__(self, folder, stage, machine, again):
        self.path = folder / f"{stage}.json"
        self.machine = machine
        self.cells = {}
        before = read(self.path)
        if before and all(before["machine"].get(key) == machine[key] for key in SAME):
            self.cells = {} if again else before["cells"]
        elif self.path.exists():  # of another program or card: kept beside
            self.path.rename(next(path for path in (self.path.with_suffix(f".{i}.json") for i in itertools.count(1))
                                  if not path.exists()))

    def has(self, cell):
        return cell in self.cells

    def keep(self, cell, **figures):
        """Written at once: whoever cuts this off loses one cell at most."""
        self.cells[cell] = figures
        self.write()

    def write(self):
        whole = {"machine": self.machine, "when": time.strftime("%Y-%m-%d %H:%M", time.gmtime()), "cells": self.cells}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(whole, indent=1) + "\n")
        new.replace(self.path)
        table = self.table()
        self.path.with_suffix(".txt").write_text(table)
        return table

    def table(self):
        columns = list(dict.fromkeys(key for figures in self.cells.values() for key in figures))
        rows = [["", *columns], *([cell, *(text_of(figures.get(key)) for key in columns)]
                                  for cell, figures in self.cells.items())]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(value.ljust(width) if i == 0 else value.rjust(width)
                           for i, (value, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
        head = f"{self.machine['card']}, driver {self.machine['driver']}, commit {self.machine['commit'][:12]}\n"
        return head + "\n".join(lines) + "\n"


def read(path):
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None


def text_of(value):
    if value is None:
        return "-"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}" if abs(value) < 0.9 else f"{value:.5g}"
