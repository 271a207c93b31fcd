"""The one list of what a pickle may name. Whatever is not on it is refused, by the scanner and the loader.

A name is trusted to a degree. ``name``: it may be mentioned, such as a dtype or a metric kept as a parameter.
``make``: an empty instance may be made and filled, which runs none of its constructor. ``call``: it may be
called with whatever arguments the file holds; where some arguments do harm, :func:`misuse` says which.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Trust = Literal["name", "make", "call"]
DEGREES: tuple[Trust, ...] = ("name", "make", "call")


class Global(NamedTuple):
    """What a pickle refers to by name."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


_CLASS = re.compile(r"_?(?![A-Z0-9]+_[A-Z0-9_]*$)[A-Z]\w*")
_DTYPE = re.compile(
    r"[?bBhHiIlLqQefdgFDGOMmcSUV]|(b1|[iu][1248]|f(2|4|8|16)|c(8|16|32)|[mM]8|O8?|[SUV]\d{1,9})"
)
_BUILTINS = (
    "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple".split()
)
_NUMBERS = (
    "bool bool_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 intc uintc intp uintp longlong ulonglong "
    "float16 float32 float64 longdouble complex64 complex128 clongdouble str_ bytes_ void datetime64 "
    "timedelta64 object_ number integer floating"
).split()
_FUNCTIONS = (
    "abs absolute ceil cbrt cos exp expm1 fabs floor log log10 log1p log2 mean median maximum minimum "
    "reciprocal sign sin sqrt square sum tanh"
).split()
_SPARSE = "csr|csc|coo|bsr|dia|dok|lil"
_STORAGES = r"(B?Float(16)?|Double|Half|Long|Int|Short|Char|Byte|Bool|Untyped)Storage"
_RIVER = (
    "base|compose|drift|ensemble|facto|feature_extraction|feature_selection|forest|linear_model|metrics|"
    "multiclass|naive_bayes|neighbors|optim|preprocessing|proba|rules|stats|tree|utils"
)
"""Packages of river whose classes are models, or parts of them."""
_SELECTORS = "chi2 f_classif f_oneway f_regression r_regression mutual_info_classif mutual_info_regression"


def _exactly() -> dict[tuple[str, str], Trust]:
    found: dict[tuple[str, str], Trust] = {}

    def trust(degree: Trust, modules: str, names: Sequence[str]) -> None:
        found.update({(module, name): degree for module in modules.split() for name in names})

    trust("call", "builtins __builtin__", _BUILTINS)
    trust("call", "__builtin__", ["long", "unicode", "xrange"])
    trust("call", "copyreg copy_reg", ["_reconstructor"])
    trust("call", "_codecs", ["encode"])
    trust("call", "collections", ["Counter", "OrderedDict", "defaultdict", "deque"])
    trust("call", "datetime", ["date", "datetime", "time", "timedelta", "timezone"])
    trust("call", "decimal fractions uuid", ["Decimal", "Fraction", "UUID"])
    trust("call", "numpy", ["dtype"])
    trust("name", "numpy", ["ndarray", "nan", *_NUMBERS, *_FUNCTIONS])
    trust("call", "numpy.core.multiarray numpy._core.multiarray", ["_reconstruct", "scalar"])
    trust("call", "numpy.core.numeric numpy._core.numeric", ["_frombuffer"])
    trust("call", "numpy.ma.core numpy.ma", ["_mareconstruct"])
    trust("name", "numpy.ma.core numpy.ma", ["MaskedArray"])
    trust(
        "call", "numpy.random._pickle", [f"__{w}_ctor" for w in ("bit_generator", "generator", "randomstate")]
    )
    for generator in ("MT19937", "PCG64", "PCG64DXSM", "Philox", "SFC64"):
        module = "pcg64" if generator == "PCG64DXSM" else generator.lower()
        trust("name", f"numpy.random._{module}", [generator])
    trust("name", "numpy.random._generator", ["Generator"])
    trust("call", "numpy.random.bit_generator", ["__pyx_unpickle_SeedSequence"])
    trust("make", "numpy.random.bit_generator", ["SeedSequence"])
    trust("name", "sklearn.cluster._kmeans", ["_kmeans_single_elkan", "_kmeans_single_lloyd"])
    trust("name", "scipy._lib.array_api_compat.numpy._aliases", ["asarray"])
    trust("make", "joblib.numpy_pickle", ["NumpyArrayWrapper"])
    trust("make", "lightgbm.basic lightgbm", ["Booster"])
    trust("make", "xgboost.core xgboost", ["Booster"])
    trust("call", "pandas._libs.internals", ["_unpickle_block"])
    trust("call", "pandas._libs.arrays", ["__pyx_unpickle_NDArrayBacked"])
    trust("call", "pandas._libs.tslibs.timestamps", ["_unpickle_timestamp"])
    trust("call", "pandas.core.internals.blocks", ["new_block"])
    trust("call", "pandas.core.indexes.base", ["_new_Index", "Index"])
    trust("call", "pandas.core.indexes.datetimes", ["_new_DatetimeIndex", "DatetimeIndex"])
    trust("call", "torch._utils", ["_rebuild_parameter", "_rebuild_tensor", "_rebuild_tensor_v2"])
    trust("call", "torch", ["Size", "device"])
    trust("make", "headrace.training.online", ["OnlineModel"])
    trust("call", "random", ["Random"])
    trust("call", "river._river_rust.vectordict", ["VectorDict"])
    return found


_EXACT = _exactly()

