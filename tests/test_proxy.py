"""What the author of a hidden test sees of a submission, on a real worker in the sandbox."""

from __future__ import annotations

import itertools
import json
import math
import os
import threading
import time

import numpy as np
import pytest
import torch

from grading.judge import (
    HandleError,
    SubmissionFailure,
    assert_close,
    assert_tensor,
    check,
    gradcheck,
    mutable,
    shares_memory,
)
from grading.judge.failures import Ended, MissingName, OutOfTime, RemoteError
from grading.judge.proxy import Remote, Submission
from grading.judge.session import Limits, NotebookProcess
from grading.sandbox import WorkerView, start_worker

CELLS = [
    (
        1,
        """
import collections, enum, math, time
import numpy as np
import torch

def many(n):
    return list(range(n))

def wasteful(x):
    wide = x.expand(8, 1 << 20).sin()  # 32 MB, kept for the backward pass
    return wide.cos().mean()

Point = collections.namedtuple("Point", "x y")
class Lying(float):
    def __eq__(self, other): return True
    __hash__ = float.__hash__
class LyingDict(dict):
    def __eq__(self, other): return True
    def __getitem__(self, key): return "whatever you like"
    def get(self, key, default=None): return "whatever you like"
class Grid(np.ndarray):
    def __eq__(self, other): return True
class Proud(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function in (torch.allclose, torch.equal, torch.Tensor.__eq__):
            return True
        return super().__torch_function__(function, types, args, kwargs or {})
class Colour(enum.IntEnum):
    RED = 3

VALUES = dict(
    none=None, true=True, integer=-7, big=1 << 100, number=2.5, infinite=-math.inf, complex=1 - 2j, text="наука\\x00",
    surrogates="\\udc80", raw=b"\\x00\\xff", list=[1, [2.0]], tuple=(1, (2,)), dict={"b": [1], 2: "c", (3,): None},
    set={1, "a"}, slice=slice(1, None, -2), dots=..., size=torch.Size([2, 3]), device=torch.device("cpu"),
    torch_dtype=torch.bfloat16, numpy_dtype=np.dtype("int16"),
)
SUBCLASSES = dict(
    float=Lying(2.5), dict=LyingDict(a=1), array=np.arange(3.0).view(Grid), tensor=torch.arange(3.0).as_subclass(Proud),
    namedtuple=Point(1, 2), ordered=collections.OrderedDict(b=1, a=2), default=collections.defaultdict(list, b=[1]),
    member=Colour.RED, scalar=np.float32(1.5), flag=np.bool_(True),
    parameter=torch.nn.Parameter(torch.ones(2)), nested=[Point(Lying(1.0), LyingDict(b=Colour.RED))],
)
def give(name): return VALUES[name]
def give_subclass(name): return SUBCLASSES[name]
def same(x): return x
def kind_of(x): return type(x).__module__ + "." + type(x).__qualname__
def all_of(*args, **kwargs): return [args, kwargs]
def default_dtype(): return str(torch.zeros(1).dtype)
def grad_mode(): return torch.is_grad_enabled()
""",
    ),
    (
        2,
        '''
class Value:
    def __init__(self, data): self.data = data
    def __add__(self, other): return Value(self.data + getattr(other, "data", other))
    def __radd__(self, other): return Value(other + self.data)
    def __mul__(self, other): return Value(self.data * getattr(other, "data", other))
    def __sub__(self, other): return ("minus", self.data, other)
    def __rsub__(self, other): return ("reflected minus", other, self.data)
    def __pow__(self, other): return Value(self.data ** other)
    def __rpow__(self, other): return ("reflected power", other, self.data)
    def __rmatmul__(self, other): return ("reflected matmul", other, self.data)
    def __matmul__(self, other): return ("matmul", self.data, other)
    def __truediv__(self, other): return self.data / other
    def __rtruediv__(self, other): return other / self.data
    def __neg__(self): return Value(-self.data)
    def __abs__(self): return abs(self.data)
    def __and__(self, other): return ("and", other)
    def __rand__(self, other): return ("reflected and", other)
    def __invert__(self): return "inverted"
    def __eq__(self, other): return True
    def __lt__(self, other): return True
    def __bool__(self): return True
    def __float__(self): return 1.0
    def __contains__(self, item): return True
    __hash__ = object.__hash__

class Shelf:
    def __init__(self, items): self.items = dict(items)
    def __getitem__(self, key): return self.items[key]
    def __setitem__(self, key, value): self.items[key] = value
    def __len__(self): return len(self.items)
    def __iter__(self): return iter(self.items)

class BatchNorm(torch.nn.Module):
    def __init__(self, features, *, momentum=0.1):
        super().__init__()
        self.momentum = momentum
        self.weight = torch.nn.Parameter(torch.ones(features))
        self.register_buffer("running_mean", torch.zeros(features))
    def forward(self, x):
        if self.training:
            self.running_mean += self.momentum * x.detach().mean(0)
        return (x - x.mean(0)) * self.weight

class Flat(torch.nn.Linear):
    """Half of it is frozen."""
    def __init__(self):
        super().__init__(2, 2)
        self.bias.requires_grad_(False)

def counted(n):
    for i in range(n):
        yield torch.full((2,), float(i))
def fails_at(n):
    yield from range(n)
    raise KeyError("no more")
class OddLength:
    def __len__(self): return -1
def gradcheck_is_true(f, x): return Value(1)
''',
    ),
    (
        3,
        """
def gelu(x): return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))
def wrong_gradient(x): return Doubled.apply(x)
class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return 2 * x
    @staticmethod
    def backward(ctx, g): return 3 * g
class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x
    @staticmethod
    def backward(ctx, g):
        x, = ctx.saved_tensors
        return 2 * x * g
class BadShape(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x * 2
    @staticmethod
    def backward(ctx, g): return g.new_ones(7)
class BadCount(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x * 2
    @staticmethod
    def backward(ctx, g): return g, g, g
class BadKind(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x * 2
    @staticmethod
    def backward(ctx, g): return "gradient"
class Raises(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x): return x * 2
    @staticmethod
    def backward(ctx, g): raise ZeroDivisionError("in backward")
class MakesZeros(torch.autograd.Function):
    seen = []
    @staticmethod
    def forward(ctx, x): return x * 2
    @staticmethod
    def backward(ctx, g):
        MakesZeros.seen.append(str(torch.zeros(1).dtype))
        return 2 * g
def seen(): return MakesZeros.seen
def two_outputs(x): return {"double": x * 2, "root": [x.sqrt()]}
def product(x, y): return x * y
def weighted(pair, *, scale): return pair[0] * 2 + pair[1] * scale
def complex_product(z): return z * z.conj() * (1 + 2j)
def detached(x): return x.detach() * 2
def ignores(x): return torch.ones(2)
def unused(x, y): return x * 2
def own_parameter(x): return x @ LAYER.weight.T
LAYER = torch.nn.Linear(3, 2, bias=False).double()
def parameter(): return LAYER.weight
def numpy_of(x): return x.detach().numpy() * 2
""",
    ),
    (
        4,
        """
def fill(x, value=7):
    x[...] = value
    return x
def fill_(x, value=7):
    x[...] = value
    return x
def fill_second_(x, y): y.fill_(7)
def sneaky(x):
    x.mul_(0)
    return x + 5
def sneaky_array(x):
    x *= 0
    return x + 5
def sneaky_dict(batch):
    batch["x"].zero_()
    batch["y"][0].zero_()
    batch.clear()
def keep_and_change_later(x): KEPT.append(x)
def change_kept(): KEPT[0].fill_(9)
KEPT = []
def row(x): return x[1]
def every_other(x): return x[..., ::2]
def turned(x): return x.T
def back_to_front(x): return x[::-1]
def whole(x): return x[:]
def copy(x): return x.clone() if isinstance(x, torch.Tensor) else x.copy()
def wide(x): return x.expand(3, *x.shape)
def conjugated(x): return x.conj()
def adjoint(x): return x.mH
def as_integers(x): return x.view(np.int64)
def real_part(x): return x.real
def column(x): return (x * 1.0)[:, 0]
def of_no_rows(x): return (x * 1.0)[:0, 0]
def layout(x):
    strides = x.stride() if isinstance(x, torch.Tensor) else x.strides
    return list(x.shape), list(strides)
def share(x, y):
    x[...] = 1
    return y.tolist() if hasattr(y, "tolist") else y
def swapped(x, y): return [y, x]
""",
    ),
    (
        5,
        """
def call(f, *args, **kwargs): return f(*args, **kwargs)
def call_often(f, n):
    for i in range(n):
        f(i)
    return n
def call_with(f, size): return f(torch.zeros(size, dtype=torch.uint8))
def call_with_object(f): return f(Value(1))
def call_with_values(f): return f(list(SUBCLASSES.values()))
def keep_function(f): FUNCTIONS.append(f)
def call_kept(): return FUNCTIONS[0](1)
FUNCTIONS = []
def catches(f):
    try:
        return f(1)
    except ZeroDivisionError as error:
        return "caught " + str(error)
def catches_anything(f, argument):
    try:
        f(argument)
    except Exception as error:
        return type(error).__name__
def apply_to_gradient(f, x):
    y = f(x)
    return type(y).__name__, y.requires_grad
def minimise(f, x):
    for _ in range(50):
        x = x - 0.1 * (f(x + 1e-4) - f(x - 1e-4)) / 2e-4
    return x

def sample(generator, n): return torch.rand(n, generator=generator)
def random_draws(): return [torch.rand(3), np.random.rand(3), __import__("random").random()]
""",
    ),
    (
        6,
        """
class OwnError(ValueError):
    pass
class Unreadable(Exception):
    def __str__(self): raise RuntimeError("no text")
def fail(kind, text="a reason"):
    raise {"OwnError": OwnError, "Unreadable": Unreadable, **__builtins_of()}[kind](text)
def __builtins_of():
    import builtins
    return vars(builtins)
def raise_plainly(text): raise OwnError(text)
def not_yet(x): raise NotImplementedError
def deep(n): return deep(n)
def hang():
    while True:
        pass
def leave(): __import__("os")._exit(0)
def leave_politely(): raise SystemExit(0)
def crash(): __import__("ctypes").string_at(0)
def nothing(): pass
def too_deep():
    value = []
    for _ in range(100):
        value = [value]
    return value
def too_many(): return list(range(30_000))
def too_large(): return torch.zeros(300 << 20, dtype=torch.uint8)
def itself():
    value = []
    value.append(value)
    return value
def large(): return torch.arange(5_000_000)
def number_of_16_384_bits_and_more(): return 1 << 20_000
""",
    ),
    (7, "1 / 0\nnever = 1"),
]

