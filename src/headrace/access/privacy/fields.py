"""Which values of an answer, a label or an error may be written down, and in which form."""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from headrace.access.privacy.recognisers import mask
from headrace.access.privacy.redacting import Redactor, without_secrets
from headrace.access.privacy.steps import USER, redacted
from headrace.core.errors import InvalidInput
from headrace.core.project import Basis, Handling, PrivacySpec, Project
from headrace.core.record import Prediction, Span

KEY = "key"
"""What the business key is called in ``privacy.fields`` of a project that has no key column."""
_ROW_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}:[0-9]{1,9}")
_HASH_CHARACTERS = 32


def stated_basis(privacy: PrivacySpec, project: str) -> Basis:
    """On which basis the project's data is collected.

    Raises:
        InvalidInput: none is stated; the message has the lines to add.
    """
    if privacy.basis is None:
        raise InvalidInput(
            f"Project {project!r} does not say on which basis its data is collected, so no dataset is "
            "registered. Add to headrace.yaml:\n  privacy:\n    basis: not_personal\nor, for data about "
            "people, consent, contract, legal_obligation, vital_interests, public_task or "
            "legitimate_interests."
        )
    return privacy.basis


def handling_of(project: Project, column: str) -> Handling:
    """How the values of an input or key column are written down.

    Of data about people, what nobody declared is recorded with care: keys are hashed, and text is redacted.
    Of an image only its measures are, whoever it is about.
    """
    declared = project.privacy.fields.get(column)
    if declared is not None:
        return declared
    if any(one.name == column and one.role == "image" for one in project.data.columns):
        return "measure"
    if not project.privacy.personal:
        return "keep"
    if column == key_of(project):
        return "hash"
    return (
        "redact"
        if any(c.name == column and c.role in ("categorical", "text") for c in project.data.columns)
        else "keep"
    )


def key_of(project: Project) -> str:
    """The name of the business key in ``privacy.fields``."""
    return project.data.key or KEY


def altered_inputs(project: Project) -> tuple[str, ...]:
    """Inputs that are not written down as they came: nothing can be measured or predicted from them again.

    A redacted one counts as it is recorded: what was recognised in it stands for itself, as a category.
    """
    inputs = [column.name for column in project.data.columns if column.role != "ignored"]
    return tuple(name for name in inputs if handling_of(project, name) not in ("keep", "redact"))


def unwatched_inputs(project: Project) -> tuple[str, ...]:
    """Altered inputs of which no window says anything: of an image, its measures still do."""
    return tuple(name for name in altered_inputs(project) if handling_of(project, name) != "measure")


def masked(value: Any) -> str | None:
    """Text by its shape: letters as ``x`` or ``X``, digits as ``9``; of anything else nothing.

    >>> masked("Ada-7 L."), masked(41.5)
    ('Xxx-9 X.', None)
    """
    if not isinstance(value, str):
        return None
    return "".join(_shape(character) for character in value)


def dropped(_value: Any) -> None:
    """Nothing, whatever the value: what is recorded where nobody can measure it."""


def _shape(character: str) -> str:
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "X" if character.isupper() else "x"
    return character if character.isascii() else "x"


