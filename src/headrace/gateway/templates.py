"""The text of a prompt as a template: Jinja, of which only what fills in, chooses and repeats is there.

A template reaches nothing but the values that it is given, ends, and stays within a bound, whatever they are:
it calls nothing, sets nothing, computes nothing, and repeats over lists only. What it does on the way is
counted, because two loops around a filter of a long text would keep a process for minutes and say nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.filters import do_round
from jinja2.sandbox import ImmutableSandboxedEnvironment

from headrace.core.errors import InvalidInput

MAX_TEMPLATE = 64 << 10
MAX_RENDERED = 400_000
"""Characters of a template, and of what it becomes."""
MAX_ENTRIES = 200
"""Of a list that a template repeats over; loops may be nested once."""
MAX_WORK = 40_000_000
"""Characters that filters and comparisons of one filling in go through; other steps cost as much as the
characters that take as long: looking something up far more than to go on."""
_STEP, _LOOKED_UP, _COMPARED = 2, 20, 20
_MOST_DIGITS = 20
_MAX_DEPTH = 2
_ALLOWED = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.For, nodes.If, nodes.Name, nodes.Const,
    nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test, nodes.Compare, nodes.Operand, nodes.And,
    nodes.Or, nodes.Not, nodes.CondExpr, nodes.List, nodes.Tuple,
)  # fmt: skip
_LOOKING = (nodes.Getattr, nodes.Getitem, nodes.Filter, nodes.Test, nodes.Compare)
_TESTS = "defined undefined none true false string number mapping sequence boolean in".split()
_ENTRIES, _WEIGHED = "entries", "weighed"
_LEFT: ContextVar[list[int]] = ContextVar("headrace_template_work")


def _spend(work: int) -> None:
    left = _LEFT.get()
    left[0] -= work
    if left[0] < 0:
        raise InvalidInput(
            "The prompt takes too much work to be filled in: its loops, filters and comparisons would go "
            f"through more than {MAX_WORK:,} characters. Send shorter lists or texts, or simplify it."
        )


def _weighed(value: Any) -> Any:
    """What is compared, which takes the longer the larger it is."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        _spend(len(one) if isinstance(one, str) else _COMPARED)
        if isinstance(one, list | tuple):
            waiting += one
        elif isinstance(one, Mapping):
            waiting += one
            waiting += one.values()
    return value


def _counted(plain: Callable[..., Any]) -> Callable[..., Any]:
    """A filter of Jinja's that goes through the text which it is given or makes."""

    @wraps(plain)
    def counted(*given: Any, **named: Any) -> Any:
        made = plain(*given, **named)
        _spend(sum(len(one) for one in (*given, made) if isinstance(one, str)))
        return made

    return counted


def _entries(values: Any, work: int = _COMPARED) -> Sequence[Any]:
    """What a loop goes through, each with so much work."""
    if not isinstance(values, list | tuple):
        raise InvalidInput(f"A template repeats over lists only, got {type(values).__name__}.")
    if len(values) > MAX_ENTRIES:
        raise InvalidInput(
            f"A template repeats over at most {MAX_ENTRIES} entries, got {len(values)}. Send fewer."
        )
    _spend(len(values) * work)
    return values


def _joined(values: Any, separator: str = ", ") -> str:
    """As Jinja's own, over a bounded list."""
    listed = [str(value) for value in _entries(values)]
    size = sum(map(len, listed)) + len(separator) * len(listed)
    _spend(size)
    if size > MAX_RENDERED:
        raise InvalidInput(f"A joined text has more than {MAX_RENDERED:,} characters. Send less.")
    return separator.join(listed)


def _rounded(value: Any, precision: int = 0, method: str = "common") -> Any:
    """As Jinja's own, which raises ten to the power of ``precision``."""
    if not -_MOST_DIGITS <= precision <= _MOST_DIGITS:
        raise InvalidInput(f"A template rounds to at most {_MOST_DIGITS} digits, got {precision}.")
    return do_round(value, precision, method)  # type: ignore[arg-type]


class _Sandbox(ImmutableSandboxedEnvironment):
    def __init__(self) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=False)
        at_once = "default length first last".split()
        long = "lower upper title trim tojson int float".split()
        self.globals.clear()
        self.filters = {
            **{name: self.filters[name] for name in at_once},
            **{name: _counted(self.filters[name]) for name in long},
            "join": _joined,
            "round": _rounded,
            _ENTRIES: _entries,
            _WEIGHED: _weighed,
        }
        self.tests = {name: self.tests[name] for name in _TESTS}


_ENVIRONMENT = _Sandbox()
_FILTERS = sorted(_ENVIRONMENT.filters.keys() - {_ENTRIES, _WEIGHED})
Render = Callable[[Mapping[str, Any]], str]