SUPPORT = """
import torch

PLANTED = {"weight": torch.arange(3.0)}

def planted(scale):
    return {name: scale * value for name, value in PLANTED.items()}

class Network:
    def __init__(self, width):
        self.width = width
"""


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    support = tmp_path_factory.mktemp("homework") / "support.py"
    support.write_text(SUPPORT)
    support.chmod(0o644)
    for directory in (support.parent, support.parent.parent, support.parent.parent.parent):
        directory.chmod(0o755)
    warm = start_worker(WorkerView(support=support))
    warm.wait_until_ready()
    yield warm
    warm.close()


@pytest.fixture(scope="module")
def notebook(worker):
    """The student's notebook, its cells run, in the sandbox."""
    process = NotebookProcess(worker, CELLS, frozenset(), Limits(test=60, cell=60, total=600))
    process.run()
    yield process
    process.stop()


@pytest.fixture
def submission(notebook):
    with notebook.test(7) as link:
        yield Submission(link)


def test_the_cells_ran(notebook):
    states = [notebook.outcomes[number].state for number, _ in CELLS]

    assert states == ["ok"] * 6 + ["failed"]


# --------------------------------------------------------------------------------------------- data, by value


@pytest.mark.parametrize(
    ("name", "value"),
    [("none", None), ("true", True), ("integer", -7), ("big", 1 << 100), ("number", 2.5), ("infinite", -math.inf),
     ("complex", 1 - 2j), ("text", "наука\x00"), ("surrogates", "\udc80"), ("raw", b"\x00\xff"), ("list", [1, [2.0]]),
     ("tuple", (1, (2,))), ("dict", {"b": [1], 2: "c", (3,): None}), ("set", {1, "a"}), ("slice", slice(1, None, -2)),
     ("dots", ...), ("size", torch.Size([2, 3])), ("device", torch.device("cpu")), ("torch_dtype", torch.bfloat16),
     ("numpy_dtype", np.dtype("int16"))],
)  # fmt: skip
def test_plain_data_crosses_both_ways(submission, name, value):
    given = submission.give(name)
    returned = submission.same(value)

    assert [type(given), type(returned)] == [type(value)] * 2
    assert (given, returned) == (value, value)


def test_a_dict_keeps_its_order(submission):
    assert list(submission.give("dict")) == ["b", 2, (3,)]
    assert list(submission.same({"z": 1, "a": 2})) == ["z", "a"]


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.uint16, torch.float16, torch.bfloat16, torch.float64,
                                   torch.complex64])  # fmt: skip
