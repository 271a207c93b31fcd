"""A prompt as it is written and released: its text, the models that it is for, and what an answer must be.

It is written as Markdown: YAML between two lines ``---``, then the instructions as a template
(:mod:`headrace.gateway.templates`). What it names in other files, such as background that several prompts
share, becomes part of it, so that a release is whole::

    ---
    model: openai/gpt-4o-mini
    parameters: {temperature: 0.2, max_tokens: 300}
    context: {company: prompts/company.md}
    variables: {customer: null}
    contract: prompts/answer.json
    ---
    You answer {{ customer }} for us. {{ company }}
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import yaml

from headrace.core.canonical import ADDED, canonical_json, plain
from headrace.core.errors import InvalidInput
from headrace.core.ids import Ref
from headrace.gateway.agent_files import measured
from headrace.gateway.guardrails.rules import guardrails_of, pipeline_of
from headrace.gateway.guardrails.schemas import Schema
from headrace.gateway.templates import compiled, names_in
from headrace.store.documents import convert, from_plain
from headrace.training.archives import pack_files, unpack_files
from headrace.training.lock import is_archived, is_passed_over

MEDIA_TYPE = "application/vnd.headrace.prompt+zip"
MAX_FILE = 256 << 10
_MAX_DATA = 64 << 20
_MOST_FILES = 200
_FENCE = "---"
_FORMAT = 1
_FIXED = frozenset("model messages stream stream_options tools user metadata".split())
"""What no prompt sets among its parameters: it has a place of its own, or is the caller's."""


