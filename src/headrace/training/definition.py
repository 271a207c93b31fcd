"""What a project's own ``project.py`` declares: one source of data, named trainers and metrics.

User code is called only through :class:`Definition`, so that whatever it raises is reported as the
user's file and line.
"""

from __future__ import annotations

import ast
import inspect
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import SourceFileLoader
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from headrace.core.canonical import digest_bytes
from headrace.core.errors import HeadraceError, InvalidInput, NotFound, UserCodeError
from headrace.core.ports import Columns
from headrace.core.project import Task
from headrace.training.tables import to_frame

if TYPE_CHECKING:
    import pandas as pd

FILE_NAME = "project.py"
_MARK = "__headrace__"
_NAME = "__headrace_name__"
_loading = threading.RLock()

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """What a trainer learns from. The arrays are the trainer's own: it may change them.

    Attributes:
        X: float32 ``(n_rows, n_features)``. Numbers as they are, NaN where missing; categories as
            codes ``0..k-1``, -1 where missing or rare.
        y: ``(n_rows,)``; float64, or for classification int64 positions in ``classes``; zeros where there is
            no truth to learn from.
        feature_names: names of the columns of ``X``.
        categorical_indexes: which columns of ``X`` hold codes.
        seed: to be used for anything random, so that the run can be repeated.
        classes: classification: the labels, sorted, ``data.positive`` last; clustering: those that
            ``outputs.classes`` names.
        budget: anomaly detection: the share of rows that may be flagged, ``outputs.budget``.
        columns: the rows of ``X`` as they came: float64, text or ``None``, booleans.
    """

    X: NDArray[np.float32]
    y: NDArray[Any]
    feature_names: tuple[str, ...]
    categorical_indexes: tuple[int, ...] = ()
    task: Task
    seed: int = 0
    classes: tuple[str | float | bool, ...] = ()
    columns: Columns = field(default_factory=dict)
    budget: float = 0.01

    @property
    def frame(self) -> pd.DataFrame:
        """``columns`` as a pandas frame, for a pipeline that prepares raw columns itself; a new one each
        time.

        Raises:
            InvalidInput: pandas is not installed.

        Example::

            prepare = ColumnTransformer([("fuel", OneHotEncoder(handle_unknown="ignore"), ["fuel"])])
            return make_pipeline(prepare, Ridge()).fit(data.frame, data.y)
        """
        return to_frame(self.columns, self.feature_names)


def source(function: F) -> F:
    """Mark the function that makes the project's table: a data frame, columns, or a file's path.

    Example::

        @headrace.source
        def rides() -> pandas.DataFrame:
            return pandas.read_csv("rides.csv").assign(month=...)
    """
    return _mark(function, "source")


def trainer(function: F) -> F:
    """Mark a function ``(data: TrainingData, **params) -> fitted estimator``.

    Example::

        @headrace.trainer
        def linear(data: headrace.TrainingData, alpha: float = 1.0):
            return Ridge(alpha=alpha).fit(data.X, data.y)
    """
    return _mark(function, "trainer")


def metric(name: str) -> Callable[[F], F]:
    """Mark a function that measures answers: of ``(truth, predictions, columns)``, per row or as one number.

    It takes those of the three (and ``probability``, ``(n_rows, n_classes)``) that it names. ``truth`` and
    ``predictions`` are numbers, for classification labels: text, or numbers where the labels are numbers or
    booleans. ``columns`` are the model's inputs. Of values per row the mean counts, and gets an interval.

    Raises:
        InvalidInput: ``name`` is no identifier.

    Example::

        @headrace.metric("money_lost")
        def money_lost(truth, predictions, columns):
            return numpy.maximum(truth - predictions, 0) * columns["quantity"]
    """
    return _mark_as("metric", name, example="money_lost")