@pytest.mark.parametrize("shape", [(), (0,), (2, 3), (2, 0, 3)])
def test_tensors_cross(submission, dtype, shape):
    x = torch.ones(shape, dtype=dtype)

    y = submission.copy(x)

    assert type(y) is torch.Tensor
    assert (y.dtype, y.shape) == (dtype, shape)
    assert torch.equal(y, x)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64", "complex128"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_arrays_cross(submission, dtype, shape):
    x = np.ones(shape, dtype)

    y = submission.copy(x)

    assert type(y) is np.ndarray
    assert (y.dtype, y.shape) == (x.dtype, x.shape)
    assert (y == x).all()


def test_arguments_arrive_as_exact_types(submission):
    kinds = [
        submission.kind_of(x) for x in (torch.nn.Parameter(torch.ones(1)), np.float64(1.0), 2.0, (1,), {1: 2})
    ]

    assert kinds == ["torch.Tensor", "numpy.ndarray", "builtins.float", "builtins.tuple", "builtins.dict"]


def test_positional_and_keyword_arguments_cross(submission):
    assert submission.all_of(1, "a", x=[2.5], y=None) == [(1, "a"), {"x": [2.5], "y": None}]


def test_a_large_result_crosses(submission):
    y = submission.large()

    assert torch.equal(y, torch.arange(5_000_000))


# ------------------------------------------------------------------------- subclasses that lie, as their base


def test_a_float_that_equals_everything_arrives_as_a_float(submission):
    value = submission.give_subclass("float")

    assert type(value) is float
    assert value == 2.5
    assert value != 3.0


def test_a_dict_whose_items_change_arrives_as_a_dict(submission):
    value = submission.give_subclass("dict")

    assert type(value) is dict
    assert value == {"a": 1}
    assert value != {"a": 2}


def test_an_array_of_a_subclass_arrives_as_an_array(submission):
    value = submission.give_subclass("array")

    assert type(value) is np.ndarray
    assert (value == np.arange(3)).all()
    assert not (value == np.ones(3)).all()


def test_a_tensor_with_a_torch_function_arrives_as_a_tensor(submission):
    value = submission.give_subclass("tensor")

    assert type(value) is torch.Tensor
    assert torch.equal(value, torch.arange(3.0))
    assert not torch.allclose(value, torch.ones(3))


@pytest.mark.parametrize(
    ("name", "value"),
    [("namedtuple", (1, 2)), ("ordered", {"b": 1, "a": 2}), ("default", {"b": [1]}), ("member", 3),
     ("nested", [(1.0, {"b": 3})])],
)  # fmt: skip
def test_other_subclasses_arrive_as_their_base(submission, name, value):
    received = submission.give_subclass(name)

    assert type(received) is type(value)
    assert repr(received) == repr(value)


@pytest.mark.parametrize(("name", "dtype"), [("scalar", np.float32), ("flag", np.bool_)])
def test_numpy_scalars_arrive_as_arrays_of_no_dimension(submission, name, dtype):
    value = submission.give_subclass(name)

    assert type(value) is np.ndarray
    assert (value.shape, value.dtype) == ((), dtype)


def test_a_parameter_arrives_as_a_tensor_that_requires_grad(submission):
    value = submission.give_subclass("parameter")

    assert type(value) is torch.Tensor
    assert value.requires_grad
    assert value.is_leaf


# ---------------------------------------------------------------------------------------------------- handles


def test_what_is_not_data_is_a_handle(submission):
    value = submission.Value(1)

    assert isinstance(value, Remote)
    assert repr(value) == "<a Value of the submission>"
    assert isinstance(submission.Value, Remote)
    assert isinstance(submission.counted(1), Remote)


@pytest.mark.parametrize(
    "use",
    [
        bool,
        lambda value: not value,
        lambda value: value and 1,
        lambda value: value == 1,
        lambda value: 1 == value,  # noqa: SIM300 - reflected
        lambda value: value != 1,
        lambda value: value < 1,
        lambda value: 1 < value,  # noqa: SIM300 - reflected
        lambda value: value >= 1,
        lambda value: 1 in value,
        lambda value: value in [1, 2],
        lambda value: {1: 2} == {1: value},  # noqa: SIM300 - reflected
        float,
        int,
        complex,
        round,
        math.floor,
        math.sqrt,
        range,
        lambda value: [1, 2][value],
        np.asarray,
        lambda value: np.ones(2) == value,
        lambda value: np.allclose(value, 1),
        lambda value: np.isfinite(value),
        lambda value: torch.ones(2) == value,
        lambda value: torch.ones(2) < value,
        lambda value: math.isclose(value, 1),
        lambda value: check(value, "no"),
        lambda value: sorted([value, value]),
        lambda value: max(value, value),
    ],
)
def test_a_handle_is_no_value(submission, use):
    value = submission.Value(1)

    with pytest.raises(HandleError, match="returned a Value, expected"):
        use(value)


@pytest.mark.parametrize("expected", [1, 1.0, np.ones(()), torch.ones(()), [1], {"a": 1}])
def test_a_handle_is_close_to_nothing(submission, expected):
    with pytest.raises(SubmissionFailure):
        assert_close(submission.Value(1), expected)


def test_a_handle_is_no_tensor(submission):
    with pytest.raises(SubmissionFailure, match="a Value, expected a torch tensor"):
        assert_tensor(submission.Value(torch.ones(2)))


def test_a_students_word_that_all_is_well_is_not_taken(submission):
    with pytest.raises(HandleError):
        assert submission.gradcheck_is_true(submission.gelu, 1.0)


def test_attributes_are_read_and_written(submission):
    bn = submission.BatchNorm(4)

    bn.momentum = 0.5
    bn.running_mean = torch.ones(4)
    bn.note = {"x": torch.ones(2)}

    assert bn.momentum == 0.5
    assert bn.running_mean.tolist() == [1, 1, 1, 1]
    assert torch.equal(bn.note["x"], torch.ones(2))


def test_names_of_the_notebook_can_be_set(submission):
    submission.fresh = [1, torch.ones(2)]

    assert submission.defines("fresh")
    assert submission.fresh[0] == 1