def names_in(source: str) -> frozenset[str]:
    """The names of the values that a template is filled with.

    >>> sorted(names_in("Dear {{ customer.name }}, {% for x in lines %}{{ x }}{% endfor %}"))
    ['customer', 'lines']
    """
    return frozenset(meta.find_undeclared_variables(_parsed(source)))


@lru_cache(maxsize=256)
def compiled(source: str) -> Render:
    """What fills the template with values.

    Raises:
        InvalidInput: it does not parse, is too long, or does more than fill in, choose and repeat. So does
            what is returned, where a value is missing, or the text becomes too long.

    >>> compiled("{% if vip %}Dear{% else %}Hello{% endif %} {{ name }}")({"vip": False, "name": "Ada"})
    'Hello Ada'
    """
    tree = _parsed(source)
    _count_work(tree)
    if (plain := _plain(tree)) is not None:
        return lambda _values: plain
    code = _ENVIRONMENT.compile(tree)
    template = Template.from_code(_ENVIRONMENT, code, {})

    def render(values: Mapping[str, Any]) -> str:
        _LEFT.set([MAX_WORK])
        try:
            return _bounded(template.generate(values))
        except (TemplateError, TypeError, ValueError, OverflowError) as error:
            raise InvalidInput(
                f"The prompt cannot be filled in: {error}. Send the value that it needs."
            ) from error

    return render


def _count_work(tree: nodes.Template) -> None:
    """Let a parsed template count its loops and what it compares."""
    for compared in [*tree.find_all(nodes.Compare)]:
        compared.expr = _through(_WEIGHED, compared.expr)
        for operand in compared.ops:
            operand.expr = _through(_WEIGHED, operand.expr)
    for test in [*tree.find_all(nodes.Test)]:
        test.args = [_through(_WEIGHED, one) for one in test.args or ()]
    for loop in [*tree.find_all(nodes.For)]:
        work = sum(_LOOKED_UP if isinstance(one, _LOOKING) else _STEP for one in loop.find_all(nodes.Node))
        loop.iter = _through(_ENTRIES, loop.iter, nodes.Const(work))


def _through(name: str, node: nodes.Node, *given: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, [*given], [], None, None, lineno=node.lineno)


def _plain(tree: nodes.Template) -> str | None:
    """What a template says, where it says the same whatever it is filled with."""
    parts = [node for child in tree.body for node in child.iter_child_nodes()]
    if all(isinstance(child, nodes.Output) for child in tree.body) and all(
        isinstance(part, nodes.TemplateData) for part in parts
    ):
        return _bounded(part.data for part in parts if isinstance(part, nodes.TemplateData))
    return None


def _bounded(parts: Iterable[str]) -> str:
    kept, size = [], 0
    for part in parts:
        size += len(part)
        if size > MAX_RENDERED:
            raise InvalidInput(f"The prompt would have more than {MAX_RENDERED:,} characters. Send less.")
        kept.append(part)
    return "".join(kept)


def _parsed(source: str) -> nodes.Template:
    if len(source) > MAX_TEMPLATE:
        raise InvalidInput(f"The template has {len(source):,} characters. Expected at most {MAX_TEMPLATE:,}.")
    try:
        tree = _ENVIRONMENT.parse(source)
    except TemplateSyntaxError as error:
        raise InvalidInput(f"The template does not parse in line {error.lineno}: {error.message}.") from error
    except RecursionError as error:
        raise InvalidInput("The template is nested too deeply to be read. Simplify it.") from error
    _check(tree, 0)
    return tree


def _check(node: nodes.Node, depth: int) -> None:
    """Raises InvalidInput at the first thing that a prompt has no use for."""
    if not isinstance(node, _ALLOWED) or (isinstance(node, nodes.For) and node.recursive):
        raise _refused(node, f"has {type(node).__name__.lower()!r}, which a prompt has no use for")
    if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
        raise _refused(node, f"has the filter {node.name!r} (known: {', '.join(_FILTERS)})")
    if isinstance(node, nodes.Test) and node.name not in _TESTS:
        raise _refused(node, f"has the test {node.name!r} (known: {', '.join(_TESTS)})")
    depth += isinstance(node, nodes.For)
    if depth > _MAX_DEPTH:
        raise _refused(node, f"has loops nested more than {_MAX_DEPTH} deep")
    for child in node.iter_child_nodes():
        _check(child, depth)


def _refused(node: nodes.Node, what: str) -> InvalidInput:
    return InvalidInput(f"The template {what} (line {node.lineno}). It may fill in, choose and repeat only.")
