"""The guardrails of a project as plain JSON or YAML, and the pipeline that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from headrace.access.privacy.redacting import Recogniser, builtin
from headrace.core.errors import InvalidInput
from headrace.gateway.guardrails.egress import Canary, Egress
from headrace.gateway.guardrails.guards import Action, Guard, Layer
from headrace.gateway.guardrails.hygiene import Hygiene
from headrace.gateway.guardrails.injection import Injection
from headrace.gateway.guardrails.personal import PersonalData
from headrace.gateway.guardrails.pipeline import Pipeline
from headrace.gateway.guardrails.schemas import Schema
from headrace.gateway.guardrails.support import Support
from headrace.gateway.guardrails.values import Record, Values
from headrace.gateway.guardrails.wording import Wording
from headrace.store.documents import convert

_Score = Annotated[float, msgspec.Meta(gt=0, le=1)]


class HygieneRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``max_chars`` of a text, and what is done where something was ``hidden`` in it."""

    max_chars: Annotated[int, msgspec.Meta(gt=0)] = 1_000_000
    hidden: Action = "mask"


class InjectionRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """From which score on the classifier flags, and blocks; without ``block_at`` it blocks nothing.

    ``orders`` is what is done where a rule is certain, and ``actions`` the same by rule where it differs: for
    what callers write, if it is milder; ``actions_at`` says it for another layer.
    """

    flag_at: _Score = 0.99
    block_at: _Score | None = None
    orders: Action = "block"
    actions: dict[str, Action] = {}
    actions_at: dict[Layer, dict[str, Action]] = {}
    forged: Action = "mask"
    layers: tuple[Layer, ...] = ("input", "context", "tool_arguments", "tool_result")


class PersonalRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done with what is recognised, by label where they differ."""

    action: Action = "mask"
    actions: dict[str, Action] = {}
    layers: tuple[Layer, ...] = ("input", "context", "tool_arguments", "tool_result", "output")


class EgressRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The hosts that answers may name."""

    hosts: tuple[str, ...] = ()
    link: Action = "mask"
    image: Action = "mask"


class SupportRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done with numbers, dates and names that stand in no source."""

    action: Action = "flag"
    withhold_at: Annotated[int, msgspec.Meta(ge=1)] | None = None
    names: bool = True


class ValuesRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Amounts by item, unless the project gives its system of record by code; what is done with others."""

    record: dict[str, tuple[str, ...]] = {}
    wrong: Action = "block"
    unknown: Action = "flag"


class WordingRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Words and phrases by topic."""

    topics: dict[str, tuple[str, ...]]
    action: Action = "flag"
    layers: tuple[Layer, ...] = ("input", "output")


class SchemaRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The JSON schema of the answer."""

    schema: dict[str, Any]
    action: Action = "block"


class Guardrails(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of them. What is not named does not run, except hygiene, and personal data unless that is null."""

    hygiene: HygieneRules = HygieneRules()
    personal: PersonalRules | None = PersonalRules()
    injection: InjectionRules | None = None
    egress: EgressRules | None = None
    schema: SchemaRules | None = None
    values: ValuesRules | None = None
    support: SupportRules | None = None
    wording: WordingRules | None = None


def guardrails_of(rules: Mapping[str, Any]) -> Guardrails:
    """The guardrails that a mapping of JSON or YAML describes.

    Raises:
        InvalidInput: a name or a value is none of theirs; the message says where.

    >>> guardrails_of({"injection": {"block_at": 0.999}}).injection.block_at
    0.999
    """
    try:
        return convert(dict(rules), Guardrails)
    except msgspec.ValidationError as error:
        known = ", ".join(Guardrails.__struct_fields__)
        raise InvalidInput(f"The guardrails cannot be read: {error}. Expected some of: {known}.") from error


def pipeline_of(
    guardrails: Guardrails,
    *,
    recognisers: Sequence[Recogniser] = (builtin,),
    record: Record | Callable[[], Record] | None = None,
    canaries: Sequence[str] = (),
    own: Sequence[str] = (),
    more: Sequence[Guard] = (),
) -> Pipeline:
    """The pipeline of a release.

    Args:
        recognisers: those of the project, for personal data.
        record: the system of record, where the project gives it by code; it goes before that of the rules.
        canaries: tokens in the release's prompt.
        own: texts of the release: what they say of people, answers may say as well.
        more: guards of the project's own, or of others.

    Raises:
        InvalidInput: a host, a schema or an amount cannot be read, or two guards have one name.
    """
    g = guardrails
    guards: list[Guard] = []
    if g.personal:
        personal = g.personal
        guards.append(
            PersonalData(
                recognisers, action=personal.action, actions=personal.actions, layers=personal.layers, own=own
            )
        )
    if g.injection:
        guards.append(Injection(**msgspec.structs.asdict(g.injection)))
    if g.egress:
        guards.append(Egress(g.egress.hosts, link=g.egress.link, image=g.egress.image))
    if canaries:
        guards.append(Canary(canaries))
    if g.schema:
        guards.append(Schema(g.schema.schema, action=g.schema.action))
    if record is not None or (g.values and g.values.record):
        rules = g.values or ValuesRules()
        guards.append(
            Values(rules.record if record is None else record, wrong=rules.wrong, unknown=rules.unknown)
        )
    if g.support:
        guards.append(Support(**msgspec.structs.asdict(g.support)))
    if g.wording:
        guards.append(Wording(g.wording.topics, action=g.wording.action, layers=g.wording.layers))
    hygiene = Hygiene(max_chars=g.hygiene.max_chars, on_hidden=g.hygiene.hidden)
    return Pipeline([*guards, *more], hygiene=hygiene)
