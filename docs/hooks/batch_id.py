"""Batch id: one text from several numbers that the PLC keeps apart.

config: {name: batch-id, point: transform, file: hooks/batch_id.py, groups: [mixer.recipe]}
"""

from holdfast_hooks import Frame

OUTPUTS = {"batch_id": "string"}


def transform(frame: Frame) -> None:
    line, year, day, number = frame["line"], frame["year"], frame["day_of_year"], frame["batch_number"]
    # 0 is what the PLC has between two batches.
    frame["batch_id"] = f"L{line}-{year % 100:02d}{day:03d}-{number:04d}" if number else ""