def is_prompt(ref: str) -> bool:
    """Whether what is released is a prompt, as its reference says.

    >>> is_prompt("prompt:support@3"), is_prompt("model:cars@3")
    (True, False)
    """
    return Ref.parse(ref).kind == "prompt"


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """One prompt, with all that it consists of.

    Attributes:
        template: the instructions; empty: callers' messages go to the model as they are.
        models: ``ENDPOINT/MODEL``; the first answers, and the others in their order where it cannot.
        parameters: of the request, such as ``temperature``; a caller cannot change them.
        tools: that the model may call, as in the request.
        contract: JSON schema of an answer, if consumers rely on one.
        context: background by name, as the files said it when it was released.
        variables: what the template is filled with beside the background, and what each is where a caller
            does not say; None: callers must say it.
        callers_instruct: whether callers may send instructions (``system``, ``developer``) of their own.
        guardrails: as :func:`headrace.gateway.guardrails.rules.guardrails_of` takes them.
        embeddings: the models that make vectors of callers' texts, as ``models``; none unless said.
        moderations: those that judge whether a text is harmful, likewise.
        agent_files: what instructs an agent beside its calls, such as ``AGENTS.md`` and skills, by path
            (:mod:`headrace.gateway.agent_files`).
    """

    template: str
    models: tuple[str, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    tools: tuple[dict[str, Any], ...] = ()
    contract: dict[str, Any] | None = None
    context: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    callers_instruct: bool = False
    guardrails: dict[str, Any] = field(default_factory=dict)
    embeddings: tuple[str, ...] = field(default=(), metadata=ADDED)
    moderations: tuple[str, ...] = field(default=(), metadata=ADDED)
    agent_files: dict[str, str] = field(default_factory=dict, metadata=ADDED)
    format: int = _FORMAT

    def instructions(self, values: Mapping[str, Any]) -> str:
        """The text for one call.

        Raises:
            InvalidInput: a value is missing or unknown, or the text would be too long.

        >>> Prompt(template="Be {{ tone }}.", models=("a/b",), variables={"tone": "kind"}).instructions({})
        'Be kind.'
        """
        unknown = sorted(set(values) - set(self.variables))
        missing = [name for name, value in self.variables.items() if value is None and name not in values]
        if unknown or missing:
            known = ", ".join(self.variables) or "none"
            what = f"does not know {unknown[0]!r}" if unknown else f"needs a value for {missing[0]!r}"
            raise InvalidInput(f"The prompt {what}. Its variables are: {known}.")
        return compiled(self.template)({**self.context, **self.variables, **values})

    @property
    def text(self) -> str:
        """All of it as one text, in which two prompts can be compared line by line."""
        apart = ("template", "context", "agent_files", "format")
        names = [one.name for one in fields(self) if one.name not in apart]
        about = {name: value for name in names if (value := getattr(self, name)) not in ({}, (), None)}
        head = yaml.safe_dump(plain(about), sort_keys=True, allow_unicode=True, width=1_000)
        files = [*sorted(self.context.items()), *sorted(self.agent_files.items())]
        beside = "".join(f"\n[{name}]\n{text}\n" for name, text in files)
        return f"{_FENCE}\n{head}{_FENCE}\n{self.template}\n{beside}"

    def to_bytes(self) -> bytes:
        """The artefact of a release: equal prompts give equal bytes."""
        return pack_files({"prompt.json": canonical_json(self)})

    @classmethod
    def from_bytes(cls, data: bytes) -> Prompt:
        """Undo :meth:`to_bytes`.

        Raises:
            InvalidInput: it is something else, or of another format.
        """
        files = unpack_files(data, "The prompt")
        try:
            raw = json.loads(files["prompt.json"])
        except (KeyError, ValueError) as error:
            raise InvalidInput(f"The prompt's artefact cannot be read: {error!r}. Build it again.") from error
        if not isinstance(raw, dict) or raw.get("format") != _FORMAT:
            raise InvalidInput(f"The prompt's artefact has another format than {_FORMAT}. Upgrade Headrace.")
        return from_plain(cls, raw)


class _Written(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The front matter."""

    model: str | list[str]
    embeddings: str | list[str] = []
    moderations: str | list[str] = []
    parameters: dict[str, Any] = {}
    tools: str | list[dict[str, Any]] = []
    contract: str | dict[str, Any] | None = None
    context: dict[str, str] = {}
    variables: dict[str, str | int | float | bool | None] = {}
    callers_instruct: bool = False
    guardrails: dict[str, Any] = {}
    agent_files: list[str] = []


@dataclass(frozen=True)
class Folder:
    """Files that a prompt may name: those below the project's folder. What cannot be read is InvalidInput."""

    root: Path

    @cached_property
    def _top(self) -> Path:
        return self.root.resolve()

    def data(self, name: str) -> bytes:
        """What a file holds, at most 64 MiB."""
        return self._read(name, _MAX_DATA)

    def text(self, name: str) -> str:
        """What a file says, at most 256 KiB."""
        data = self._read(name, MAX_FILE)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{name!r} is not UTF-8 (byte {error.start}). Save it as UTF-8.") from error

    def released(self, name: str) -> str:
        """What a file says that belongs to the code of a release, as all that a prompt names has to."""
        path = self._path(name)
        if path.exists() and not is_archived(self._top, path):
            raise InvalidInput(
                f"{name!r} is not part of what is released. Keep it below prompts/, or a skill below skills/."
            )
        return self.text(name)

    def below(self, names: Iterable[str]) -> dict[str, str]:
        """What files say, by path; a folder stands for all files in it, but for what is hidden."""
        found: dict[str, str] = {}
        for name in names:
            path = self._path(name)
            for one in _files(path) if path.is_dir() else (path,):
                inner = one.relative_to(self._top).as_posix()
                found[inner] = self.released(inner)
                if len(found) > _MOST_FILES:
                    raise InvalidInput(f"{name!r} makes more than {_MOST_FILES} files. Name fewer.")
        return found

    def _path(self, name: str) -> Path:
        path = (self._top / name).resolve()
        if not path.is_relative_to(self._top):
            raise InvalidInput(f"{name!r} is outside of the project. Name a file below its folder.")
        return path

    def _read(self, name: str, most: int) -> bytes:
        path = self._path(name)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise InvalidInput(f"{name!r} cannot be read ({error.strerror}).") from error
        if len(data) > most:
            raise InvalidInput(f"{name!r} has {len(data):,} bytes. Expected at most {most:,}.")
        return data

    def document(self, name: str) -> Any:
        """A file of JSON or YAML, read."""
        try:
            return yaml.safe_load(self.released(name))  # JSON is YAML
        except yaml.YAMLError as error:
            raise InvalidInput(f"{name!r} is neither JSON nor YAML: {error}.") from error


def read_prompt(folder: Path, name: str) -> Prompt:
    """The prompt in the file ``name`` below ``folder``, with what it names in other files.

    Raises:
        InvalidInput: a file is missing or too long, a key is unknown, or the template does more than it may.

    Example::

        read_prompt(Path("support-answers"), "prompts/answer.md").models
    """
    files = Folder(folder)
    try:
        return _read(files, name)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from error


def _read(files: Folder, name: str) -> Prompt:
    head, template = _parts(files.text(name))
    try:
        written = convert(yaml.safe_load(head), _Written)
    except (yaml.YAMLError, msgspec.ValidationError) as error:
        raise InvalidInput(f"its front matter is not as expected: {error}. Mend it.") from error
    models, embeddings = _listed(written.model), _listed(written.embeddings)
    moderations = _listed(written.moderations)
    for model in (*models, *embeddings, *moderations):
        endpoint, slash, rest = model.partition("/")
        if not (endpoint and slash and rest):
            raise InvalidInput(
                f"the model is {model!r}. Expected ENDPOINT/MODEL, such as openai/gpt-4o-mini."
            )
    taken = sorted(_FIXED & written.parameters.keys())
    if not models or taken:
        what = f"'parameters' has {taken[0]!r}, which is not its own" if taken else "'model' names none"
        raise InvalidInput(f"{what}. Take it out, or name a model.")
    context = {key: files.released(path).strip() for key, path in written.context.items()}
    agent_files = files.below(written.agent_files)
    measured(agent_files)
    clash = sorted(context.keys() & written.variables.keys())
    unknown = sorted(names_in(template) - context.keys() - written.variables.keys())
    if clash or unknown:
        what = f"{clash[0]!r} is background and variable" if clash else f"{unknown[0]!r} is neither"
        raise InvalidInput(f"of the names in its text {what}. Declare it under 'context' or 'variables'.")
    tools = files.document(written.tools) if isinstance(written.tools, str) else written.tools
    contract = files.document(written.contract) if isinstance(written.contract, str) else written.contract
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InvalidInput("'tools' is no list of tools. Expected them as in a request.")
    if contract is not None and not isinstance(contract, dict):
        raise InvalidInput("'contract' is no JSON schema. Expected a mapping, such as {type: object, ...}.")
    if contract is not None:
        Schema(contract)
    pipeline_of(guardrails_of(written.guardrails))
    compiled(template)
    return Prompt(
        template=template,
        models=models,
        parameters=written.parameters,
        tools=tuple(tools),
        contract=contract,
        context=context,
        variables=written.variables,
        callers_instruct=written.callers_instruct,
        guardrails=written.guardrails,
        embeddings=embeddings,
        moderations=moderations,
        agent_files=agent_files,
    )


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.is_symlink() or is_passed_over(path):
            continue
        yield from _files(path) if path.is_dir() else (path,)


def _listed(models: str | list[str]) -> tuple[str, ...]:
    return (models,) if isinstance(models, str) else tuple(models)


def _parts(text: str) -> tuple[str, str]:
    """Front matter and template."""
    lines = text.splitlines()
    ends = [index for index, line in enumerate(lines) if line.rstrip() == _FENCE]
    if len(ends) < 2 or ends[0] != 0:
        raise InvalidInput(f"it has no front matter: expected YAML between two lines {_FENCE!r} at its top.")
    return "\n".join(lines[1 : ends[1]]), "\n".join(lines[ends[1] + 1 :]).strip()