def explainer(name: str) -> Callable[[F], F]:
    """Mark a function that says what each input contributed to an answer, by ``(predict, row, background)``.

    ``predict`` takes columns (input name to array) and gives one number for each row: the prediction or, for
    classification, the probability of the class that is explained. ``row`` is such columns of one row,
    ``background`` of training rows. It returns a number for each input; one that it leaves out is at 0.

    Raises:
        InvalidInput: ``name`` is no identifier.

    Example::

        @headrace.explainer("without")
        def without(predict, row, background):
            said = predict(row)[0]
            n_rows = len(next(iter(background.values())))
            rows = {name: numpy.repeat(value, n_rows) for name, value in row.items()}
            return {name: said - predict({**rows, name: background[name]}).mean() for name in row}
    """
    return _mark_as("explainer", name, example="without")


def _mark_as(role: str, name: str, *, example: str) -> Callable[[F], F]:
    if not str(name).isidentifier():
        raise InvalidInput(
            f"@headrace.{role} was given {name!r}. Expected a name in quotes, such as "
            f'@headrace.{role}("{example}").'
        )

    def mark(function: F) -> F:
        marked = _mark(function, role)
        setattr(marked, _NAME, name)
        return marked

    return mark


def _mark(function: F, role: str) -> F:
    if not inspect.isfunction(function):
        raise InvalidInput(
            f"@headrace.{role} was put on a {type(function).__name__}. Expected a function written with def."
        )
    setattr(function, _MARK, role)
    return function


@dataclass(frozen=True, kw_only=True)
class Definition:
    """The marked functions of one ``project.py``."""

    folder: Path
    source: Callable[..., Any] | None = None
    trainers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    metrics: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    explainers: Mapping[str, Callable[..., Any]] = field(default_factory=dict)

    def train(self, name: str, data: TrainingData, params: Mapping[str, Any]) -> Any:
        """Call a trainer; returns what it returned.

        Raises:
            NotFound: there is no trainer of this name.
            InvalidInput: it does not take these parameters.
            UserCodeError: it raised; the message names the user's file and line.
        """
        function = self.trainers.get(name)
        if function is None:
            known = ", ".join(sorted(self.trainers)) or "none"
            raise NotFound(
                f"{FILE_NAME} has no trainer {name!r}; it has: {known}. "
                "Add a function decorated with @headrace.trainer, or correct 'trainer' in headrace.yaml."
            )
        _check_parameters(name, function, params)
        with _user_code(self.folder, name):
            return function(data, **params)

    def measure(self, name: str, rows: Mapping[str, Any]) -> NDArray[np.float64] | float:
        """Call a metric; returns its values, ``(n_rows,)``, or its one number.

        Args:
            rows: ``truth``, ``predictions``, ``columns`` and, for classification, ``probability``.

        Raises:
            NotFound: there is no metric of this name.
            UserCodeError: it raised, or returned something else; the message names the user's file and line.
        """
        function = self.metrics.get(name)
        if function is None:
            known = ", ".join(sorted(self.metrics)) or "none"
            raise NotFound(
                f"{FILE_NAME} has no metric {name!r}; it has: {known}. "
                f"Mark a function with @headrace.metric(\"{name}\"), or correct 'metrics' in headrace.yaml."
            )
        with _user_code(self.folder, name):
            taken = inspect.signature(function).parameters
            found = function(**{key: value for key, value in rows.items() if key in taken})
        try:
            values = np.asarray(found, dtype=np.float64)
        except (TypeError, ValueError):
            values = np.zeros((0, 0))
        n_rows = len(rows["truth"])
        if values.shape not in ((), (n_rows,)):
            raise UserCodeError(
                f"Metric {name!r} ({FILE_NAME}:{function.__code__.co_firstlineno}) returned a "
                f"{type(found).__name__}. Expected a number, or {n_rows} numbers, one per row."
            )
        return float(values) if values.shape == () else values

    def explain(
        self,
        name: str,
        predict: Callable[[Mapping[str, Any]], NDArray[np.float64]],
        row: Columns,
        background: Columns,
    ) -> dict[str, float]:
        """Call an explainer; returns what each input contributed, in the order of ``row``.

        Raises:
            NotFound: there is no explainer of this name.
            UserCodeError: it raised, or returned something else; the message names the user's file and line.
        """
        function = self.explainers.get(name)
        if function is None:
            known = ", ".join(sorted(self.explainers)) or "none"
            raise NotFound(
                f"{FILE_NAME} has no explainer {name!r}; it has: {known}. "
                f'Mark a function with @headrace.explainer("{name}"), or correct serving.explainer.'
            )
        with _user_code(self.folder, name):
            said = function(predict, row, background)
        try:
            found = {str(key): float(value) for key, value in dict(said).items()}
        except (TypeError, ValueError):
            found = {"": nan}
        if found.keys() - row.keys() or not all(map(isfinite, found.values())):
            raise UserCodeError(
                f"Explainer {name!r} ({FILE_NAME}:{function.__code__.co_firstlineno}) returned a "
                f"{type(said).__name__}. Expected a finite number for each of {', '.join(list(row)[:20])}."
            )
        return {key: found.get(key, 0.0) for key in row}

    def make_table(self, params: Mapping[str, Any] | None = None) -> Any:
        """Call the source; returns what it returned.

        Args:
            params: arguments for the source; those that it does not take are left out.

        Raises:
            NotFound: there is none.
            UserCodeError: it raised; the message names the user's file and line.
        """
        if self.source is None:
            raise NotFound(
                f"{FILE_NAME} has no source. Add a function decorated with @headrace.source, "
                "or name a file as 'source' in headrace.yaml."
            )
        with _user_code(self.folder, self.source.__name__):
            taken = inspect.signature(self.source).parameters
            return self.source(**{name: value for name, value in (params or {}).items() if name in taken})

    def where(self, name: str) -> str:
        """File and line of a trainer, as in ``project.py:12``."""
        code = self.trainers[name].__code__
        return f"{_relative(code.co_filename, self.folder)}:{code.co_firstlineno}"


