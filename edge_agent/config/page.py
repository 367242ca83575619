"""docs/reference/config.md: how the YAML is read, then every setting in tables, from the schema."""

from collections.abc import Iterator, Mapping
from typing import Final

from edge_agent.config.sample import flow
from edge_agent.config.schema import Schema, item_models, models, type_words

_HEAD: Final = """\
# The config of edge-agent

Generated from the code (`make docs`): the settings here are those that the program knows. A sample with
all of them is config/edge-agent.yaml; editors that understand JSON Schema take edge-agent.schema.json.

## How the file is read

- The file is UTF-8 and holds one YAML document. Unknown keys are errors, and so is a key that is there
  twice. Words are read as in YAML 1.2: `yes`, `no`, `on`, `off` are texts (a true-or-false setting takes
  them all the same), `010` and `12:30` are no numbers. Keys are texts. `<<: *anchor` merges.
- All problems are reported at once, as `file:line:column: path: message`. In a path the items of lists
  are called by their names: `connections[press1].groups[fast].tags[oil_temp].type`.
- Durations (`500ms`, `2s`, `5m`, `24h`, `7d`; also `us`, `min`), sizes (`256MiB`, `10MB`) and rates
  (`2MiB/s`) need their unit.
- `${NAME}` in a value is that environment variable, `${NAME:-value}` has a default for when it is unset or
  empty, `$${` stands for `${`. A variable that is not set is an error.
- `!secret NAME` is the content of a file, without blanks around it: `$CREDENTIALS_DIRECTORY/NAME`
  or `$CREDENTIALS_DIRECTORY/secret_NAME` (systemd's `LoadCredential=NAME:FILE` or `=secret:DIRECTORY`),
  else `secrets/NAME`, else `NAME` beside the config file. A name with a slash is a path relative to the
  config file. A file that everybody can read gives a warning.
- `include: FILE` takes the content of a file (or of several: a list, or a pattern such as
  `conf.d/*.yaml`), relative to the file it stands in. Mappings are merged; the lists `connections`,
  `groups` and `tags` are put one behind the other; a value that is set in two files is an error. Alone in
  a mapping it stands for the file's content, which may then be a list.
- `tags: [{include: tags.csv}]` takes tags from a spreadsheet: files called .csv, .tsv or .txt are tag
  lists, Kepware's exports too. `encoding: cp949` beside it names their character set where it is not
  recognised. [tag-lists.md](../tag-lists.md) has the columns.
- `name: "zone[01..16]"` stands for zone01 … zone16: the numbers get the width of the first. The address
  is then a range that holds all of them (`holding:200..215`); each tag gets an equal share of it.
- Relative paths are relative to the config file. `edge-agent reload` takes a changed file over, and says
  what takes effect with the next start alone, such as `agent.id` and `buffer.path`.

What the centre sends is a JSON object of the sections that `remote.manage` names; each replaces the local
one whole. It knows no variables, secrets and includes: `{"secret": "NAME"}` stands for the entry NAME of
the local `secrets:`. Its problems have paths that begin with `remote:`.

Where the file does not say it, these variables of the environment count:

| variable | setting |
| --- | --- |
| `DEVICE_ID` | `agent.id` |
| `COMPANY_CODE` | the label `company` |
| `FLEET_API_URL` | `central.url` (without `/api/fleet`); the token is then `!secret central-token` |
| `HEARTBEAT_INTERVAL` | `central.heartbeat_interval`, in seconds |
| `MQTT_BROKER_URL` | none: a warning; see [mqtt-uplink.md](../mqtt-uplink.md) |
"""
_TABLE: Final = ("| setting | takes | default | meaning |", "| --- | --- | --- | --- |")


def page(schema: Schema) -> str:
    defs = schema["$defs"]
    lines: list[str] = []
    for name, field in schema["properties"].items():
        lines += ["", f"## {name}", ""]
        inner = models(field, defs)
        if inner:
            lines += [field.get("description") or inner[0].get("description", ""), ""]
            lines += _model(inner[0], defs, name)
            continue
        items = item_models(field, defs)
        lines += [_meaning(field) if items else f"{_meaning(field)} Takes: {type_words(field, defs)}."]
        for item in items:
            driver = item["properties"].get("driver", {}).get("const", "")
            lines += ["", f"### {name}[] with driver {driver}", "", item.get("description", ""), ""]
            lines += _model(item, defs, f"{name}[]")
    return _HEAD + "\n".join(lines) + "\n"


def _model(model: Schema, defs: Mapping[str, Schema], path: str) -> Iterator[str]:
    """The model's table, then those of the models in it."""
    required = model.get("required", ())
    yield from _TABLE
    for name, field in model["properties"].items():
        default = "**required**" if name in required else _default(field)
        yield f"| `{name}` | {_cell(_takes(field, defs))} | {default} | {_cell(_meaning(field))} |"
    for name, field in model["properties"].items():
        for inner in models(field, defs):
            yield from _below(inner, defs, f"{path}.{name}")
        for inner in item_models(field, defs):
            yield from _below(inner, defs, f"{path}.{name}[]")


def _below(model: Schema, defs: Mapping[str, Schema], path: str) -> Iterator[str]:
    yield from ("", f"#### {path}", "", model.get("description", ""), "")
    yield from _model(model, defs, path)


def _takes(field: Schema, defs: Mapping[str, Schema]) -> str:
    return "list, see below" if item_models(field, defs) else type_words(field, defs)


def _default(field: Schema) -> str:
    default = field.get("default")
    return "" if default in (None, "") else f"`{flow(default)}`"


def _meaning(field: Schema) -> str:
    text = field.get("description", "")
    examples = " ".join(f"`{flow(example)}`" for example in field.get("examples", ()))
    return f"{text} Example: {examples}." if examples else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
