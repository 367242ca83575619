"""What a centre asks of the agent's rules: one set of them, and no driver loaded in the centre.

`edge-agent check --requests` reads a JSON object a line and answers each with one: `{"sections": {…}}` judges
a document, `{"tags": BASE64, "file": NAME, "encoding": NAME or null}` reads a tag list, `{"config": PATH}`
takes the sections that a centre can manage out of a local file. An answer has `problems` and `warnings` (path
and message, for files line and column too) and what was read as `content`. It ends with its input.
"""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

from edge_agent.cli.context import Context, Judgement, Problem, UsageError
from edge_agent.cli.headroom import judge
from edge_agent.contracts.exit_codes import ExitCode

Answer: TypeAlias = dict[str, Any]
# The first are the cause of the others, and the centre keeps them.
MAX_TOLD: Final = 200


def judge_file(file: str, context: Context) -> Answer:
    """Raises UsageError where the file is no JSON object."""
    import orjson

    try:
        sections = orjson.loads(context.stdin.read() if file == "-" else Path(file).read_bytes())
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file}: not JSON: {error}") from error
    if not isinstance(sections, dict):
        raise UsageError(f'{file}: needs a JSON object of sections, such as {{"connections": []}}')
    return _of_judgement(context.app.judge(sections))


def serve(context: Context) -> int:
    """Until the input ends."""
    import orjson

    for line in context.stdin:
        try:
            request = orjson.loads(line)
        except ValueError as error:
            raise UsageError(f"not a request: {error}") from error
        # Names of an enum's raw values are numbers here, and texts in JSON.
        answer = orjson.dumps(_answer(request, context), option=orjson.OPT_NON_STR_KEYS)
        context.out.write(answer.decode() + "\n")
        context.out.flush()
    return ExitCode.GOOD


def _answer(request: Mapping[str, Any], context: Context) -> Answer:
    match request:
        case {"sections": dict(sections)}:
            return _of_judgement(context.app.judge(sections))
        case {"tags": str(text)}:
            data = base64.b64decode(text)
            file, encoding = str(request.get("file", "tags.csv")), request.get("encoding")
            return _of_judgement(context.app.read_tags(data, file, encoding))
        case {"config": str(path)}:
            return _of_judgement(context.app.take_sections(Path(path)))
    raise UsageError("a request has sections, tags or config")


def _of_judgement(judgement: Judgement) -> Answer:
    warnings = [_record(problem) for problem in judgement.warnings]
    verdict = judge(judgement.plans)
    # An agent runs with these, too: that they cannot be kept is for people to know.
    warnings += [{"path": "", "message": text} for text in (*verdict.errors, *verdict.warnings)]
    return {
        "valid": not judgement.problems,
        "problems": [_record(problem) for problem in judgement.problems[:MAX_TOLD]],
        "warnings": warnings[:MAX_TOLD],
        "content": None if judgement.problems else judgement.content,
    }


def _record(problem: Problem) -> Answer:
    place = problem.place
    record: Answer = {"path": problem.path, "message": problem.message}
    if place.line is not None:
        record |= {"file": place.file, "line": place.line, "column": place.column}
    return record