def test_methods_keep_their_state(submission):
    bn = submission.BatchNorm(2, momentum=1.0)

    bn(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    bn.eval()
    bn(torch.tensor([[10.0, 20.0], [30.0, 40.0]]))

    assert bn.training is False
    assert bn.running_mean.tolist() == [2.0, 3.0]


def test_a_state_dict_is_a_dict_of_tensors(submission):
    state = submission.BatchNorm(2).state_dict()

    assert type(state) is dict
    assert list(state) == ["weight", "running_mean"]
    assert type(state["weight"]) is torch.Tensor


def test_a_state_dict_can_be_handed_over(submission):
    bn = submission.BatchNorm(2)

    bn.load_state_dict({"weight": torch.tensor([3.0, 4.0]), "running_mean": torch.ones(2)})

    assert bn.weight.tolist() == [3.0, 4.0]


def test_handles_can_be_arguments(submission):
    value = submission.same(submission.Value(3))
    inside = submission.all_of([submission.Value(4)], x={"v": submission.Value(5)})

    assert value.data == 3
    assert inside[0][0][0].data == 4
    assert inside[1]["x"]["v"].data == 5


def test_a_handle_of_another_test_is_not_taken(notebook):
    with notebook.test(7) as link:
        value = Submission(link).Value(1)

    with notebook.test(7) as link, pytest.raises(TypeError, match="one test only"):
        Submission(link).same(value)


def test_indexing_setting_and_length_are_forwarded(submission):
    shelf = submission.Shelf({"a": 1})

    shelf["b"] = torch.ones(2)
    shelf[1, ...] = slice(3)

    assert shelf["a"] == 1
    assert torch.equal(shelf["b"], torch.ones(2))
    assert shelf[1, ...] == slice(3)
    assert len(shelf) == 3
    with pytest.raises(KeyError):
        shelf["c"]


def test_a_false_length_is_the_submissions_failure(submission):
    with pytest.raises(SubmissionFailure):
        len(submission.OddLength())


def test_iteration_gives_data_or_handles(submission):
    shelf = submission.Shelf({"a": 1, "b": 2})
    numbers = [float(x[0]) for x in submission.counted(3)]
    parameters = list(submission.BatchNorm(3).parameters())

    assert list(shelf) == ["a", "b"]
    assert numbers == [0.0, 1.0, 2.0]
    assert [type(p) for p in parameters] == [torch.Tensor]


def test_a_generator_is_read_item_by_item(submission):
    items = submission.counted(1 << 60)

    first = list(itertools.islice(items, 3))

    assert [x[0].item() for x in first] == [0, 1, 2]
    assert next(items)[0].item() == 3


def test_the_end_of_a_generator_is_its_end(submission):
    items = submission.counted(0)

    assert next(items, "nothing") == "nothing"
    with pytest.raises(StopIteration):
        next(items)


def test_a_generator_that_raises_is_the_submissions_failure(submission):
    with pytest.raises(RemoteError) as failure:
        list(submission.fails_at(2))

    assert isinstance(failure.value, KeyError)


def test_arithmetic_is_forwarded(submission):
    v = submission.Value(3)

    assert (v + 1).data == 4
    assert (v + v).data == 6
    assert (v * v + v).data == 12
    assert (v**2).data == 9
    assert (-v).data == -3
    assert v - 1 == ("minus", 3, 1)
    assert v @ 2 == ("matmul", 3, 2)
    assert v / 2 == 1.5
    assert v & 5 == ("and", 5)
    assert abs(v) == 3
    assert ~v == "inverted"


def test_reflected_arithmetic_is_forwarded(submission):
    v = submission.Value(3)

    assert (1 + v).data == 4
    assert 1 - v == ("reflected minus", 1, 3)
    assert 2**v == ("reflected power", 2, 3)
    assert 6 / v == 2
    assert 5 & v == ("reflected and", 5)
    assert sum([v, v]).data == 6


def test_arithmetic_that_the_student_left_out_is_a_type_error(submission):
    with pytest.raises(TypeError):
        submission.Value(3) // 2
    with pytest.raises(TypeError):
        2 * submission.Value(3)


@pytest.mark.parametrize("left", [torch.ones(2), np.float64(2.0)], ids=["tensor", "NumPy scalar"])
def test_a_tensor_or_number_leaves_arithmetic_to_the_handle_on_its_right(submission, left):
    word, operand, data = left - submission.Value(3)

    assert (word, data) == ("reflected minus", 3)
    assert np.array_equal(operand, left)


def test_an_array_leaves_arithmetic_to_the_handle_item_by_item(submission):
    result = np.array([1.0, 2.0]) - submission.Value(3)

    assert list(result) == [("reflected minus", 1.0, 3), ("reflected minus", 2.0, 3)]


# --------------------------------------------------------------------------------------- names and exceptions


def test_a_missing_name_is_explained(submission):
    with pytest.raises(MissingName, match="your notebook has no never"):
        submission.never  # noqa: B018
    assert not submission.defines("never")
    assert submission.defines("gelu")


def test_a_missing_attribute_is_an_attribute_error(submission):
    with pytest.raises(AttributeError) as failure:
        submission.Value(1).missing  # noqa: B018

    assert isinstance(failure.value, RemoteError)


@pytest.mark.parametrize(
    "kind",
    ["ValueError", "TypeError", "IndexError", "KeyError", "RuntimeError", "NotImplementedError", "ZeroDivisionError",
     "OverflowError", "AttributeError", "AssertionError"],
)  # fmt: skip
def test_exceptions_can_be_caught_by_their_builtin_type(submission, kind):
    builtin = getattr(__import__("builtins"), kind)

    with pytest.raises(builtin) as failure:
        submission.fail(kind)

    assert isinstance(failure.value, SubmissionFailure)


@pytest.mark.parametrize(
    ("kind", "base"),
    [("OwnError", ValueError), ("UnicodeError", ValueError), ("ModuleNotFoundError", SubmissionFailure),
     ("RecursionError", RuntimeError), ("FloatingPointError", ArithmeticError), ("KeyError", LookupError)],
)  # fmt: skip
def test_exceptions_can_be_caught_by_their_nearest_builtin_base(submission, kind, base):
    with pytest.raises(base) as failure:
        submission.fail(kind)

    assert failure.value.kind == kind


def test_an_exception_says_where_it_was_raised(submission):
    with pytest.raises(RemoteError) as failure:
        submission.raise_plainly("no such layer")

    assert str(failure.value) == "raise_plainly: your code raised OwnError in cell 6, line 11: no such layer"


def test_a_stub_is_said_to_be_one(submission):
    with pytest.raises(NotImplementedError, match="not implemented yet"):
        submission.not_yet(1)


@pytest.mark.parametrize("text", ["x" * 100_000, "::error::\r\n\x1b[31m", "\ud800", "\u202e"])
def test_the_text_of_an_exception_is_short_and_printable(submission, text):
    with pytest.raises(RemoteError) as failure:
        submission.raise_plainly(text)

    assert str(failure.value).isprintable()
    assert len(str(failure.value)) < 400


def test_an_exception_that_cannot_be_read_is_a_failure_too(submission):
    with pytest.raises(RemoteError, match="Unreadable"):
        submission.fail("Unreadable")


def test_a_graph_that_nobody_holds_any_more_takes_no_memory(submission):
    x = torch.ones((), requires_grad=True)

    for _ in range(40):  # together they would need more than the limit of 1 GB
        submission.wasteful(x).backward()

    assert x.grad is not None


def test_too_much_memory_is_said_in_words(submission):
    x, held = torch.ones((), requires_grad=True), []

    with pytest.raises(RemoteError, match="used more memory than the limit in cell 1, line"):
        held.extend(submission.wasteful(x) for _ in range(40))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("SystemExit", "SystemExit"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("GeneratorExit", "GeneratorExit"),
        ("MemoryError", "used more memory than the limit"),
    ],
)
def test_no_exception_of_the_students_leaves_the_judge(submission, kind, words):
    with pytest.raises(SubmissionFailure, match=words):
        submission.fail(kind)