def load_definition(folder: Path) -> Definition:
    """Run ``folder/project.py`` and collect its marked functions.

    Raises:
        NotFound: there is no such file.
        UserCodeError: it does not parse, or raised.
        InvalidInput: two sources, or nothing is marked.

    Example::

        definition = load_definition(Path("flight-delay"))
        model = definition.train("linear", data, {"alpha": 2.0})
    """
    folder = folder.resolve()
    path = _project_file(folder)
    with _user_code(folder, "<module>"):
        name = f"_headrace_project_{digest_bytes(str(path).encode())[:12]}"
        loader = _FreshLoader(name, str(path))
        module = types.ModuleType(name)
        module.__file__ = str(path)
        sys.modules[name] = module  # dataclasses look their module up by name
        loader.exec_module(module)
    marked = {
        id(value): value for value in vars(module).values() if callable(value) and hasattr(value, _MARK)
    }
    sources = [value for value in marked.values() if getattr(value, _MARK) == "source"]
    trainers = {value.__name__: value for value in marked.values() if getattr(value, _MARK) == "trainer"}
    named = {role: _named(marked.values(), role) for role in ("metric", "explainer")}
    if len(sources) > 1:
        names = " and ".join(value.__name__ for value in sources)
        raise InvalidInput(f"{FILE_NAME} marks {names} as source. Expected one; remove a @headrace.source.")
    if not marked:
        raise InvalidInput(
            f"{FILE_NAME} marks no function. Expected at least one decorated with @headrace.trainer."
        )
    return Definition(
        folder=folder,
        source=sources[0] if sources else None,
        trainers=trainers,
        metrics=named["metric"],
        explainers=named["explainer"],
    )


def _named(marked: Iterable[Any], role: str) -> dict[str, Callable[..., Any]]:
    """Those of a role that are marked with a name."""
    functions = [value for value in marked if getattr(value, _MARK) == role]
    found = {getattr(value, _NAME): value for value in functions}
    if len(found) < len(functions):
        raise InvalidInput(f"{FILE_NAME} marks two {role}s with one name. Give each its own.")
    return found


