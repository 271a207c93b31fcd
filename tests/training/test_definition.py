from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from headrace.core.errors import InvalidInput, NotFound, UserCodeError
from headrace.training.definition import TrainingData, check_code, load_definition, trainer
from tests.training.examples import write_project


def _data() -> TrainingData:
    return TrainingData(
        X=np.zeros((4, 2), dtype=np.float32), y=np.zeros(4), feature_names=("a", "b"), task="regression"
    )


def test_marked_functions_are_found_and_called(tmp_path: Path) -> None:
    write_project(
        tmp_path,
        "import headrace\n"
        "@headrace.source\n"
        "def rides(until=None):\n    return {'until': until}\n"
        "@headrace.trainer\n"
        "def tree(data, depth=3):\n    return (data.task, depth)\n"
        "def not_marked(data):\n    return None\n",
    )
    definition = load_definition(tmp_path)
    assert set(definition.trainers) == {"tree"}
    assert definition.train("tree", _data(), {"depth": 5}) == ("regression", 5)
    assert definition.make_table({"until": "2020", "other": 1}) == {"until": "2020"}
    assert definition.where("tree") == "project.py:5"


def test_neighbours_can_be_imported_also_late_and_do_not_leak_to_other_projects(tmp_path: Path) -> None:
    text = (
        "import headrace, words\n"
        "@headrace.trainer\n"
        "def speak(data):\n    import later\n    return words.WORD + later.WORD\n"
    )
    for name in ("one", "two"):
        folder = write_project(tmp_path / name, text)
        (folder / "words.py").write_text(f"WORD = '{name}'")
        (folder / "later.py").write_text(f"WORD = ' late {name}'")
    first, second = load_definition(tmp_path / "one"), load_definition(tmp_path / "two")
    assert first.train("speak", _data(), {}) == "one late one"
    assert second.train("speak", _data(), {}) == "two late two"
    assert not {"words", "later"} & set(sys.modules)
    assert str(tmp_path / "one") not in sys.path


def test_dataclasses_with_postponed_annotations_work(tmp_path: Path) -> None:
    write_project(
        tmp_path,
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "import headrace\n"
        "@dataclass\nclass Box:\n    size: int = 1\n"
        "@headrace.trainer\ndef box(data):\n    return Box()\n",
    )
    assert load_definition(tmp_path).train("box", _data(), {}).size == 1


def test_a_change_within_the_same_second_is_seen(tmp_path: Path) -> None:
    for value in ("1", "2"):
        text = f"import headrace\n@headrace.trainer\ndef t(data):\n    return {value}\n"
        definition = load_definition(write_project(tmp_path, text))
        assert definition.train("t", _data(), {}) == int(value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("    return 1 / 0\n", r"^project\.py:4 in t: ZeroDivisionError: division by zero$"),
        ("    import sys\n    sys.exit(3)\n", r"^project\.py:5 in t: SystemExit: 3 \(it ended the process"),
        ("    raise KeyError('k')\n", r"^project\.py:4 in t: KeyError: 'k'$"),
        ("    assert False\n", r"^project\.py:4 in t: AssertionError$"),
        ("    return nothing\n", r"^project\.py:4 in t: NameError: name 'nothing'"),
        ("    import numpy\n    numpy.zeros(-1)\n", r"^project\.py:5 in t: ValueError: negative"),
        (
            "    def inner():\n        raise OSError('x')\n    inner()\n",
            r"^project\.py:5 in inner: OSError: x",
        ),
    ],
)
def test_what_a_trainer_raises_names_the_users_line(tmp_path: Path, body: str, message: str) -> None:
    write_project(tmp_path, f"import headrace\n@headrace.trainer\ndef t(data):\n{body}")
    with pytest.raises(UserCodeError, match=message):
        load_definition(tmp_path).train("t", _data(), {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import headrace\ndef t(:\n", r"^project\.py:2: SyntaxError"),
        ("x = 1\nraise RuntimeError('no')\n", r"^project\.py:2: RuntimeError: no$"),
        ("import nothing_of_this_name\n", r"^project\.py:1: ModuleNotFoundError"),
        ("x = '\xff".encode("latin-1").decode("latin-1") + "\n", r"^project\.py:1: SyntaxError"),
    ],
)
def test_what_loading_raises_names_the_users_line(tmp_path: Path, text: str, message: str) -> None:
    write_project(tmp_path, text)
    with pytest.raises(UserCodeError, match=message):
        load_definition(tmp_path)


def test_an_error_in_a_neighbour_names_the_neighbour(tmp_path: Path) -> None:
    write_project(tmp_path, "import headrace\nimport broken\n")
    (tmp_path / "broken.py").write_text("\n\nraise ValueError('here')\n")
    with pytest.raises(UserCodeError, match=r"^broken\.py:3: ValueError: here$"):
        load_definition(tmp_path)


def test_bytes_that_are_no_python_are_the_users_error(tmp_path: Path) -> None:
    (tmp_path / "project.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserCodeError, match=r"project\.py"):
        load_definition(tmp_path)


def test_ctrl_c_stays_ctrl_c(tmp_path: Path) -> None:
    write_project(tmp_path, "import headrace\n@headrace.trainer\ndef t(data):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        load_definition(tmp_path).train("t", _data(), {})


def test_a_parameter_that_the_trainer_does_not_take_is_named(tmp_path: Path) -> None:
    write_project(tmp_path, "import headrace\n@headrace.trainer\ndef t(data, alpha=1.0):\n    return 1\n")
    with pytest.raises(InvalidInput, match=r"'alpah'.*It takes: alpha"):
        load_definition(tmp_path).train("t", _data(), {"alpah": 2.0})


def test_missing_things_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"no project\.py"):
        load_definition(tmp_path)
    write_project(tmp_path, "import headrace\n@headrace.trainer\ndef t(data):\n    return 1\n")
    definition = load_definition(tmp_path)
    with pytest.raises(NotFound, match="no trainer 'u'; it has: t"):
        definition.train("u", _data(), {})
    with pytest.raises(NotFound, match="no source"):
        definition.make_table()


def test_nothing_marked_or_two_sources_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="marks no function"):
        load_definition(write_project(tmp_path, "x = 1\n"))
    two = "import headrace\n" + "".join(f"@headrace.source\ndef {n}():\n    pass\n" for n in "ab")
    with pytest.raises(InvalidInput, match="a and b as source"):
        load_definition(write_project(tmp_path, two))


def test_only_functions_can_be_marked() -> None:
    with pytest.raises(InvalidInput, match="put on a type"):
        trainer(dict)


@pytest.mark.parametrize(
    ("text", "message"),
    [("import os\nx = (\n", r"^project.py:2: SyntaxError: "), ("x = 1\0", "null bytes")],
)
def test_code_is_checked_without_running_it(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(NotFound, match="There is no project.py"):
        check_code(tmp_path)
    write_project(tmp_path, "raise SystemExit('never run; \\d')\n")
    check_code(tmp_path)
    write_project(tmp_path, text)
    with pytest.raises(UserCodeError, match=message):
        check_code(tmp_path)