def test_a_result_of_too_many_parts_is_said_in_words(submission):
    with pytest.raises(ValueError, match="it returned a value with more than 20000 parts"):
        submission.many(30_000)


def test_after_an_exception_the_test_can_go_on(submission):
    with pytest.raises(ValueError):
        submission.fail("ValueError")

    assert submission.same(1) == 1


def test_endless_recursion_is_the_submissions_failure(submission):
    with pytest.raises(RuntimeError, match="RecursionError"):
        submission.deep(1)


@pytest.mark.parametrize("name", ["leave", "crash"])
def test_a_process_that_ends_is_the_submissions_failure(submission, name):
    with pytest.raises(Ended):
        getattr(submission, name)()
    with pytest.raises(Ended):
        submission.same(1)


def test_the_next_test_is_unharmed(notebook):
    with notebook.test(7) as link, pytest.raises(Ended):
        Submission(link).crash()

    with notebook.test(7) as link:
        assert Submission(link).same(1) == 1


def test_a_call_that_never_ends_is_out_of_time(worker):
    process = NotebookProcess(worker, CELLS[-2:], frozenset(), Limits(test=1, cell=60, total=600))
    process.run()
    try:
        with process.test(7) as link, pytest.raises(OutOfTime):
            Submission(link).hang()
        with process.test(7) as link:
            assert Submission(link).nothing() is None
    finally:
        process.stop()


@pytest.mark.parametrize(
    "name", ["too_deep", "too_many", "too_large", "itself", "number_of_16_384_bits_and_more"]
)
def test_a_result_beyond_the_wires_limits_is_the_submissions_failure(submission, name):
    with pytest.raises(SubmissionFailure):
        getattr(submission, name)()


def test_a_test_sees_nothing_of_the_one_before(notebook):
    with notebook.test(7) as link:
        Submission(link).VALUES["none"]
        Submission(link).own = 5
        Submission(link).keep_and_change_later(torch.ones(1))

    with notebook.test(7) as link:
        assert not Submission(link).defines("own")
        assert Submission(link).KEPT == []


def test_chance_is_the_same_for_the_same_seed_and_other_for_another(notebook):
    def draws(seed):
        with notebook.test(seed) as link:
            return repr(Submission(link).random_draws())

    assert draws(1) == draws(1)
    assert draws(1) != draws(2)


# --------------------------------------------------------------------------------------------------- autograd


def doubles(*shape, requires_grad=True):
    generator = torch.Generator().manual_seed(3)
    return torch.randn(shape, dtype=torch.float64, generator=generator).requires_grad_(requires_grad)


def test_gradcheck_is_an_ordinary_line(submission):
    assert torch.autograd.gradcheck(submission.gelu, (doubles(3, 4),))
    assert torch.autograd.gradcheck(submission.product, (doubles(3), doubles(2, 3)))
    gradcheck(submission.Square.apply, doubles(4))


def test_gradcheck_sees_a_wrong_gradient(submission):
    with pytest.raises(SubmissionFailure, match="does not agree"):
        gradcheck(submission.wrong_gradient, doubles(3))


def test_a_gradient_is_the_vector_jacobian_product(submission):
    x = doubles(5)
    cotangent = doubles(5, requires_grad=False) + 2

    submission.gelu(x).backward(cotangent)

    y = x.detach().clone().requires_grad_()
    torch.nn.functional.gelu(y).backward(cotangent)
    assert_close(x.grad, y.grad)


def test_gradients_flow_through_what_the_judge_does_before_and_after(submission):
    x = doubles(4)

    (submission.Square.apply(x.exp()) * 3).sum().backward()

    assert_close(x.grad, 6 * torch.exp(2 * x.detach()))


def test_gradients_add_up_over_calls_and_uses(submission):
    x = doubles(3)

    (submission.product(x, x) + submission.Square.apply(x)).sum().backward()

    assert_close(x.grad, 4 * x.detach())


def test_arguments_in_containers_and_keywords_are_in_the_graph(submission):
    x, y, scale = doubles(2), doubles(2), doubles(2)

    submission.weighted([x, y], scale=scale).sum().backward()

    assert_close(x.grad, torch.full((2,), 2.0, dtype=torch.float64))
    assert_close(y.grad, scale.detach())
    assert_close(scale.grad, y.detach())


def test_an_argument_that_is_not_used_gets_no_gradient_or_zeros(submission):
    x, y = doubles(2), doubles(2)

    submission.unused(x, y).sum().backward()

    assert y.grad is None or not y.grad.any()


def test_several_outputs_each_have_their_gradient(submission):
    x = torch.tensor([4.0, 9.0], dtype=torch.float64, requires_grad=True)

    result = submission.two_outputs(x)
    (result["double"].sum() + 6 * result["root"][0].sum()).backward()

    assert_close(x.grad, torch.tensor([2 + 1.5, 2 + 1.0], dtype=torch.float64))


def test_an_output_that_is_not_used_adds_nothing(submission):
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    submission.two_outputs(x)["double"].sum().backward()

    assert x.grad.tolist() == [2.0, 2.0]


def test_an_output_requires_grad_here_where_it_does_there(submission):
    x = doubles(2)

    assert submission.gelu(x).requires_grad
    assert not submission.gelu(x.detach()).requires_grad
    assert not submission.detached(x).requires_grad
    assert not submission.ignores(x).requires_grad
    assert submission.own_parameter(doubles(3, requires_grad=False)).requires_grad


def test_a_gradient_may_be_taken_twice_with_retain_graph(submission):
    x = doubles(3)
    y = submission.gelu(x).sum()

    y.backward(retain_graph=True)
    once = x.grad.clone()
    y.backward()

    assert_close(x.grad, 2 * once)


