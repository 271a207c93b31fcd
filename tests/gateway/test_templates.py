"""What a prompt's template may do, and that it ends and stays within its bound whatever it is given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import InvalidInput
from headrace.gateway.templates import MAX_ENTRIES, MAX_RENDERED, MAX_TEMPLATE, compiled, names_in

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)


def test_values_are_filled_in_chosen_and_repeated() -> None:
    template = (
        "{% if vip %}Dear{% else %}Hello{% endif %} {{ name }}:{% for x in lines %} {{ x }}{% endfor %}."
    )
    render = compiled(template)
    assert render({"vip": True, "name": "Ada", "lines": ["a", "b"]}) == "Dear Ada: a b."
    assert render({"vip": False, "name": "Bob", "lines": []}) == "Hello Bob:."
    assert names_in(template) == {"vip", "name", "lines"}


@pytest.mark.parametrize(
    "template",
    [
        "{{ x.__class__.__mro__ }}",
        "{{ x['__class__'] }}",
        "{{ ''.join(x) }}",
        "{{ range(9) }}",
        "{{ cycler }}{{ x() }}",
        "{{ 'a' * 999999999 }}",
        "{{ x ~ x }}",
        "{{ 9 ** 99999999 }}",
        "{% set x = 1 %}",
        "{% macro f() %}{{ f() }}{% endmacro %}",
        "{% include 'other' %}",
        "{% import 'os' as os %}",
        "{% extends 'other' %}",
        "{% for x in y recursive %}{{ loop(y) }}{% endfor %}",
        "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ x|attr('y') }}",
        "{{ x|map('upper') }}",
        "{{ x|replace('a', 'b') }}",
        "{{ x is sameas(y) }}",
        "{{ x[1:2] }}",
        "{{ x",
    ],
)
def test_nothing_else_is_taken(template: str) -> None:
    with pytest.raises(InvalidInput, match="template|cannot be filled in"):
        compiled(template)({"x": "text", "y": ["a"]})


@pytest.mark.parametrize(
    "body",
    [
        "{% if (d|tojson)|length < 1 %}x{% endif %}",
        "{% if d|upper == 'X' %}x{% endif %}",
        "{% if text in d %}x{% endif %}",
        "{% if d == e %}x{% endif %}",
        "{% if text is in d %}x{% endif %}",
        "{% if rows == others %}x{% endif %}",
        "{% if (rows|join)|length < 1 %}x{% endif %}",
        "{% if text is string %}{% endif %}" * 1_000,
    ],
)
def test_two_loops_around_work_that_says_nothing_end(body: str) -> None:
    """Without a bound each of these keeps a process for a minute to an hour."""
    entries = ["a"] * MAX_ENTRIES
    values = {"d": "é" * 3_000_000, "e": "é" * 3_000_000, "text": "z", "l": entries}
    values |= {"rows": ["abc" * 500] * MAX_ENTRIES, "others": ["abc" * 500] * MAX_ENTRIES}
    render = compiled("{% for a in l %}{% for b in l %}" + body + "{% endfor %}{% endfor %}")
    with pytest.raises(InvalidInput, match="takes too much work to be filled in"):
        render(values)
    with pytest.raises(InvalidInput, match="takes too much work to be filled in"):  # each time anew
        render(values)


def test_two_loops_over_as_many_entries_as_there_may_be_are_filled_in() -> None:
    rows = [{"name": f"part {n % 40}", "size": n} for n in range(MAX_ENTRIES)]
    template = (
        "{% for x in rows %}{% for y in rows %}"
        "{% if x.name == y.name and x.size != y.size %}{{ x.size }}{% elif x.size > 3 and y.size in few %}"
        "{{ y.name|upper }}{% else %}-{% endif %}"
        "{% endfor %}{% endfor %}"
    )
    assert "PART 1" in compiled(template)({"rows": rows, "few": [1, 2, 3]})


@pytest.mark.parametrize("digits", [21, -21, 30_000_000])
def test_no_number_is_rounded_to_a_million_digits(digits: int) -> None:
    with pytest.raises(InvalidInput, match="rounds to at most 20 digits"):
        compiled("{{ x|round(n, 'ceil') }}")({"x": 1.5, "n": digits})
    assert compiled("{{ x|round(2) }} {{ x|round(1, 'floor') }}")({"x": 1.256}) == "1.26 1.2"


def test_a_long_document_is_looked_through_once_or_twice() -> None:
    rows_in_full = "{% for x in rows %}{{ x.name|title }};{% endfor %}"
    template = "{% if 'refund' in doc and doc|lower != 'x' %}" + rows_in_full + "{% endif %}"
    rows = [{"name": f"row {n}"} for n in range(MAX_ENTRIES)]
    assert compiled(template)({"doc": "a refund " * 300_000, "rows": rows}).count(";") == MAX_ENTRIES


@pytest.mark.parametrize("secret", ["__class__", "__init__", "__globals__", "format", "mro"])
def test_no_attribute_leads_out(secret: str) -> None:
    rendered = None
    try:
        rendered = compiled("{{ x.SECRET }}".replace("SECRET", secret))({"x": [1]})
    except InvalidInput:
        return
    assert "built-in" in rendered  # a method's name at most, which nothing can call


def test_a_missing_value_is_said_and_not_left_out() -> None:
    with pytest.raises(InvalidInput, match="'name' is undefined"):
        compiled("Dear {{ name }}")({})


def test_loops_go_through_short_lists_only() -> None:
    render = compiled("{% for x in lines %}{{ x }}{% endfor %}")
    assert render({"lines": ["a"] * MAX_ENTRIES}) == "a" * MAX_ENTRIES
    for lines, said in (
        (["a"] * (MAX_ENTRIES + 1), "at most"),
        ("text", "lists only"),
        ({"a": 1}, "lists only"),
    ):
        with pytest.raises(InvalidInput, match=said):
            render({"lines": lines})


def test_the_text_stays_within_its_bound() -> None:
    render = compiled("{% for x in lines %}{% for y in lines %}{{ text }}{% endfor %}{% endfor %}")
    with pytest.raises(InvalidInput, match="more than"):
        render({"lines": ["a"] * MAX_ENTRIES, "text": "x" * 1_000})
    with pytest.raises(InvalidInput, match="more than"):
        compiled("{{ lines|join(text) }}")({"lines": ["a"] * MAX_ENTRIES, "text": "x" * MAX_RENDERED})
    with pytest.raises(InvalidInput, match="at most"):
        compiled("x" * (MAX_TEMPLATE + 1))


def test_a_deeply_nested_template_is_refused() -> None:
    with pytest.raises(InvalidInput, match="template"):
        compiled("{{ " + "(" * 5_000 + "x" + ")" * 5_000 + " }}")


@given(st.text(alphabet="{}% xyz|()[].'\"+*~-_0123456789ifendforin\n", max_size=60), VALUES)
def test_whatever_is_written_it_is_a_text_or_refused(template: str, value: object) -> None:
    try:
        rendered = compiled(template)({"x": value, "y": value, "z": value})
    except InvalidInput:
        return
    assert isinstance(rendered, str)


@given(st.text(max_size=200))
def test_a_value_is_data_and_never_a_template(value: str) -> None:
    assert compiled("<{{ x }}>")({"x": value}) == f"<{value}>"
