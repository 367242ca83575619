from collections.abc import Iterator

import pytest

from edge_agent.cli import figures
from edge_agent.cli.text import Cell, Palette, Styled, printable, shortened, table, width


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("oil_temp", 8),
        ("온도", 4),
        ("Ｔ１", 4),
        ("e\u0301", 1),  # e and a combining accent
        ("°C", 2),
        ("", 0),
    ],
)
def test_width_is_what_a_terminal_shows(text: str, columns: int) -> None:
    assert width(text) == columns


def test_columns_of_korean_names_are_aligned() -> None:
    rows = [["온도", "1"], ["oil", "1,000"], ["압력 센서", "7"]]
    assert table(("tag", "value"), rows, {"value"}) == [
        "tag        value",
        "온도           1",
        "oil        1,000",
        "압력 센서      7",
    ]


def test_a_value_cannot_move_the_cursor() -> None:
    assert printable("a\x1b[2Jb\nc\u2028d\ud800e\x9bf") == r"a\x1b[2Jb\nc\u2028d\ud800e\x9bf"
    assert printable("온도 °C ☃ \u00a0") == "온도 °C ☃ \u00a0"


def test_colours_do_not_disturb_the_alignment() -> None:
    rows: list[list[Cell]] = [[Styled("down", "bad"), "x"], [Styled("connected", "good"), "y"]]
    plain = table(("state", "n"), rows)
    painted = table(("state", "n"), rows, palette=Palette(True))
    assert painted[1] == "\x1b[31mdown\x1b[0m       x"
    assert plain[1] == "down       x"


def test_long_text_is_cut_by_columns() -> None:
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefg", 6) == "abcde…"
    assert shortened("가나다라", 6) == "가나…"
    assert shortened("가나다라", 8) == "가나다라"
    assert shortened("e\u0301" * 3, 2) == "e\u0301…"
    assert [shortened("", 0), shortened("a", 0), shortened("가", 1)] == ["", "…", "…"]


def test_a_long_text_is_cut_in_one_pass() -> None:
    class Counted(str):
        looks = 0

        def __iter__(self) -> Iterator[str]:
            for char in str.__iter__(self):
                Counted.looks += 1
                yield char

    assert shortened(Counted("가" * 100_000), 40) == "가" * 19 + "…"
    assert Counted.looks <= 41


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0.0s"), (0.44, "0.4s"), (9.94, "9.9s"), (12.7, "12s"), (60, "1m"), (245, "4m 5s"),
     (11_520, "3h 12m"), (86_400, "1d"), (190_000, "2d 4h")],
)  # fmt: skip
def test_spans(seconds: float, text: str) -> None:
    assert figures.span(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"),
    [(None, "–"), (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (3_565_158, "3.4 MiB"),
     (125_829_120, "120 MiB"), (1 << 62, "4096 PiB")],
)  # fmt: skip
def test_sizes(size: int | None, text: str) -> None:
    assert figures.size(size) == text


def test_times_are_utc_with_milliseconds() -> None:
    assert figures.time(1_767_323_045_678) == "2026-01-02 03:04:05.678Z"
    assert figures.time(0) == "–"


def test_counts() -> None:
    assert [figures.plural(n, "batch") for n in (0, 1, 1_240)] == ["0 batches", "1 batch", "1,240 batches"]
    assert figures.plural(1, "tag") == "1 tag"


def test_intervals_look_like_the_config() -> None:
    assert [figures.interval(s) for s in (0.05, 0.5, 1, 1.5, 60)] == ["50ms", "500ms", "1s", "1.5s", "60s"]
