"""Completion of command lines in bash, zsh and fish, for any program built on argparse.

The shell's part is a few lines that hand over the words typed so far and print the answer; what may follow
is found here, by walking the program's own parser. So a new command or option is completed without a
change, and names come from the config that the words name. Standard library alone; both programs use it.
"""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

SHELLS: Final = ("bash", "zsh", "fish")

# What an argument takes is told by its metavar: files and directories by the shell, names by a provider.
FILES: Final = frozenset(("FILE", "PATH"))
DIRECTORIES: Final = frozenset(("DIR",))

# (what the current word begins with, the arguments given so far by their dest) → whole words.
Provider: TypeAlias = Callable[[str, Mapping[str, str]], Iterable[str]]


@dataclass(frozen=True, slots=True)
class Answer:
    """mode: words, nospace (more may follow in the same word), files, directories. words: with their help."""

    mode: str
    words: list[tuple[str, str]] = field(default_factory=list)

    @property
    def text(self) -> str:
        """What the shells' functions read: the mode, then a line for each word, its help after a tab."""
        return "".join(f"{line}\n" for line in (self.mode, *("\t".join(pair) for pair in self.words)))


@dataclass(slots=True)
class _Place:
    """Where the words before the current one lead to. waiting: the option whose value comes next."""

    parser: argparse.ArgumentParser
    given: dict[str, str] = field(default_factory=dict)
    waiting: argparse.Action | None = None
    passed: int = 0
    known: bool = True

    @property
    def positional(self) -> argparse.Action | None:
        """The positional argument whose turn it is."""
        actions = [action for action in self.parser._actions if not action.option_strings]
        return actions[self.passed] if self.passed < len(actions) else None

    def take(self, word: str) -> None:
        if self.waiting is not None:
            self.given[self.waiting.dest] = word
            self.waiting = None
        elif word.startswith("-") and word != "-":
            self._take_option(word)
        elif isinstance(self.positional, argparse._SubParsersAction):
            self.known = word in self.positional.choices
            if self.known:
                self.parser, self.passed = self.positional.choices[word], 0
        elif self.positional is not None:
            self.given[self.positional.dest] = word
            self.passed += self.positional.nargs in (None, "?")

    def _take_option(self, word: str) -> None:
        name, equals, value = word.partition("=")
        action = self.parser._option_string_actions.get(name)
        if action is None:
            return
        self.given[action.dest] = value
        if action.nargs != 0 and not equals:
            self.waiting = action


def complete(
    parser: argparse.ArgumentParser, words: Sequence[str], providers: Mapping[str, Provider]
) -> Answer:
    """words: what was typed after the program's name; the last one is being typed, and may be empty.

    providers: by metavar, what its arguments can be.
    """
    *before, current = words or [""]
    place = _Place(parser)
    for word in before:
        place.take(word)
    if not place.known:
        return Answer("words")
    name, equals, value = current.partition("=")
    if place.waiting is not None:
        return _values(place.waiting, current, place, providers)
    if equals and name in place.parser._option_string_actions:
        found = _values(place.parser._option_string_actions[name], value, place, providers)
        return Answer(found.mode, [(f"{name}={word}", about) for word, about in found.words])
    if current.startswith("-") or place.positional is None:
        return Answer("words", _options(place, current))
    return _values(place.positional, current, place, providers)


def _options(place: _Place, current: str) -> list[tuple[str, str]]:
    """Those that were not given yet; of two names the long one, unless the short one is being typed."""
    found = []
    for action in place.parser._actions:
        names = [name for name in action.option_strings if name.startswith(current)]
        if names and action.dest not in place.given and action.help is not argparse.SUPPRESS:
            found.append((names[-1], _first_line(action.help)))
    return found


def _values(
    action: argparse.Action, current: str, place: _Place, providers: Mapping[str, Provider]
) -> Answer:
    if isinstance(action, argparse._SubParsersAction):
        pairs = [(str(each.dest), _first_line(each.help)) for each in action._choices_actions]
        return Answer("words", [pair for pair in pairs if pair[0].startswith(current)])
    if action.choices is not None:
        return Answer("words", [(str(each), "") for each in action.choices if str(each).startswith(current)])
    metavar = str(action.metavar)
    if metavar in FILES or metavar in DIRECTORIES:
        return Answer("files" if metavar in FILES else "directories")
    provider = providers.get(metavar)
    if provider is None:
        return Answer("words")
    words = sorted(word for word in set(provider(current, place.given)) if word.startswith(current))
    # `CONNECTION[.TAG]`: a dot may follow.
    mode = "nospace" if "." in metavar and "." not in current else "words"
    return Answer(mode, [(word, "") for word in words])


def _first_line(text: str | None) -> str:
    return (text or "").splitlines()[0] if text else ""


_BASH: Final = r"""
_FUNCTION() {
    local line="${COMP_LINE:0:COMP_POINT}" mode text about
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    local word="${words[-1]}"
    # Bash replaces what stands after the last of these characters only.
    local kept="${word%"${word##*[:=]}"}"
    COMPREPLY=()
    {
        read -r mode
        while IFS=$'\t' read -r text about; do
            text="${text#"$kept"}"
            [[ $text =~ [^[:alnum:]_.:/=@%+,-] ]] && printf -v text %q "$text"
            COMPREPLY+=("$text")
        done
    } < <("${1/#\~/$HOME}" completion bash "${words[@]:1}" 2> /dev/null)
    word="${word#"$kept"}"
    case $mode in
        files) compopt -o filenames 2> /dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
        directories) compopt -o filenames 2> /dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
        nospace) compopt -o nospace 2> /dev/null ;;
    esac
}
complete -F _FUNCTION PROGRAM
"""
_ZSH: Final = r"""#compdef PROGRAM
_FUNCTION() {
    local -a lines items
    local line mode
    lines=("${(@f)$("${(Q)words[1]}" completion zsh "${(@Q)words[2,$CURRENT]}" 2> /dev/null)}")
    mode=$lines[1]
    for line in "${(@)lines[2,-1]}"; do
        items+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
    done
    case $mode in
        files) _files ;;
        directories) _files -/ ;;
        nospace) _describe -t values PROGRAM items -S '' ;;
        *) _describe -t values PROGRAM items ;;
    esac
}
if [[ ${funcstack[1]} == _FUNCTION ]]; then _FUNCTION "$@"; else compdef _FUNCTION PROGRAM; fi
"""
_FISH: Final = r"""
function __FUNCTION
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] completion fish $words[2..-1] "$current" 2> /dev/null)
    switch "$lines[1]"
        case files
            __fish_complete_path "$current"
        case directories
            __fish_complete_directories "$current"
        case '*'
            printf '%s\n' $lines[2..-1]
    end
end
complete -c PROGRAM -f -a '(__FUNCTION)'
"""
_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str, program: str) -> str:
    """What a shell sources to complete `program`, which answers to `completion SHELL WORD …`."""
    function = program.replace("-", "_")
    return _SCRIPTS[shell].lstrip("\n").replace("FUNCTION", function).replace("PROGRAM", program)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command `completion`, in either program."""
    parser.add_argument("shell", choices=SHELLS, help="whose script to print")
    # Not an option: argparse would keep a `--` among the words for itself.
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="WORD",
        help="print what may follow these words instead, as the script asks for it",
    )  # fmt: skip


def answer(
    args: argparse.Namespace, parser: argparse.ArgumentParser, providers: Mapping[str, Provider]
) -> str:
    """What the command `completion` prints."""
    return complete(parser, args.words, providers).text if args.words else script(args.shell, parser.prog)