def test_a_gradient_of_a_gradient_is_refused(submission):
    def twice(x):
        (first,) = torch.autograd.grad(submission.gelu(x).sum(), x, create_graph=True)
        first.sum().backward()

    with pytest.raises(RuntimeError):
        twice(doubles(3))


def test_a_gradient_of_a_gradient_is_not_silently_left_out_of_a_sum(submission):
    def penalised(x):
        y = submission.gelu(x).sum()
        (first,) = torch.autograd.grad(y, x, create_graph=True)
        (y + (first**2).sum()).backward()

    with pytest.raises(RuntimeError):
        penalised(doubles(3))


def test_complex_gradients_follow_torch(submission):
    z = torch.tensor([1 + 2j, -0.5 + 1j], dtype=torch.complex128, requires_grad=True)
    cotangent = torch.tensor([2 - 1j, 1 + 3j], dtype=torch.complex128)

    submission.complex_product(z).backward(cotangent)

    w = z.detach().clone().requires_grad_()
    (w * w.conj() * (1 + 2j)).backward(cotangent)
    assert_close(z.grad, w.grad)
    assert torch.autograd.gradcheck(submission.complex_product, (z,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_gradients_keep_the_inputs_dtype(submission, dtype):
    x = torch.ones(3, dtype=dtype, requires_grad=True)

    submission.product(x, x).sum().backward()

    assert x.grad.dtype == dtype
    assert x.grad.tolist() == [2, 2, 2]


def test_a_noncontiguous_cotangent_crosses(submission):
    x = doubles(2, 3)
    cotangent = torch.arange(6.0, dtype=torch.float64).reshape(3, 2).T

    submission.product(x, torch.ones(1, dtype=torch.float64)).backward(cotangent)

    assert_close(x.grad, cotangent)


@pytest.mark.parametrize("name", ["BadShape", "BadCount", "BadKind"])
def test_a_gradient_of_the_wrong_shape_number_or_kind_is_the_submissions_failure(submission, name):
    x = doubles(3)
    y = getattr(submission, name).apply(x)

    with pytest.raises(SubmissionFailure):
        y.sum().backward()


def test_an_exception_in_a_backward_can_be_caught(submission):
    y = submission.Raises.apply(doubles(3))

    with pytest.raises(ZeroDivisionError) as failure:
        y.sum().backward()

    assert isinstance(failure.value, RemoteError)


def test_parameters_accumulate_their_gradient(submission):
    bn = submission.BatchNorm(2)
    x = torch.tensor([[1.0, 2.0], [3.0, 6.0]])

    for _ in range(2):
        bn(x).sum(0).dot(torch.tensor([0.0, 0.0])).backward()
        (bn(x) * x).sum().backward()

    assert bn.weight.grad.tolist() == [4.0, 16.0]
    assert next(iter(bn.parameters())).grad.tolist() == [4.0, 16.0]


def test_gradients_of_parameters_can_be_cleared(submission):
    bn = submission.BatchNorm(2)
    bn(torch.eye(2)).sum().backward()

    bn.zero_grad()

    assert bn.weight.grad is None


def test_parameters_and_arguments_both_get_their_gradient(submission):
    x = doubles(4, 3)
    weight = submission.parameter()

    submission.own_parameter(x).sum().backward()

    assert_close(x.grad, weight.detach().sum(0).expand(4, 3))
    assert_close(submission.parameter().grad, x.detach().sum(0).expand(2, 3))
    assert_close(submission.LAYER.weight.grad, submission.parameter().grad)


def test_a_parameters_grad_is_the_same_read_either_way(submission):
    layer = submission.Flat()

    layer(torch.ones(1, 2)).sum().backward()

    assert layer.weight.grad.tolist() == layer.weight.grad.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert layer.bias.grad is None
    assert not layer.bias.requires_grad


def test_grad_mode_crosses(submission):
    x = doubles(2)

    with torch.no_grad():
        inside, y = submission.grad_mode(), submission.gelu(x)

    assert inside is False
    assert not y.requires_grad
    assert submission.grad_mode() is True


@pytest.fixture
def double_by_default():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_the_default_dtype_crosses(submission, double_by_default):
    inside = submission.default_dtype()
    torch.set_default_dtype(torch.float32)
    after = submission.default_dtype()

    assert (inside, after) == ("torch.float64", "torch.float32")


def test_the_default_dtype_crosses_with_a_backward(submission, double_by_default):
    submission.MakesZeros.apply(doubles(2)).sum().backward()

    assert submission.seen() == ["torch.float64"]


# --------------------------------------------------------------------------------------------------- in place


@pytest.mark.parametrize("make", [torch.zeros, np.zeros])
def test_what_is_mutable_is_changed(submission, make):
    x = make((2, 3))

    submission.fill(mutable(x))

    assert x.tolist() == [[7, 7, 7]] * 2


@pytest.mark.parametrize("make", [torch.zeros, np.zeros])
def test_a_trailing_underscore_makes_arguments_mutable(submission, make):
    x = make((2, 3))

    submission.fill_(x)

    assert x.tolist() == [[7, 7, 7]] * 2


def test_a_method_with_a_trailing_underscore_may_change_its_argument(submission):
    x = torch.zeros(2)

    submission.torch.nn.init.constant_(x, 7.0)

    assert x.tolist() == [7, 7]


@pytest.mark.parametrize("make", [torch.ones, np.ones])
def test_any_other_argument_stays_pristine(submission, make):
    x = make((2, 3))

    y = submission.fill(x)

    assert x.tolist() == [[1, 1, 1]] * 2
    assert y.tolist() == [[7, 7, 7]] * 2
    assert not shares_memory(x, y)


def test_arguments_in_a_dict_stay_pristine(submission):
    batch = {"x": torch.ones(2), "y": [torch.ones(3)]}

    submission.sneaky_dict(batch)

    assert batch["x"].tolist() == [1, 1]
    assert batch["y"][0].tolist() == [1, 1, 1]


def test_what_is_mutable_in_a_list_is_changed(submission):
    x, y = torch.zeros(2), torch.zeros(2)

    submission.sneaky_dict({"x": torch.ones(1), "y": [mutable(x)]})
    submission.fill_second_(x, y)

    assert x.tolist() == [0, 0]
    assert y.tolist() == [7, 7]


@pytest.mark.parametrize(("make", "name"), [(torch.ones, "sneaky"), (np.ones, "sneaky_array")])
def test_a_change_can_be_asked_for(submission, make, name):
    x, other = make(3), make(3)

    getattr(submission, name)(x)
    submission.same(other)

    assert submission.changed(x)
    assert not submission.changed(other)


def test_only_the_marked_argument_is_changed(submission):
    x, y = torch.zeros(2), torch.zeros(2)

    submission.share(mutable(x), y)
    submission.share(y, mutable(x))

    assert x.tolist() == [1, 1]
    assert y.tolist() == [0, 0]


@pytest.mark.parametrize(
    "view",
    [lambda x: x[:, ::2], lambda x: x.T, lambda x: x[1], lambda x: x[1:, 1:], lambda x: x[..., None]],
    ids=["gaps", "transposed", "row", "corner", "further axis"],
)
@pytest.mark.parametrize("make", [torch.zeros, np.zeros])
def test_a_changed_view_changes_what_it_is_a_view_of_and_nothing_else(submission, make, view):
    there, here = make((3, 4)), make((3, 4))

    submission.fill_(view(there))
    view(here)[...] = 7

    assert there.tolist() == here.tolist()


def test_a_reversed_array_is_changed_in_place(submission):
    x = np.zeros(4)

    submission.fill_(x[::-2])

    assert x.tolist() == [0, 7, 0, 7]


def test_a_tensor_that_requires_grad_is_changed_in_place_without_a_gradient(submission):
    w = torch.zeros(2, requires_grad=True)

    with torch.no_grad():
        submission.fill_(w)

    assert w.tolist() == [7, 7]
    assert w.is_leaf


def test_a_conjugate_is_changed_in_place(submission):
    x = torch.tensor([1 + 2j, 3 - 1j])

    submission.fill_(x.conj(), 5j)

    assert x.tolist() == [-5j, -5j]


def test_a_byte_swapped_array_is_changed_in_place(submission):
    x = np.zeros(3, ">f8")

    submission.fill_(x)

    assert x.tolist() == [7, 7, 7]


def test_an_empty_view_beside_what_is_changed_does_no_harm(submission):
    x = torch.zeros(4)

    submission.fill_([x[2:]][0], 3)
    submission.share(mutable(x), mutable(x[1:1]))

    assert x.tolist() == [1, 1, 1, 1]


def test_a_change_after_the_call_reaches_nothing(submission):
    x = torch.ones(2)

    submission.keep_and_change_later(x)
    submission.change_kept()

    assert x.tolist() == [1, 1]


# ----------------------------------------------------------------------------------------- aliases and layout


@pytest.mark.parametrize("make", [torch.ones, np.ones])
def test_a_result_that_is_an_argument_is_that_argument(submission, make):
    x = make((2, 3))

    assert submission.same(x) is x
    assert submission.fill_(x) is x
    assert submission.fill(mutable(x)) is x
    assert submission.copy(x) is not x
    assert not shares_memory(submission.copy(x), x)


def test_a_result_that_is_a_tensor_in_the_graph_is_that_tensor(submission):
    x = doubles(3)

    assert submission.same(x) is x


def test_each_of_two_results_is_its_own_argument(submission):
    x, y = torch.ones(2), torch.ones(2)

    first, second = submission.swapped(x, y)

    assert first is y
    assert second is x


@pytest.mark.parametrize("name", ["row", "every_other", "turned", "whole"])
@pytest.mark.parametrize("make", [torch.arange, np.arange])
@pytest.mark.parametrize("layout", ["contiguous", "turned", "gaps"])
def test_a_view_of_an_argument_is_a_view_here(submission, name, make, layout):
    x = make(24).reshape(4, 6)
    x = {"contiguous": x, "turned": x.T, "gaps": x[1:, 1::2]}[layout]

    y = getattr(submission, name)(x)

    expected = {"row": x[1], "every_other": x[..., ::2], "turned": x.T, "whole": x[:]}[name]
    assert shares_memory(x, y)
    assert y.tolist() == expected.tolist()
    x[...] = -1
    assert (y == -1).all()


def test_a_reversed_view_is_a_view_here(submission):
    x = np.arange(5)

    y = submission.back_to_front(x)

    assert shares_memory(x, y)
    assert y.tolist() == [4, 3, 2, 1, 0]


def test_a_view_of_an_array_whose_memory_has_gaps_is_a_view_here(submission):
    x = torch.arange(24).reshape(4, 6)[:, ::2].numpy()

    y = submission.row(x)

    assert shares_memory(x, y)
    assert y.tolist() == [6, 8, 10]


def test_an_expanded_view_is_a_view_here(submission):
    x = torch.arange(3.0)

    y = submission.wide(x)

    assert y.tolist() == [[0, 1, 2]] * 3
    assert shares_memory(x, y)


def test_a_view_of_a_changed_argument_shows_the_change(submission):
    x = torch.ones(4)

    y = submission.fill(x)
    z = submission.fill(mutable(x))

    assert y.tolist() == [7] * 4
    assert z is x


@pytest.mark.parametrize("name", ["conjugated", "adjoint"])
def test_a_conjugate_view_arrives_conjugated(submission, name):
    z = torch.tensor([[1 + 2j, 3 - 1j]])

    y = getattr(submission, name)(z)

    assert y.tolist() == (z.conj() if name == "conjugated" else z.mH).tolist()
    assert z.tolist() == [[1 + 2j, 3 - 1j]]


def test_a_conjugate_argument_arrives_conjugated_and_so_do_its_parts(submission):
    z = torch.tensor([[1 + 2j], [3 - 1j]]).conj()

    assert submission.copy(z).tolist() == [[1 - 2j], [3 + 1j]]
    assert submission.same(z) is z
    assert submission.row(z).tolist() == [3 + 1j]


def test_the_same_bytes_as_another_dtype_arrive_as_that_dtype(submission):
    x = np.array([1.0, -0.0])

    y = submission.as_integers(x)

    assert y.dtype == np.int64
    assert y.tolist() == x.view(np.int64).tolist()


def test_a_real_part_arrives(submission):
    z = np.array([1 + 2j, 3 - 1j])

    assert submission.real_part(z).tolist() == [1.0, 3.0]
    assert submission.real_part(torch.from_numpy(z)).tolist() == [1.0, 3.0]


@pytest.mark.parametrize("rows", [1, 2])
def test_a_column_arrives_whatever_the_number_of_rows(submission, rows):
    x = torch.ones(rows, 3)

    y = submission.column(x)

    assert y.tolist() == [1.0] * rows


def test_an_empty_column_arrives(submission):
    assert submission.of_no_rows(torch.ones(2, 4)).shape == (0,)


@pytest.mark.parametrize("make", [torch.zeros, np.zeros])
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[:, ::2],
        lambda x: x[1:, 1:],
        lambda x: x[:1].repeat(1, 1) if hasattr(x, "numel") else x[:1],
    ],
    ids=["transposed", "gaps", "corner", "row"],
)
def test_an_argument_keeps_its_layout(submission, make, view):
    x = view(make((4, 6)))

    shape, strides = submission.layout(x)

    assert shape == list(x.shape)
    assert strides == list(x.stride() if isinstance(x, torch.Tensor) else x.strides)