def check_code(folder: Path) -> None:
    """Whether ``folder/project.py`` is there and parses; none of it is run.

    Raises:
        NotFound: there is no such file.
        UserCodeError: it does not parse; the message names file and line.
    """
    folder = folder.resolve()
    path = _project_file(folder)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError, OSError) as error:
        raise UserCodeError(describe(error, folder, "<module>")) from error


def marked_names(folder: Path, role: str) -> frozenset[str]:
    """Names that ``folder/project.py`` gives to metrics or explainers, read without running it.

    Raises:
        NotFound: there is no such file.
        UserCodeError: it does not parse.
    """
    check_code(folder)
    tree = ast.parse(_project_file(folder.resolve()).read_bytes())
    calls = [
        decorator
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func).rpartition(".")[2] == role
    ]
    names = [call.args[0].value for call in calls if call.args and isinstance(call.args[0], ast.Constant)]
    return frozenset(name for name in names if isinstance(name, str))


def _project_file(folder: Path) -> Path:
    path = folder / FILE_NAME
    if not path.is_file():
        raise NotFound(f"There is no {FILE_NAME} in {folder}. 'headrace init' writes one.")
    return path


class _FreshLoader(SourceFileLoader):
    """Always compiles what the file says now; cached bytecode misses a change within a second."""

    def get_code(self, fullname: str) -> types.CodeType | None:  # noqa: ARG002 - the loader's own signature
        return self.source_to_code(self.get_data(self.path), self.path)


def _check_parameters(name: str, function: Callable[..., Any], params: Mapping[str, Any]) -> None:
    signature = inspect.signature(function)
    try:
        signature.bind(None, **params)
    except TypeError as error:
        takes = ", ".join(list(signature.parameters)[1:]) or "none"
        raise InvalidInput(
            f"Trainer {name!r} ({FILE_NAME}:{function.__code__.co_firstlineno}) cannot be called with the "
            f"parameters in headrace.yaml ({', '.join(params) or 'none'}): {error}. It takes: {takes}."
        ) from error


@contextmanager
def _user_code(folder: Path, name: str) -> Iterator[None]:
    """Let the code in ``folder`` import its neighbours, and report what it raises as its own."""
    with _loading:
        before = set(sys.modules)
        sys.path.insert(0, str(folder))
        try:
            yield
        except (KeyboardInterrupt, HeadraceError):
            raise
        except BaseException as error:  # user code may raise anything, SystemExit included
            raise UserCodeError(describe(error, folder, name)) from error
        finally:
            sys.path.remove(str(folder))
            # Another project may have modules of the same names.
            for imported in set(sys.modules) - before:
                file = getattr(sys.modules[imported], "__file__", None)
                if file is not None and _inside(file, folder) and Path(file) != folder / FILE_NAME:
                    del sys.modules[imported]


def describe(error: BaseException, folder: Path, name: str) -> str:
    """One line such as ``project.py:12 in lightgbm: ZeroDivisionError: division by zero``."""
    if isinstance(error, SyntaxError) and error.filename and _inside(error.filename, folder):
        return f"{_relative(error.filename, folder)}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _inside(f.filename, folder)]
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    if isinstance(error, SystemExit):
        what += " (it ended the process; return or raise instead)"
    if not frames:
        return f"{FILE_NAME} in {name}: {what}"
    frame = frames[-1]
    where = f"{_relative(frame.filename, folder)}:{frame.lineno}"
    return f"{where}: {what}" if frame.name == "<module>" else f"{where} in {frame.name}: {what}"


def _inside(file: str, folder: Path) -> bool:
    path = Path(file)
    return path.is_relative_to(folder) and "site-packages" not in path.relative_to(folder).parts


def _relative(file: str, folder: Path) -> str:
    return str(Path(file).relative_to(folder)) if _inside(file, folder) else file
