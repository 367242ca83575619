"""How the process ends: what broke it in one line of the log, and the exit code that systemd judges by."""

import sqlite3

import structlog

from edge_agent.contracts.errors import ConfigError, NotConnected, Unavailable
from edge_agent.contracts.exit_codes import ExitCode
from edge_agent.runtime.errors import EssentialFailed
from edge_agent.runtime.supervise import describe

logger = structlog.stdlib.get_logger(__name__)

# Whoever called tells these to people, with their places; all others are the log's.
_TOLD_BY_CALLER = (ConfigError, Unavailable, NotConnected)


def report(error: BaseException) -> ExitCode:
    """Writes down why the process ends. The exit code."""
    first = _first(error)
    if isinstance(first, EssentialFailed):
        logger.critical("ending: an essential part failed", component=first.part, error=first.text)
        return ExitCode.FAILED
    if isinstance(first, ConfigError):
        logger.critical("ending: the config cannot run", error=describe(first))
        return ExitCode.WRONG
    if isinstance(first, (Unavailable, NotConnected, OSError, sqlite3.Error)):
        logger.critical("ending: something cannot be used", error=describe(first))
        return ExitCode.UNREACHABLE
    logger.critical("ending: a fault of this program", error=repr(first), exc_info=first)
    return ExitCode.FAILED


def judge(error: Exception, where: str) -> ExitCode:
    """The exit code of a run that ended with `error`, which is in the log then. Raises ConfigError,
    Unavailable and NotConnected for the caller to tell. where: the file that could not be used, if the
    error does not say."""
    first = _first(error)
    if isinstance(first, _TOLD_BY_CALLER):
        raise first
    if isinstance(first, OSError):
        raise Unavailable(f"{first.filename or where}: {first.strerror or first}") from error
    if isinstance(first, sqlite3.Error):
        raise Unavailable(f"{where}: {first}") from error
    return report(first)


def _first(error: BaseException) -> BaseException:
    """What failed inside a TaskGroup comes wrapped."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