def test_an_expanded_and_a_reversed_argument_keep_their_layout(submission):
    assert submission.layout(torch.zeros(3).expand(2, 3)) == ([2, 3], [0, 1])
    assert submission.layout(np.zeros(3)[::-1]) == ([3], [-8])
    assert submission.layout(np.broadcast_to(np.zeros(3), (2, 3))) == ([2, 3], [0, 8])


@pytest.mark.parametrize("make", [torch.zeros, np.zeros])
def test_arguments_that_share_memory_share_it_there(submission, make):
    x = make(6)

    assert submission.share(x[:4], x[2:]) == [1, 1, 0, 0]
    assert submission.share(x[:4], make(4)) == [0, 0, 0, 0]
    assert x.tolist() == [0] * 6


def test_arguments_that_share_memory_are_both_changed(submission):
    x = torch.zeros(6)

    submission.fill_second_(x[:4], x[2:])

    assert x.tolist() == [0, 0, 7, 7, 7, 7]


# -------------------------------------------------------------------------------------------------- callbacks


def test_a_function_of_the_test_is_called_on_plain_data(submission):
    seen = []

    result = submission.call(
        lambda *args, **kwargs: seen.append((args, kwargs)) or [2.5], 1, torch.ones(2), x="a"
    )

    assert result == [2.5]
    assert seen[0][0][0] == 1
    assert torch.equal(seen[0][0][1], torch.ones(2))
    assert seen[0][1] == {"x": "a"}


