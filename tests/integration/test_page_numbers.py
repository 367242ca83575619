"""How the page writes numbers, in a real JavaScript engine (Node.js)."""

import json
import subprocess
from pathlib import Path

PAGE = Path(__file__).parents[2] / "edge_agent" / "web" / "page"
# What the module finds in a browser, as far as numbers need it.
BROWSER = """
globalThis.fetch = async () => ({ json: async () => ({}) });
globalThis.localStorage = { getItem: () => "en" };
"""
WRITE = """
const script = Buffer.from(process.argv[1]).toString("base64");
const { value } = await import(`data:text/javascript;base64,${script}`);
console.log(JSON.stringify(process.argv.slice(2).map((text) => value(JSON.parse(text)))));
"""
SHOWN = {
    "0.10000000149011612": "0.1",  # a float32
    "16777.216796875": "16777.217",
    "1.2345678901234567": "1.2345678901234567",
    "123456.78901234": "123456.78901234",
    "1234567.25": "1234567.25",
    "0.30000000000000004": "0.3",  # 3 × 0.1
    "0.3000000000000001": "0.3000000000000001",
    "-273.15": "-273.15",
    "9007199254740991": "9007199254740991",
    '"18446744073709551615"': "18446744073709551615",
    "0.00001": "1e-5",
    "0": "0",
}


def test_a_number_keeps_the_digits_that_it_has() -> None:
    script = (PAGE / "texts.js").read_text()
    command = ["node", "--input-type=module", "-e", BROWSER + WRITE, "--", script, *SHOWN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    assert dict(zip(SHOWN, json.loads(done.stdout), strict=True)) == SHOWN
