"""File, environment and flags -> Settings, or one ConfigError with everything that is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from edgesync.config.agreements import disagreements
from edgesync.config.api import LOCAL_TOKEN, STATE, ApiSettings, state_folder
from edgesync.config.complaints import complaints
from edgesync.config.document import Document, read_document
from edgesync.config.file import File
from edgesync.config.overrides import CONFIG_VARIABLE, lay_over
from edgesync.config.places import KeyPath, Place, Problem
from edgesync.config.schema import JournalSettings
from edgesync.config.settings import Settings, settings_of
from edgesync.config.syntax import MAX_BYTES, place_at
from edgesync.errors import ConfigError

DEFAULT_PATH = Path("/etc/edgesync/edgesync.yaml")

# More than anybody corrects in one go.
_MOST_PROBLEMS = 100
_NO_FLAGS: Mapping[str, str] = {}


def load(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] = _NO_FLAGS,
) -> Settings:
    """Read the configuration. Flags (`overrides`, by dotted key) beat the environment, which beats the file.

    The file is `path`, else EDGESYNC_CONFIG, else DEFAULT_PATH. ConfigError lists every mistake, or the first one that
    keeps the rest from being read.
    """
    document = _document(path, environ, overrides)
    checked, found = _check(document)
    problems = _sorted((*document.problems, *found))
    if checked is None or problems:
        raise _refusal(problems)
    return settings_of(checked, document.places)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """How commands on this host reach the daemon."""

    url: str = ApiSettings().url
    # The credential that it made for them.
    token: Path = STATE / LOCAL_TOKEN
    # By which they know it; None: plain HTTP.
    certificate: Path | None = None


def reach(
    path: Path | None = None,
    environ: Mapping[str, str] = os.environ,
    overrides: Mapping[str, str] = _NO_FLAGS,
) -> Reach:
    """How to reach the daemon, whatever else is wrong: one that runs on has refused that, and tells of it.

    ConfigError when it is the address that can't be read.
    """
    document = _document(path, environ, overrides).data
    try:
        api = ApiSettings.model_validate(document.get("api") or {})
    except ValidationError:
        api = load(path, environ, overrides).api
    try:
        journal = JournalSettings.model_validate(document.get("journal") or {})
    except ValidationError:
        journal = JournalSettings()
    return Reach(
        url=api.url,
        token=state_folder(journal.url) / LOCAL_TOKEN,
        certificate=Path(api.certificate) if api.certificate else None,
    )


def _document(path: Path | None, environ: Mapping[str, str], overrides: Mapping[str, str]) -> Document:
    file = path or Path(environ.get(CONFIG_VARIABLE) or DEFAULT_PATH)
    document = read_document(_text(file), str(file))
    lay_over(document, environ, overrides)
    return document


def _check(document: Document) -> tuple[File | None, list[Problem]]:
    found = list(disagreements(document))
    try:
        return File.model_validate(document.data), found
    except ValidationError as error:
        return None, [*found, *complaints(document, error)]


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    """In the order of the file, and of several complaints about one value only the first."""
    first: dict[tuple[Place, KeyPath], Problem] = {}
    for problem in problems:
        first.setdefault((problem.place, problem.path), problem)
    return sorted(first.values(), key=lambda problem: problem.order)


def _refusal(problems: list[Problem]) -> ConfigError:
    remedy = "Nothing was changed. Correct this and try `edgesync config check`."
    if len(problems) > _MOST_PROBLEMS:
        remedy = f"These are the first {_MOST_PROBLEMS} of {len(problems)} problems. {remedy}"
    return ConfigError([str(problem) for problem in problems[:_MOST_PROBLEMS]], remedy=remedy)


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise _unreadable(file, error) from error
    if len(content) > MAX_BYTES:
        raise ConfigError([f"{file}:1:1: larger than 1 MiB, which no configuration is; name another file"])
    try:
        return content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        problem = f"{place_at(before, len(before), str(file))}: not UTF-8; save the file in that encoding"
        raise ConfigError([problem]) from error


def _unreadable(file: Path, error: OSError) -> ConfigError:
    match error:
        case FileNotFoundError():
            remedy = (
                f"Write it, or name another with --config or {CONFIG_VARIABLE}; deploy/edgesync.yaml is an example."
            )
        case IsADirectoryError():
            remedy = f"Name a file with --config or {CONFIG_VARIABLE}."
        case _:
            remedy = "Let the user that runs edgesync read it."
    return ConfigError([f"{file}: can't be read: {error.strerror or error}"], remedy=remedy)