def test_a_function_of_the_test_sees_base_types_only(submission):
    kinds = []

    submission.call_with_values(lambda values: kinds.extend(map(type, values)))

    base = {float, dict, np.ndarray, torch.Tensor, tuple, int, list}
    assert set(kinds) <= base


def test_a_function_can_drive_a_students_loop(submission):
    x = submission.minimise(lambda x: float((x - 3.0) ** 2), 0.0)

    assert abs(x - 3) < 0.01


def test_two_functions_are_told_apart(submission):
    assert submission.call(lambda f: f, 1) == 1
    assert submission.all_of(1)[0] == (1,)
    assert submission.call(lambda x, y: [x, y], 1, y=2) == [1, 2]


def test_a_function_that_returns_a_tensor_in_a_graph_gives_its_values(submission):
    x = torch.ones(2, requires_grad=True)

    name, requires_grad = submission.apply_to_gradient(lambda x: x.detach() * 2, x)

    assert name == "Tensor"
    assert requires_grad in (True, False)


def test_what_the_function_raises_returns_to_the_students_code(submission):
    def divides(x):
        return x / 0

    assert submission.catches(divides) == "caught division by zero"


def test_what_the_students_code_does_not_catch_is_its_failure(submission):
    with pytest.raises(ZeroDivisionError) as failure:
        submission.call(lambda: 1 / 0)

    assert isinstance(failure.value, RemoteError)


def test_what_the_function_raises_may_hold_any_text(submission):
    def surrogates(x):
        raise ValueError(f"no {x}")

    assert submission.catches_anything(surrogates, "\ud800") == "ValueError"


def test_wrong_arguments_for_the_function_are_the_students_fault(submission):
    with pytest.raises(TypeError):
        submission.call(lambda x: x)


def test_an_object_of_the_students_is_not_handed_to_the_function(submission):
    seen = []

    with pytest.raises(TypeError):
        submission.call_with_object(seen.append)

    assert seen == []


def test_a_function_may_be_called_ten_thousand_times(submission):
    calls = []

    assert submission.call_often(calls.append, 10_000) == 10_000
    assert calls == list(range(10_000))


def test_a_function_is_not_called_more_often_than_that(submission):
    calls = []

    with pytest.raises(SubmissionFailure, match="10000 times"):
        submission.call_often(calls.append, 10_001)

    assert len(calls) == 10_000


def test_a_function_takes_a_megabyte_and_no_more(submission):
    sizes = []

    submission.call_with(lambda x: sizes.append(x.numel()), 1 << 20)
    with pytest.raises(SubmissionFailure, match="1 MB"):
        submission.call_with(lambda x: sizes.append(x.numel()), (1 << 20) + 1)

    assert sizes == [1 << 20]


def test_a_function_lives_for_one_call(submission):
    calls = []
    submission.keep_function(calls.append)

    with pytest.raises(SubmissionFailure, match="which is over"):
        submission.call_kept()

    assert calls == []


def test_a_function_runs_on_the_tests_time(worker):
    process = NotebookProcess(worker, [CELLS[4]], frozenset(), Limits(test=1, cell=60, total=600))
    process.run()
    stop = threading.Event()
    deadline = time.monotonic() + 30
    try:
        with process.test(7) as link, pytest.raises(OutOfTime):
            Submission(link).call_often(
                lambda i: stop.wait(0.01) if time.monotonic() < deadline else None, 10_000
            )
    finally:
        process.stop()


# -------------------------------------------------------------------------------- generators and support code


def test_a_generator_makes_chance_the_tests_choice(submission):
    first = submission.sample(submission.generator(5), 4)
    again = submission.sample(generator=submission.generator(5), n=4)
    other = submission.sample(submission.generator(6), 4)

    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
    assert first.tolist() == torch.rand(4, generator=torch.Generator().manual_seed(5)).tolist()


def test_a_generator_goes_on_where_it_was(submission):
    generator = submission.generator(5)

    assert submission.sample(generator, 4).tolist() != submission.sample(generator, 4).tolist()


def test_support_code_runs_beside_the_students(submission):
    planted = submission.support.planted(2.0)
    network = submission.support.Network(7)

    assert planted["weight"].tolist() == [0.0, 2.0, 4.0]
    assert network.width == 7
    assert submission.kind_of(network).endswith("Network")
    assert submission.support.PLANTED["weight"].shape == (3,)


def test_support_code_is_no_name_of_the_notebook(submission):
    assert not submission.defines("planted")
    assert not submission.defines("PLANTED")


def test_the_judge_takes_no_descriptor_and_no_memory_for_many_questions(submission):
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(300):
        submission.same(torch.ones(1000))

    assert len(os.listdir("/proc/self/fd")) == before
    assert json.dumps(submission.give("list")) == "[1, [2.0]]"