_MODULES: tuple[tuple[Trust, str, str], ...] = (
    ("name", r"numpy(\.dtypes)?", r"[A-Z]\w*DType"),
    ("make", rf"scipy\.sparse(\._?({_SPARSE}))?", rf"({_SPARSE})_(matrix|array)"),
    ("make", r"scipy\.interpolate(\._?\w+)?", r"interp1d|BSpline|CubicSpline|PchipInterpolator"),
    ("name", r"sklearn\.metrics(\.\w+)*", r"[a-z]\w*_(score|error|loss)"),
    ("name", r"sklearn\.feature_selection(\.\w+)*", _SELECTORS.replace(" ", "|")),
    ("call", r"sklearn(\.\w+)+", r"newObj|__pyx_unpickle_[A-Z]\w*"),
    ("make", r"lightgbm\.sklearn|lightgbm", r"LGBM(Model|Classifier|Regressor|Ranker)|_LGBM\w+"),
    ("make", r"xgboost\.sklearn|xgboost", r"XGB(RF)?(Model|Classifier|Regressor|Ranker)"),
    ("make", r"catboost\.core|catboost", r"CatBoost(Classifier|Regressor|Ranker)?|_CatBoost"),
    ("call", r"pandas(\.core\.(frame|series))?", r"DataFrame|Series"),
    (
        "call",
        r"pandas(\.arrays)?",
        r"Categorical|Period|Interval|Timestamp|[A-Z]\w*(Index|Array|Dtype)|Index",
    ),
    ("call", r"pandas\.core\.internals\.managers", r"(Single)?BlockManager"),
    ("call", r"pandas\.core\.(indexes|arrays)(\.\w+)+", r"[A-Z]\w*(Index|Array|Dtype)"),
    ("call", r"pandas\.core\.dtypes\.dtypes|pandas\._libs\.tslibs\.\w+", r"[A-Z]\w*"),
    ("make", rf"river\.({_RIVER})(\.\w+)*", r"_?[A-Z]\w*"),
    ("make", r"river\._river_rust\.\w+", r"[A-Z]\w*"),
    ("name", r"river\.tree\.splitter\.\w+", r"[A-Z]\w*\._update_estimator(_univariate|_multivariate)"),
    ("name", r"torch(\.storage)?", _STORAGES),
    ("name", r"torch", r"(b?float|u?int|complex)\d+|bool|double|half|long"),
)
_PATTERNS = [(degree, re.compile(module), re.compile(name)) for degree, module, name in _MODULES]

_SKLEARN = re.compile(r"sklearn(\.\w+)+")
_NOT_SKLEARN = re.compile(
    r"sklearn\.(externals|datasets|experimental|tests|conftest|callback)\b.*"
    r"|sklearn(\.\w+)*\.(tests|_testing|estimator_checks|parallel|_joblib|_plotting|fixes)\b.*"
)
_BORROWED = frozenset(
    "BytesIO Delayed Enum LinearOperator Memory MethodType NamedTuple Parallel Parameter Path Popen".split()
)
"""Class-like names that scikit-learn's modules import from elsewhere."""


def trust_of(found: Global) -> Trust | None:
    """How far ``found`` is trusted; None: not at all.

    >>> trust_of(Global("posix", "system")) is None
    True
    >>> trust_of(Global("sklearn.linear_model._ridge", "Ridge"))
    'call'
    """
    exact = _EXACT.get(found)
    if exact is not None:
        return exact
    for degree, module, name in _PATTERNS:
        if module.fullmatch(found.module) and name.fullmatch(found.name):
            return degree
    ours = _SKLEARN.fullmatch(found.module) and not _NOT_SKLEARN.fullmatch(found.module)
    if ours and _CLASS.fullmatch(found.name) and found.name not in _BORROWED:
        return "call"
    return None


class Made:
    """What calling or filling something in a pickle would give. Compared by identity.

    Attributes:
        of: what was called; None where the file does not say it by name.
        state: what it was filled with.
    """

    def __init__(self, of: Global | None, arguments: tuple[object, ...] = ()) -> None:
        self.of = of
        self.arguments = arguments
        self.state: object = None


def misuse(called: Global, arguments: Sequence[object]) -> str | None:
    """Why these arguments make a trusted call harmful; None: they do not."""
    rule = _RULES.get(called.name) if (called.module, called.name) in _EXACT else None
    return (
        None if rule is None or rule(arguments) else f"{called} is called with arguments that it never gets"
    )


def _of_content(arguments: Sequence[object]) -> bool:
    """Content, and no length: ``bytearray(10**12)`` takes a terabyte of memory."""
    if not arguments or isinstance(arguments[0], bytes | bytearray | str):
        return True
    return isinstance(arguments[0], Made) and arguments[0].of == Global("_codecs", "encode")


def _of_container(arguments: Sequence[object]) -> bool:
    """No made thing: a list of a long range is a list that fills the memory."""
    return not any(isinstance(argument, Made) for argument in arguments)


def _latin(arguments: Sequence[object]) -> bool:
    return len(arguments) == 2 and isinstance(arguments[0], str) and arguments[1] in ("latin1", "latin-1")


def _empty_array(arguments: Sequence[object]) -> bool:
    """Arrays are always made empty and then filled; a shape here would be memory without content."""
    return len(arguments) == 3 and isinstance(arguments[0], Global) and arguments[1] == (0,)


def _dtype(arguments: Sequence[object]) -> bool:
    return bool(arguments) and isinstance(arguments[0], str) and bool(_DTYPE.fullmatch(arguments[0]))


_RULES: dict[str, Callable[[Sequence[object]], bool]] = {
    "bytearray": _of_content,
    "bytes": _of_content,
    "encode": _latin,
    "_reconstruct": _empty_array,
    "dtype": _dtype,
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "dict"), _of_container),
    **dict.fromkeys(("Counter", "OrderedDict", "defaultdict", "deque"), _of_container),
}