class FieldRules:
    """The field rules of one project.

    Args:
        key: the workspace's key for hashes.
        redact: takes out of a text what is recognised in it.
        measure: what is recorded of an image in its place.

    Example::

        recorded = rules.prediction(prediction)
    """

    def __init__(
        self, project: Project, key: bytes, redact: Redactor = mask, measure: Callable[[Any], Any] = dropped
    ) -> None:
        self.project = project
        self._key = key
        self._redact = redact
        self._measure = measure
        named = [column.name for column in project.data.columns]
        forms = {name: handling_of(project, name) for name in (*named, *project.privacy.fields)}
        self._columns: dict[str, Callable[[Any], Any] | None] = {
            name: self._form(handling) for name, handling in forms.items() if handling != "keep"
        }
        self._keys = handling_of(project, key_of(project))

    @property
    def keeps_all(self) -> bool:
        """Whether an answer without business keys is written down as it is."""
        return not self._columns

    def prediction(self, prediction: Prediction) -> Prediction:
        """The answer as it may be written down; the very same one where there is nothing to change."""
        changed = self._columns.keys() & prediction.columns.keys()
        keys = prediction.keys
        if not changed and (keys is None or self._keys == "keep"):
            return prediction
        columns = {}
        for name, values in prediction.columns.items():
            form = self._columns.get(name)
            if name not in changed:
                columns[name] = values
            elif form is not None:
                columns[name] = [form(value) for value in values]
        if keys is not None and self._keys != "keep":
            keys = None if self._keys == "drop" else [self.hashed(key) for key in keys]
        return replace(prediction, columns=columns, keys=keys)

    def column(self, name: str, values: Sequence[Any]) -> Sequence[Any] | None:
        """An input's values as they may be written down; None where nothing can be told from those."""
        if name not in self._columns:
            return values
        form = self._columns[name]
        return [form(value) for value in values] if form in (self._redacted, self._measure) else None

    def subject(self, subject: str) -> str:
        """A label's subject: a row id as it is, a business key in the form that answers are kept under.

        Raises:
            InvalidInput: keys are not kept, so that no answer could be found by one.
        """
        if self._keys == "keep" or _ROW_ID.fullmatch(subject):
            return subject
        if self._keys == "drop":
            raise InvalidInput(
                f"Project {self.project.name!r} keeps no business keys (privacy.fields: "
                f"{key_of(self.project)}: drop), so a label finds its answer by row id only. Send "
                "'<prediction id>:<row>' as its subject."
            )
        return str(self.hashed(subject))

    def text(self, text: str, columns: Mapping[str, Sequence[Any]], keys: Sequence[str] | None) -> str:
        """An error's text without the values that may not be written down, and without what is recognised."""
        hidden = {
            name: columns.get(name, ()) for name, form in self._columns.items() if form != self._redacted
        }
        if self._keys != "keep":
            hidden[key_of(self.project)] = keys or ()
        found = {
            str(value): name for name, values in hidden.items() for value in values if str(value) in text
        }
        for value in sorted(filter(None, found), key=len, reverse=True):
            name = found[value].replace("\\", "")
            text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", f"<{name}>", text)
        return self._redact(text)

    def span(self, span: Span) -> Span:
        """A step of a trace as it may be written down: its user as business keys are, its texts redacted."""
        found = redacted(span, self._redact, personal=self.project.privacy.personal)
        if USER not in span.attributes:
            return found
        user = span.attributes[USER]
        attributes = {name: value for name, value in found.attributes.items() if name != USER}
        if self._keys != "drop":
            attributes[USER] = self.hashed(user) if self._keys == "hash" else user
        return replace(found, attributes=attributes)

    def remark(self, text: str) -> str:
        """Free text that somebody gives as a rating or a reason; a secret is never written down."""
        return self._redact(text) if self.project.privacy.personal else without_secrets(text)

    def hashed(self, value: Any) -> Any:
        """HMAC-SHA-256 of the value as text, its first half in hexadecimal; nothing stays nothing.

        Equal values of one project give equal hashes in every column, and others in another project.
        """
        if value is None:
            return None
        message = f"{self.project.name}\0{key_text(value)}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, message, "sha256").hex()[:_HASH_CHARACTERS]

    def _form(self, handling: Handling) -> Callable[[Any], Any] | None:
        forms: dict[Handling, Callable[[Any], Any]] = {
            "hash": self.hashed,
            "mask": masked,
            "measure": self._measure,
            "redact": self._redacted,
        }
        return forms.get(handling)

    def _redacted(self, value: Any) -> Any:
        return self._redact(value) if isinstance(value, str) else value


def key_text(value: Any) -> str:
    """A key as text: a whole number has no decimal point, so that ``7.0`` and ``"7"`` are one subject."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
