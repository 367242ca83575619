"""Unit conversion: °C to °F for one tag, bar to psi for a whole group without a loop.

config: {name: us-units, point: transform, file: hooks/unit_conversion.py, groups: [press1.fast],
         keep_raw: true}

`oil_temp` and the pressures are replaced: they keep their names and get a new type and unit. With keep_raw
the values as they were read stand beside them, as `oil_temp.raw` and so on.
"""

from holdfast_hooks import Frame

OUTPUTS = {"oil_temp": "float32 °F", "pressure[1..4]": "float32 psi"}


def transform(frame: Frame) -> None:
    frame["oil_temp"] = frame["oil_temp"] * 1.8 + 32
    frame.set_columns("pressure[1..4]", frame.columns("pressure[1..4]") * 14.5038)
