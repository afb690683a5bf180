"""The wire: every value arrives as it was sent, and nothing that is sent can do more than be refused.

The second half plays a worker that a student has taken over: malformed, oversized, late and unasked frames.
"""

from __future__ import annotations

import array
import collections
import enum
import json
import math
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from grading import wire
from grading.judge.failures import Ended, OutOfTime, RemoteError, SubmissionFailure
from grading.judge.proxy import MAX_CALLBACKS, NO_EXPLANATION, Link, Packing, Remote, mutable

SMALL = 50_000  # bytes that a socket takes without a reader
LONG = 30.0  # seconds; no test needs them, a machine with much else to do might
thorough = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# -------------------------------------------------------------------------------------- sending and comparing


@contextmanager
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def soon(seconds=LONG):
    return time.monotonic() + seconds


def refuse(thing):
    raise wire.WireError(f"no place for a {type(thing).__name__}")


def over_a_socket(message, buffers, expected):
    with pair() as (ours, theirs), ThreadPoolExecutor(1) as receiver:
        frame = receiver.submit(wire.Wire(ours, expected).receive, soon())
        with theirs:
            wire.Wire(theirs, expected).send(message, buffers, deadline=soon())
        return frame.result()


def cross(value, *, keep_layout=False):
    """The value as it arrives: with its layout as an argument for the worker, or plain as a result for the judge."""
    packer = wire.Packer(refuse, keep_layout=keep_layout)
    if keep_layout:
        packer.measure(value)
    node = packer.pack(value)
    if keep_layout:
        message = wire.SetAttribute(target=0, name="x", value=node, context=wire.Context())
        frame = over_a_socket(message, packer.buffers, wire.Question)
    else:
        frame = over_a_socket(wire.Returned(value=node), packer.buffers, wire.Answer)
    return wire.Unpacker(frame.buffers, trusted=keep_layout).unpack(frame.message.value)


def form(value):
    """A value's exact type and bits: NaN payloads, the sign of zero and the order of a dict count."""
    kind = type(value)
    if kind is float:
        return "float", struct.pack("<d", value)
    if kind is complex:
        return "complex", struct.pack("<dd", value.real, value.imag)
    if kind is int:
        return "int", hex(value)
    if kind in (list, tuple):
        return kind.__name__, [form(item) for item in value]
    if kind is set:
        return "set", sorted(repr(form(item)) for item in value)
    if kind is dict:
        return "dict", [(form(key), form(item)) for key, item in value.items()]
    if kind is slice:
        return "slice", form(value.start), form(value.stop), form(value.step)
    if kind is np.ndarray:
        return "ndarray", value.dtype.str, value.shape, value.tobytes()
    if kind is torch.Tensor:
        data = torch.empty(value.numel(), dtype=value.dtype)
        data.copy_(value.detach().reshape(-1))
        return "tensor", str(value.dtype), tuple(value.shape), bytes(data.untyped_storage())
    return kind.__name__, repr(value)


# ----------------------------------------------------------------------------------------- values of any kind

any_float = st.binary(min_size=8, max_size=8).map(lambda raw: struct.unpack("<d", raw)[0]) | st.floats()
any_text = st.text(st.characters(exclude_categories=()))
big_integers = st.binary(max_size=2000).map(lambda raw: int.from_bytes(raw, "big", signed=True))
dtypes = st.sampled_from([*wire.TORCH_DTYPES.values(), *wire.NUMPY_DTYPES.values()])
hashable_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers((1 << 63) - 2, (1 << 64) + 2) | st.integers(-(1 << 64), -(1 << 63) + 2),
    big_integers,
    any_float,
    st.builds(complex, any_float, any_float),
    any_text,
    st.binary(),
    st.just(Ellipsis),
    dtypes,
    st.lists(st.integers(0, 1 << 20), max_size=3).map(torch.Size),
    st.just(torch.device("cpu")),
)
hashable = hashable_scalars | st.lists(hashable_scalars, max_size=3).map(tuple)


def bits(dtype, count, seed):
    """Bytes of such numbers, rich in NaNs of many payloads, infinities, zeros of both signs and subnormals."""
    raw = np.random.default_rng(seed).choice(np.array([0, 1, 0x7F, 0x80, 0xF0, 0xF8, 0xFF], np.uint8), count)
    return raw & 1 if "bool" in str(dtype) else raw


shapes = st.lists(st.integers(0, 4), max_size=4)
seeds = st.integers(0, 1 << 32)


@st.composite
def numpy_views(draw):
    dtype, shape = draw(st.sampled_from(sorted(wire.NUMPY_DTYPES.values(), key=str))), draw(shapes)
    array = bits(dtype, math.prod(shape) * dtype.itemsize, draw(seeds)).view(dtype).reshape(shape)
    array = array.transpose(draw(st.permutations(range(array.ndim))))
    array = array[tuple(slice(None, None, draw(st.sampled_from([1, -1, 2, -2]))) for _ in array.shape)]
    return np.broadcast_to(array, (3, *array.shape)) if draw(st.booleans()) else np.asarray(array)


@st.composite
def torch_views(draw):
    dtype, shape = draw(st.sampled_from(list(wire.TORCH_DTYPES.values()))), draw(shapes)
    tensor = torch.empty(shape, dtype=dtype)
    raw = bits(dtype, math.prod(shape) * dtype.itemsize, draw(seeds))
    tensor.untyped_storage().copy_(torch.from_numpy(raw).untyped_storage())
    tensor = tensor.permute(draw(st.permutations(range(tensor.ndim))))
    tensor = tensor[tuple(slice(None, None, draw(st.sampled_from([1, 2]))) for _ in tensor.shape)]
    if tensor.is_complex() and draw(st.booleans()):
        tensor = tensor.conj()
    return tensor.expand(3, *tensor.shape) if draw(st.booleans()) else tensor


anything = st.recursive(
    hashable_scalars | numpy_views() | torch_views() | st.sets(hashable, max_size=4),
    lambda parts: st.one_of(
        st.lists(parts, max_size=4),
        st.lists(parts, max_size=4).map(tuple),
        st.dictionaries(hashable, parts, max_size=4),
        st.builds(slice, parts, parts, parts),
    ),
    max_leaves=12,
)


@pytest.mark.parametrize("keep_layout", [False, True])
@given(value=anything)
@example(
    value=torch.Size([400312, 692988, 1039000])
)  # of no tensor that could exist, but data like any other
@thorough
def test_every_kind_of_data_arrives_bit_for_bit_as_its_exact_base_type(keep_layout, value):
    received = cross(value, keep_layout=keep_layout)

    assert form(received) == form(value)


@given(array=numpy_views())
@thorough
def test_a_numpy_argument_keeps_its_strides(array):
    received = cross(array, keep_layout=True)

    assert received.size == 0 or received.strides == array.strides


@given(tensor=torch_views())
@thorough
def test_a_torch_argument_keeps_its_strides(tensor):
    tensor = tensor.resolve_conj()  # a conjugate arrives as its values
    received = cross(tensor, keep_layout=True)

    assert received.numel() == 0 or received.stride() == tensor.stride()


@given(array=numpy_views())
@thorough
def test_a_numpy_result_arrives_in_c_order(array):
    received = cross(array)

    assert received.flags.c_contiguous
    assert received.flags.writeable


@given(tensor=torch_views())
@thorough
def test_a_torch_result_arrives_in_c_order(tensor):
    received = cross(tensor)

    assert received.is_contiguous()


@st.composite
def numpy_windows(draw):
    """An array and two windows on it, each of which may be transposed, reversed or have gaps."""
    base = np.arange(60.0).reshape(5, 4, 3)
    return [base, *(draw(st.tuples(*[windows_on(n) for n in base.shape])) for _ in range(2))]


def windows_on(size, steps=(1, 2, -1, -2)):
    return st.builds(slice, st.integers(0, size - 1), st.none(), st.sampled_from(steps))


@given(case=numpy_windows(), transpose=st.booleans(), with_base=st.booleans())
@thorough
def test_arrays_that_share_memory_arrive_sharing_the_same_memory(case, transpose, with_base):
    base, first, second = case
    sent = [base[first], base[second].T if transpose else base[second], *([base] if with_base else [])]
    received = cross(sent, keep_layout=True)

    for arrays in (sent, received):
        arrays[0][...] = -1

    assert form(received) == form(sent)


@given(
    first=st.tuples(windows_on(5, (1, 2)), windows_on(4, (1, 3))),
    second=st.tuples(windows_on(5, (1, 2)), windows_on(4, (1, 3))),
    transpose=st.booleans(),
)
@thorough
def test_tensors_that_share_memory_arrive_sharing_the_same_memory(first, second, transpose):
    base = torch.arange(20.0).reshape(5, 4)
    sent = [base[first], base[second].T if transpose else base[second]]
    received = cross(sent, keep_layout=True)

    for tensors in (sent, received):
        tensors[0].fill_(-1)

    assert form(received) == form(sent)


@given(
    start=st.integers(0, 15), length=st.integers(1, 8), skipped=st.integers(0, 3), bytes_first=st.booleans()
)
@thorough
def test_tensors_of_two_dtypes_on_the_same_memory_arrive_with_their_values(
    start, length, skipped, bytes_first
):
    numbers = torch.arange(6.0, dtype=torch.float32)
    raw = numbers.view(torch.uint8)[start : start + length]
    sent = [raw, numbers[skipped:]] if bytes_first else [numbers[skipped:], raw]

    received = cross(sent, keep_layout=True)

    assert form(received) == form(sent)


def test_one_array_sent_twice_takes_memory_once():
    tensor, array = torch.zeros(1000), np.zeros(1000)
    packer = wire.Packer(refuse, keep_layout=True)
    values = [tensor, tensor, tensor[3:], array, array[::-1]]
    packer.measure(values)

    packer.pack(values)

    assert len(packer.buffers) == 2


def test_of_a_large_tensor_only_the_part_that_a_view_needs_is_sent():
    view = torch.zeros(1_000_000)[500_000:500_010]
    packer = wire.Packer(refuse, keep_layout=True)
    packer.measure(view)

    packer.pack(view)

    assert [len(buffer) for buffer in packer.buffers] == [40]


def test_byte_swapped_arrays_arrive_in_the_machines_own_order():
    swapped = np.array([1.5, -2.0]).astype(">f8")

    results = [cross(swapped), cross(swapped, keep_layout=True)]

    assert [result.dtype for result in results] == [np.dtype(np.float64)] * 2
    assert all(result.tolist() == [1.5, -2.0] for result in results)


class Colour(enum.IntEnum):
    RED = 3


class Lying(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__


class Letters(str):
    __slots__ = ()


class Raw(bytes):
    pass


class Row(list):
    pass


class Group(set):
    pass


class Grid(np.ndarray):
    pass


class Proud(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return super().__torch_function__(function, types, args, kwargs or {})


Point = collections.namedtuple("Point", "x y")

SUBCLASSES = {
    "an enumeration's member": (Colour.RED, 3),
    "a float that lies": (Lying(2.5), 2.5),
    "a str": (Letters("ab"), "ab"),
    "bytes": (Raw(b"ab"), b"ab"),
    "a list": (Row([1]), [1]),
    "a set": (Group([1]), {1}),
    "a namedtuple": (Point(1, [2.0]), (1, [2.0])),
    "an OrderedDict": (collections.OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
    "a defaultdict": (collections.defaultdict(int, b=1), {"b": 1}),
    "a Counter": (collections.Counter("aab"), {"a": 2, "b": 1}),
    "an array": (np.arange(3).view(Grid), np.arange(3)),
    "a tensor": (torch.arange(3).as_subclass(Proud), torch.arange(3)),
    "a NumPy float": (np.float64(1.5), np.array(1.5)),
    "a NumPy bool": (np.bool_(True), np.array(True)),
    "a NumPy str": (np.str_("ab"), "ab"),
    "a Parameter": (torch.nn.Parameter(torch.ones(2)), torch.ones(2)),
}


@pytest.mark.parametrize("keep_layout", [False, True])
@pytest.mark.parametrize("kind", SUBCLASSES)
def test_subclasses_arrive_as_their_exact_base(kind, keep_layout):
    sent, expected = SUBCLASSES[kind]

    received = cross([sent], keep_layout=keep_layout)[0]

    assert form(received) == form(expected)


@pytest.mark.parametrize(
    "thing",
    [object(), len, range(3), np.array([object()]), np.zeros(2, "f4,i4"), np.array("text"), np.datetime64("2026-01-01"),
     torch.zeros(2).to_sparse(), torch.empty(2, device="meta"), torch.zeros(2).to(torch.float8_e5m2),
     torch.device("meta"), frozenset(), bytearray(b"x")],
    ids=lambda thing: f"{type(thing).__name__} {thing}"[:40],
)  # fmt: skip
def test_what_is_not_data_is_left_to_a_handle(thing):
    kept = []
    packer = wire.Packer(lambda thing: kept.append(thing) or wire.Handle(7, "thing"))

    node = packer.pack([1, thing])

    assert len(kept) == 1
    assert node.items[1] == wire.Handle(7, "thing")
    assert packer.buffers == []


def test_a_gradient_comes_along_with_a_parameter():
    parameter = torch.nn.Parameter(torch.ones(2, 3))
    parameter.grad = torch.full((2, 3), 4.0)
    packer = wire.Packer(refuse)

    node = packer.pack(parameter)

    assert (node.requires_grad, node.leaf) == (True, True)
    assert node.gradient is not None
    assert bytes(packer.buffers[node.gradient.storage]) == struct.pack("<6f", *[4.0] * 6)


# ----------------------------------------------------------------------------------------------------- limits


def nested(depth):
    value = 0
    for _ in range(depth):
        value = [value]
    return value


def nested_node(depth):
    node = 0
    for _ in range(depth):
        node = wire.Many("list", [node])
    return node


@pytest.mark.parametrize("keep_layout", [False, True])
@pytest.mark.parametrize(
    "value", [[0] * (wire.MAX_NODES - 1), nested(wire.MAX_DEPTH), np.zeros([1] * 32), torch.zeros([1] * 32)],
    ids=["nodes", "depth", "dimensions of an array", "dimensions of a tensor"],
)  # fmt: skip
def test_what_just_keeps_to_a_limit_crosses(value, keep_layout):
    received = cross(value, keep_layout=keep_layout)

    assert form(received) == form(value)


@pytest.mark.parametrize("keep_layout", [False, True])
@pytest.mark.parametrize(
    "value", [[0] * wire.MAX_NODES, nested(wire.MAX_DEPTH + 1), nested(900), "x" * wire.MAX_HEADER,
              b"x" * wire.MAX_HEADER],
    ids=["nodes", "depth", "very deep", "a long text", "long bytes"],
)  # fmt: skip
def test_what_is_beyond_a_limit_is_not_sent(value, keep_layout):
    with pytest.raises(wire.WireError):
        cross(value, keep_layout=keep_layout)


def test_a_list_that_contains_itself_is_not_sent():
    endless = []
    endless.append(endless)

    with pytest.raises(wire.WireError):
        cross(endless)


def test_more_bytes_than_the_wire_carries_are_not_sent():
    with pair() as (ours, _), pytest.raises(wire.WireError):
        wire.Wire(ours, wire.Answer, payload=1000).send(wire.Returned(value=None), [bytes(600), bytes(401)])


def test_more_bytes_than_the_wire_carries_are_not_taken():
    with pair() as (ours, theirs):
        wire.Wire(theirs, wire.Answer).send(wire.Returned(value=None), [bytes(600), bytes(401)])

        with pytest.raises(wire.WireError):
            wire.Wire(ours, wire.Answer, payload=1000).receive(soon())


def test_descriptors_cross_where_they_are_wanted():
    with pair() as (ours, theirs), open(os.devnull) as file:
        wire.Wire(theirs, wire.Order).send(wire.StartTest(seed=1), descriptors=(file.fileno(),))

        frame = wire.Wire(ours, wire.Order, descriptors=True).receive(soon())

        assert len(frame.descriptors) == 1
        os.close(frame.descriptors[0])


# ------------------------------------------------------------------------------ the judge's decoder, attacked


def header(message):
    body = msgspec.msgpack.encode(message)
    return struct.pack("<I", len(body)) + body


def raw_frame(message, buffers=()):
    return header(msgspec.structs.replace(message, buffers=[len(buffer) for buffer in buffers])) + b"".join(
        buffers
    )


def some_arguments():
    """What a test may have passed: contiguous or not, with gaps, empty, in the graph, and some of it mutable."""
    return [
        mutable(torch.arange(6.0).reshape(2, 3)),
        np.arange(12)[::-2],
        torch.ones(3, dtype=torch.float64, requires_grad=True),
        mutable(np.zeros((0, 2))),
        torch.ones(2, dtype=torch.complex64).conj(),
        mutable(np.arange(8.0)),
        mutable(torch.zeros(2, 0)),
    ]


def as_the_judge(raw, arguments=None):
    """What the judge makes of these bytes as the answer to a call with some arguments."""
    with pair() as (ours, theirs):
        link = Link(ours, soon(), NO_EXPLANATION, lambda: Ended("it hung up"))
        packing = Packing(link)
        values = packing.unmark(some_arguments() if arguments is None else arguments)
        packing.measure(values)
        for value in values:
            packing.pack(value)
        sender = threading.Thread(target=send_all, args=(theirs, raw), daemon=True)
        sender.start() if len(raw) > SMALL else send_all(theirs, raw)
        frame = link.wire.receive(soon())
        if isinstance(frame.message, wire.Returned):
            return packing.receive(frame)
        if isinstance(frame.message, wire.CallBack):
            packing.functions.append(lambda *positional, **keywords: None)
            return link.serve(frame, packing)
        return None


def send_all(channel, raw):
    try:
        channel.sendall(raw)
        channel.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # the judge has read enough


def outcome(raw):
    """Whatever a frame holds, the judge gets a value or a WireError."""
    try:
        return as_the_judge(raw)
    except wire.WireError as error:
        return error


def an_array(shape=(2,), dtype="float32", storage=0, library="torch", **more):
    return wire.Array(library, dtype, list(shape), storage, **more)


def an_alias(argument=0, identical=False, dtype="float32", shape=(2, 3), strides=(3, 1), offset=0):
    return wire.Alias(argument, identical, dtype, list(shape), list(strides), offset)


def a_parameter(gradient, shape=(2,), dtype="float32"):
    return an_array(shape, dtype, requires_grad=True, leaf=True, gradient=gradient)


EIGHT = bytes(8)
TOO_BIG = 1 << 47
HOSTILE_VALUES = {
    "an array in buffer -1": (an_array(storage=-1), [EIGHT]),
    "an array in a buffer that did not come": (an_array(storage=1), [EIGHT]),
    "an array in buffer 2**63": (an_array(storage=(1 << 63) - 1), [EIGHT]),
    "two arrays in one buffer": (wire.Many("list", [an_array(), an_array()]), [EIGHT]),
    "an array with strides": (an_array(strides=[1]), [EIGHT]),
    "an array with an offset": (an_array(offset=4), [bytes(12)]),
    "an array with a negative offset": (an_array(offset=-8), [EIGHT]),
    "a shape smaller than its data": (an_array([1]), [EIGHT]),
    "a shape larger than its data": (an_array([3]), [EIGHT]),
    "a negative size": (an_array([-2]), [EIGHT]),
    "two negative sizes": (an_array([-1, -2]), [EIGHT]),
    "a size of 2**63": (an_array([(1 << 63) - 1]), [EIGHT]),
    "sizes that multiply past memory": (an_array([TOO_BIG, TOO_BIG]), [EIGHT]),
    "sizes that multiply to 2**64": (an_array([1 << 32, 1 << 32], "uint8"), [b""]),
    "33 dimensions": (an_array([1] * 32 + [2]), [EIGHT]),
    "10,000 dimensions": (an_array([1] * 9_999 + [2]), [EIGHT]),
    "a dtype that does not exist": (an_array(dtype="float7"), [EIGHT]),
    "a dtype of objects": (an_array([1], "object", library="numpy"), [EIGHT]),
    "a structured dtype": (an_array([1], "f4,f4", library="numpy"), [EIGHT]),
    "a dtype of text": (an_array([1], "U2", library="numpy"), [EIGHT]),
    "bfloat16 in NumPy": (an_array([4], "bfloat16", library="numpy"), [EIGHT]),
    "another library": (an_array(library="jax"), [EIGHT]),
    "another library's dtype": (wire.DType("jax", "float32"), []),
    "a dtype alone that does not exist": (wire.DType("torch", "qint8"), []),
    "a container of another kind": (wire.Many("frozenset", []), []),
    "a dict with more keys than values": (wire.Mapping([1, 2], [1]), []),
    "a dict with fewer keys than values": (wire.Mapping([1], [1, 2]), []),
    "a list as a key": (wire.Mapping([wire.Many("list", [])], [1]), []),
    "a list in a tuple as a key": (wire.Mapping([wire.Many("tuple", [wire.Many("list", [])])], [1]), []),
    "a dict in a set": (wire.Many("set", [wire.Mapping([], [])]), []),
    "an array in a set": (wire.Many("set", [an_array(library="numpy")]), [EIGHT]),
    "an argument, an array, in a set": (wire.Many("set", [an_alias(1, identical=True)]), []),
    "a Size with a negative size": (wire.Size([-1]), []),
    "a Size of 33": (wire.Size([1] * 33), []),
    "a Size of 2**63": (wire.Size([1 << 63]), []),
    "an int that is none": (wire.Big("five"), []),
    "an int without digits": (wire.Big(""), []),
    "an int of 400,000 bits": (wire.Big("f" * 100_000), []),
    "text that is none": (wire.Text(b"\xff\xfe"), []),
    "a function": (wire.Function(0), []),
    "deeper nesting than allowed": (nested_node(wire.MAX_DEPTH + 1), []),
    "slices nested deeper than allowed": (wire.Slice(nested_node(wire.MAX_DEPTH), None, None), []),
    "more parts than allowed": (wire.Many("list", [None] * wire.MAX_NODES), []),
    "more parts than allowed, in pieces": (wire.Many("list", [wire.Many("list", [None] * 9_999)] * 3), []),
    "argument -1": (an_alias(-1, identical=True), []),
    "an argument that was not passed": (an_alias(7, identical=True), []),
    "argument 2**63": (an_alias(1 << 63, identical=True), []),
    "a view of another dtype": (an_alias(dtype="int32"), []),
    "a view of a dtype that does not exist": (an_alias(dtype="float7"), []),
    "a view with too few strides": (an_alias(strides=[1]), []),
    "a view with too many strides": (an_alias(strides=[3, 1, 1]), []),
    "a view with negative sizes": (an_alias(shape=[-2, -3]), []),
    "a view before its argument": (an_alias(offset=-1), []),
    "a view past its argument": (an_alias(offset=1), []),
    "a view far past its argument": (an_alias(offset=1 << 62), []),
    "a view with long steps": (an_alias(shape=[2], strides=[6]), []),
    "a tensor with negative steps": (an_alias(shape=[2], strides=[-1], offset=3), []),
    "a view with steps of 2**63": (an_alias(shape=[2], strides=[-(1 << 63)]), []),
    "an array's view before its argument": (an_alias(1, False, "int64", [6], [-16], -8), []),
    "an array's view past its argument": (an_alias(1, False, "int64", [7], [-16]), []),
    "an array's view in larger steps": (an_alias(1, False, "int64", [6], [-24]), []),
    "a view of an empty argument": (an_alias(3, False, "float64", [1], [8]), []),
    "a tensor's view larger than memory": (an_alias(shape=[TOO_BIG], strides=[0]), []),
    "a tensor's view past 64 bits": (an_alias(shape=[TOO_BIG, TOO_BIG], strides=[0, 0]), []),
    "an array's view larger than memory": (an_alias(5, False, "float64", [TOO_BIG], [0]), []),
    "a view with gaps larger than memory": (an_alias(1, False, "int64", [TOO_BIG], [0]), []),
    "an array's view past 64 bits": (an_alias(5, False, "float64", [TOO_BIG, TOO_BIG], [0, 0]), []),
    "a gradient of another shape": (a_parameter(an_array([1], storage=1)), [EIGHT, bytes(4)]),
    "a gradient of another dtype": (a_parameter(an_array(dtype="int32", storage=1)), [EIGHT, EIGHT]),
    "a gradient from another library": (a_parameter(an_array(library="numpy", storage=1)), [EIGHT, EIGHT]),
    "a gradient in its parameter's buffer": (a_parameter(an_array()), [EIGHT]),
    "a gradient without a buffer": (a_parameter(an_array(storage=9)), [EIGHT]),
    "a gradient with strides": (a_parameter(an_array(storage=1, strides=[0])), [EIGHT, EIGHT]),
}


@pytest.mark.parametrize("name", HOSTILE_VALUES)
def test_a_hostile_value_is_refused(name):
    node, buffers = HOSTILE_VALUES[name]
    frame = raw_frame(wire.Returned(value=node), buffers)

    with pytest.raises(wire.WireError):
        as_the_judge(frame)


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("dtype", ["uint8", "complex128"])
def test_an_empty_array_of_impossible_sizes_is_refused_or_empty(library, dtype):
    frame = raw_frame(wire.Returned(value=an_array([0, TOO_BIG, 1 << 14], dtype, library=library)), [b""])

    value = outcome(frame)

    assert isinstance(value, wire.WireError) or math.prod(value.shape) == 0


@pytest.mark.parametrize(("argument", "dtype"), [(0, "float32"), (5, "float64")])
def test_an_empty_view_of_impossible_sizes_is_refused_or_empty(argument, dtype):
    node = an_alias(argument, False, dtype, [0, TOO_BIG, 1 << 14], [1 << 39, -1, 0], 1 << 62)

    value = outcome(raw_frame(wire.Returned(value=node)))

    assert isinstance(value, wire.WireError) or math.prod(value.shape) == 0


@pytest.mark.parametrize(
    ("contents", "buffers"),
    [
        ({0: 9}, [bytes(24)]),
        ({0: -1}, [bytes(24)]),
        ({0: 0}, [bytes(23)]),
        ({0: 0}, [b""]),
        ({3: 0}, [bytes(1)]),
    ],
    ids=["a buffer that did not come", "buffer -1", "too short", "empty", "too long"],
)
def test_wrong_new_contents_of_an_argument_are_refused(contents, buffers):
    frame = raw_frame(wire.Returned(value=None, changed=list(contents), contents=contents), buffers)

    with pytest.raises(wire.WireError):
        as_the_judge(frame)


@pytest.mark.parametrize("number", [3, 6])
def test_new_contents_of_an_empty_argument_change_nothing(number):
    frame = raw_frame(wire.Returned(value=1, changed=[number], contents={number: 0}), [b""])

    assert as_the_judge(frame) == 1


def test_new_contents_of_an_argument_that_may_not_change_are_left_unread():
    argument = torch.zeros(2)
    frame = raw_frame(wire.Returned(value=1, changed=[0], contents={0: 0, -1: 0, 1 << 63: -5}), [b"\xff" * 8])

    value = as_the_judge(frame, [argument])

    assert value == 1
    assert argument.tolist() == [0, 0]


@pytest.mark.parametrize("changed", [[-1, 99, 1 << 63, -(1 << 63)], [0] * 50_000])
def test_a_false_list_of_changed_arguments_is_harmless(changed):
    assert as_the_judge(raw_frame(wire.Returned(value=1, changed=changed))) == 1


@pytest.mark.parametrize("tape", [0, -1, 5, 1 << 63, -(1 << 63)])
@pytest.mark.parametrize("dtype", ["float64", "int64", "bool", "complex64", "uint8"])
def test_a_result_may_claim_any_place_in_the_graph(tape, dtype):
    size = wire.TORCH_DTYPES[dtype].itemsize
    nodes = [
        an_array([1], dtype, 0, requires_grad=True),
        an_array([1], dtype, 1, requires_grad=True, leaf=True),
    ]
    frame = raw_frame(wire.Returned(value=wire.Many("list", nodes), tape=tape), [bytes(size)] * 2)

    value = outcome(frame)

    assert (
        isinstance(value, wire.WireError) or [part.dtype for part in value] == [wire.TORCH_DTYPES[dtype]] * 2
    )


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_a_parameter_of_integers_may_claim_a_gradient(dtype):
    size = wire.TORCH_DTYPES[dtype].itemsize
    node = a_parameter(an_array([1], dtype, 1), [1], dtype)

    value = outcome(raw_frame(wire.Returned(value=node), [bytes(size)] * 2))

    assert isinstance(value, wire.WireError | torch.Tensor)


@pytest.mark.parametrize("number", [-1, 0, 1 << 63, -(1 << 63)])
def test_a_handle_of_any_number_is_a_handle(number):
    frame = raw_frame(wire.Returned(value=wire.Handle(number, "x\x1b[2J\n" * 1000)))

    handle = as_the_judge(frame)

    assert isinstance(handle, Remote)
    assert repr(handle).isprintable()
    assert len(repr(handle)) < 100


# ------------------------------------------------------------------------------------------------------- fuzz

SIZES = [0, 1, 2, 3, 4, 6, 8, -1, -(1 << 63), TOO_BIG, (1 << 48) - 1, 1 << 48, (1 << 63) - 1, (1 << 64) - 1]
STEPS = [0, 1, 2, 3, 4, 8, 16, -1, -8, -16, 1 << 39, -(1 << 39), (1 << 63) - 1, -(1 << 63)]
NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, -1, 99, (1 << 63) - 1, 1 << 63, -(1 << 63)]
NAMES = [*wire.TORCH_DTYPES, "object", "float7", "", "str", "O", "torch.float32"]


class Hostile:
    """Makes up answers that MessagePack can read, and little else can. Much of each may be right."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        self.buffers = []

    def frame(self):
        one = self.chance
        self.buffers = [
            one.choice([b"", EIGHT, bytes(24), b"\xff" * 48, bytes(64)]) for _ in range(one.randrange(4))
        ]
        if one.random() < 0.1:
            arguments, keywords = (
                self.several(self.node, 3),
                {str(n): self.node() for n in range(one.randrange(2))},
            )
            return raw_frame(
                wire.CallBack(function=self.number(), arguments=arguments, keywords=keywords), self.buffers
            )
        value = self.node()
        contents = {self.number(): self.number() for _ in range(one.choice([0] * 9 + [3]))}
        if one.random() < 0.2:
            contents[one.randrange(7)] = len(self.buffers)
            self.buffers.append(one.choice([b"", bytes(24), bytes(64), bytes(12)]))
        changed = self.several(self.number, 4)
        message = wire.Returned(value=value, tape=self.number(), changed=changed, contents=contents)
        return raw_frame(message, self.buffers)

    def node(self, depth=0):
        one = self.chance
        kinds = [self.scalar, self.array, self.array, self.alias, self.alias, self.container]
        return self.scalar() if depth > 3 else one.choice(kinds)(depth)

    def scalar(self, depth=0):
        one = self.chance
        floats = [0.0, math.nan, math.inf, -1.5, 1e308]
        return one.choice([
            None, True, self.number(), one.choice(floats), "text", wire.Bytes(b"raw"), wire.Dots(), wire.Device(),
            wire.Big(one.choice(["ff", "-1", "", "0x", "g", "1_0", " 1 ", "f" * 5000])),
            wire.Complex(one.choice(floats), one.choice(floats)),
            wire.Text(one.choice([b"a", b"\xff", b"\xed\xa0\x80", b"\x80"])),
            wire.DType(one.choice(["torch", "numpy", ""]), one.choice(NAMES)), wire.Size(self.shape()),
            wire.Handle(self.number(), "x" * one.randrange(200)), wire.Function(self.number()),
        ])  # fmt: skip

    def container(self, depth):
        one = self.chance
        parts = self.several(lambda: self.node(depth + 1), 4)
        kind = one.choice(["list", "tuple", "set", "frozenset", "dict", "slice"])
        if kind == "dict":
            return wire.Mapping(
                self.several(lambda: self.scalar(), 3) if one.random() < 0.5 else parts[::-1], parts
            )
        if kind == "slice":
            return wire.Slice(*[self.node(depth + 1) for _ in range(3)])
        return wire.Many(kind, parts)

    def array(self, depth):
        one = self.chance
        node = self.plain_array(one.choice(NAMES), self.shape())
        gradient = None
        if one.random() < 0.5:
            same = one.random() < 0.7
            gradient = self.plain_array(
                node.dtype if same else one.choice(NAMES), node.shape if same else self.shape()
            )
        flags = {"requires_grad": one.random() < 0.7, "leaf": one.random() < 0.5}
        return msgspec.structs.replace(node, gradient=gradient, **flags)

    def plain_array(self, dtype, shape):
        one, library = self.chance, self.chance.choice(["torch", "numpy", "torch", "numpy", "jax"])
        elements = math.prod(shape)
        if one.random() < 0.8 and dtype in wire.TORCH_DTYPES and 0 <= elements < 1000:
            size = elements * wire.TORCH_DTYPES[dtype].itemsize
            self.buffers.append(one.choice([b"\0", b"\1", b"\xff"]) * size)
            return wire.Array(library, dtype, shape, len(self.buffers) - 1)
        strides = None if one.random() < 0.5 else self.steps(len(shape))
        return wire.Array(library, dtype, shape, self.number(), strides, one.choice(STEPS))

    def alias(self, depth):
        one, shape = self.chance, self.shape()
        argument = one.randrange(7) if one.random() < 0.9 else self.number()
        dtype = ARGUMENT_DTYPES[argument] if 0 <= argument < 7 and one.random() < 0.9 else one.choice(NAMES)
        strides = self.steps(len(shape) if one.random() < 0.9 else one.randrange(4))
        return wire.Alias(argument, one.random() < 0.2, dtype, shape, strides, one.choice([0, 0, 0, *STEPS]))

    def shape(self):
        sizes = SIZES if self.chance.random() < 0.5 else [0, 1, 2, 3]
        return [self.chance.choice(sizes) for _ in range(self.chance.randrange(4))]

    def steps(self, count):
        return [self.chance.choice([0, 1, 8, *STEPS]) for _ in range(count)]

    def number(self):
        return self.chance.choice(NUMBERS)

    def several(self, make, most):
        return [make() for _ in range(self.chance.randrange(most))]


ARGUMENT_DTYPES = ["float32", "int64", "float64", "float64", "complex64", "float64", "float32"]


@given(seed=st.integers(0, 1 << 32))
@settings(thorough, max_examples=100)
def test_any_answer_is_a_value_or_a_wire_error(seed):
    hostile = Hostile(seed)

    for _ in range(30):
        outcome(hostile.frame())


def valid_frames():
    """Answers as an honest worker sends them."""
    values = [
        {
            "weight": torch.arange(6.0).reshape(2, 3),
            "history": [1, 2.5, None, (True, 3j)],
            7: {b"x", "y", 1 << 70},
        },
        [
            torch.ones(2, requires_grad=True) * 2,
            torch.nn.Parameter(torch.ones(3)),
            np.arange(4)[::-1],
            slice(1, None, 2),
        ],
        (
            torch.Size([2, 3]),
            torch.float64,
            np.dtype("int8"),
            torch.device("cpu"),
            ...,
            "\ud800",
            np.bool_(True),
        ),
    ]
    frames = []
    for value in values:
        packer = wire.Packer(lambda thing: wire.Handle(5, "thing"))
        node = packer.pack(value)
        tape = 1 if packer.tensors else 0
        frames.append(
            raw_frame(wire.Returned(value=node, tape=tape), [bytes(buffer) for buffer in packer.buffers])
        )
    frames.append(raw_frame(wire.Returned(value=an_alias(), changed=[0], contents={0: 0}), [bytes(24)]))
    frames.append(raw_frame(wire.Returned(value=an_alias(1, False, "int64", [3], [-32], 0))))
    frames.append(raw_frame(wire.Raised(kind="ValueError", text="no", bases=["ValueError"], cell=1, line=2)))
    frames.append(raw_frame(wire.CallBack(function=0, arguments=[an_array()], keywords={"x": 1}), [EIGHT]))
    return frames


VALID = valid_frames()
INTERESTING = st.sampled_from(
    [0, 1, 0x7F, 0x80, 0x90, 0x9F, 0xC0, 0xC1, 0xC4, 0xCB, 0xCF, 0xD3, 0xDC, 0xDD, 0xDF, 0xFF]
)


@st.composite
def mutated_frames(draw):
    """A valid frame with bytes replaced, put in, taken out, repeated or cut off; its length may be put right again."""
    frame = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 6))):
        place, byte = draw(st.integers(0, len(frame) - 1)), draw(INTERESTING | st.integers(0, 255))
        match draw(st.sampled_from(["replace", "replace", "insert", "delete", "flip", "repeat", "cut"])):
            case "replace":
                frame[place] = byte
            case "insert":
                frame.insert(place, byte)
            case "delete":
                del frame[place]
            case "flip":
                frame[place] ^= 1 << (byte % 8)
            case "repeat":
                frame[place:place] = frame[place : place + byte]
            case "cut":
                del frame[max(place, 1) :]
        if not frame:
            return b""
    if len(frame) >= 4 and draw(st.booleans()):
        frame[:4] = struct.pack("<I", draw(st.integers(0, len(frame) - 4)))
    return bytes(frame)


def test_the_frames_that_are_mutated_are_valid():
    results = [outcome(frame) for frame in VALID]

    assert not [result for result in results if isinstance(result, wire.WireError)]


@given(frame=mutated_frames())
@settings(thorough, max_examples=1000)
def test_any_mutation_of_a_valid_answer_is_a_value_or_a_wire_error(frame):
    outcome(frame)


@given(raw=st.binary(max_size=300))
@settings(thorough, max_examples=400)
def test_random_bytes_are_a_wire_error(raw):
    assert outcome(raw) is None or isinstance(outcome(raw), wire.WireError)


@given(body=st.binary(max_size=300), buffers=st.binary(max_size=20))
@settings(thorough, max_examples=600)
def test_a_header_of_random_bytes_is_a_wire_error(body, buffers):
    result = outcome(struct.pack("<I", len(body)) + body + buffers)

    assert isinstance(result, wire.WireError)


MALFORMED_HEADERS = {
    "nothing": b"",
    "a number": msgspec.msgpack.encode(5),
    "a list": msgspec.msgpack.encode([1, 2]),
    "no type": msgspec.msgpack.encode({"value": 1}),
    "a type that does not exist": msgspec.msgpack.encode({"type": "exec", "value": 1}),
    "a question": msgspec.msgpack.encode(
        wire.Call(target=0, arguments=[], keywords={}, context=wire.Context())
    ),
    "an order": msgspec.msgpack.encode(wire.StartTest(seed=1)),
    "a report": msgspec.msgpack.encode(wire.CellsDone()),
    "no value": msgspec.msgpack.encode({"type": "returned"}),
    "a text for a number": msgspec.msgpack.encode({"type": "returned", "value": 1, "tape": "1"}),
    "a number of 70 bits": msgspec.msgpack.encode({"type": "returned", "value": ["size", [1.5]]}),
    "text that is no UTF-8": b"\x82\xa4type\xa8returned\xa5value\xa2\xff\xfe",
    "buffers of negative length": msgspec.msgpack.encode({"type": "returned", "value": 1, "buffers": [-1]}),
    "a buffer of 2**64 - 1 bytes": msgspec.msgpack.encode(
        {"type": "returned", "value": 1, "buffers": [(1 << 64) - 1]}
    ),
    "buffers that add up past the limit": msgspec.msgpack.encode(
        {"type": "returned", "value": 1, "buffers": [wire.MAX_PAYLOAD, 1]}
    ),
    "buffers that add up to zero": msgspec.msgpack.encode(
        {"type": "returned", "value": 1, "buffers": [8, -8]}
    ),
    "too many buffers": msgspec.msgpack.encode(
        {"type": "returned", "value": 1, "buffers": [0] * (wire.MAX_NODES + 1)}
    ),
    "an extension of MessagePack": b"\x82\xa4type\xa8returned\xa5value\xd4\x05x",
    "two values": msgspec.msgpack.encode(wire.Returned(value=1)) * 2,
    "10,000 lists in one another": b"\x82\xa4type\xa8returned\xa5value"
    + b"\x93\xa4many\xa4list\x91" * 10_000
    + b"\xc0",
    "10,000 slices in one another": b"\x82\xa4type\xa8returned\xa5value"
    + b"\x94\xa5slice" * 10_000
    + b"\xc0",
    "10,000 gradients in one another": b"\x82\xa4type\xa8returned\xa5value"
    + b"\x99\xa5array\xa5torch\xa5uint8\x90\x00\xc0\x00\xc3\xc3" * 8_000,
}


@pytest.mark.parametrize("name", MALFORMED_HEADERS)
def test_a_malformed_header_is_a_wire_error(name):
    body = MALFORMED_HEADERS[name]

    with pytest.raises(wire.WireError):
        as_the_judge(struct.pack("<I", len(body)) + body)


# -------------------------------------------------------------------------------- time, pieces and hanging up


def test_an_answer_in_single_bytes_is_read_whole():
    frame = VALID[0]
    with pair() as (ours, theirs):
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sender = threading.Thread(
            target=lambda: [theirs.send(frame[place : place + 1]) for place in range(len(frame))]
        )
        sender.start()

        message = wire.Wire(ours, wire.Answer).receive(soon())
        sender.join()

    assert form(wire.Unpacker(message.buffers).unpack(message.message.value)) == form(
        {
            "weight": torch.arange(6.0).reshape(2, 3),
            "history": [1, 2.5, None, (True, 3j)],
            7: {b"x", "y", 1 << 70},
        }
    )


@pytest.mark.parametrize("sent", [b"", b"\x01", struct.pack("<I", 100) + b"\x82", VALID[0][:-1]],
                         ids=["nothing", "part of a length", "part of a header", "all but a byte"])  # fmt: skip
def test_no_whole_answer_before_the_deadline_is_a_timeout(sent):
    with pair() as (ours, theirs):
        theirs.sendall(sent)

        with pytest.raises(wire.WireTimeout):
            wire.Wire(ours, wire.Answer).receive(soon(0.05))


def test_an_answer_that_never_ends_is_a_timeout():
    with pair() as (ours, theirs):
        theirs.sendall(raw_frame(wire.Returned(value=None), [bytes(1000)])[:-1000] + bytes(500))

        with pytest.raises(wire.WireTimeout):
            wire.Wire(ours, wire.Answer).receive(time.monotonic())


@pytest.mark.parametrize("sent", [b"", VALID[0][:3], VALID[0][:50], VALID[0][:-1]])
def test_hanging_up_before_the_end_of_an_answer_is_noticed_at_once(sent):
    with pair() as (ours, theirs):
        theirs.sendall(sent)
        theirs.close()

        with pytest.raises(wire.WireClosed):
            wire.Wire(ours, wire.Answer).receive()


def test_a_worker_that_does_not_read_is_a_timeout():
    with pair() as (ours, _), pytest.raises(wire.WireTimeout):
        wire.Wire(ours, wire.Question).send(
            wire.Backward(tape=1, cotangents=[]), [bytes(8 << 20)], deadline=soon(0.05)
        )


def test_a_worker_that_is_gone_is_noticed_when_sending():
    with pair() as (ours, theirs):
        theirs.close()

        with pytest.raises(wire.WireClosed):
            wire.Wire(ours, wire.Question).send(wire.Backward(tape=1, cotangents=[]))


def test_descriptors_that_come_along_are_dropped():
    with pair() as (ours, theirs):
        judge = wire.Wire(ours, wire.Answer)
        passed = array.array("i", [theirs.fileno()] * 100)
        before = os.listdir("/proc/self/fd")

        for byte in VALID[0]:
            theirs.sendmsg([bytes([byte])], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, passed)])
        frame = judge.receive(soon())

        assert frame.descriptors == []
        assert os.listdir("/proc/self/fd") == before


# ---------------------------------------------------------------------------------------- a whole test's line


@contextmanager
def line_to(*replies, seconds=LONG):
    """A link whose other end, the test, gives these bytes as its replies to one question after another."""
    with pair() as (ours, theirs):
        link = Link(ours, soon(seconds), NO_EXPLANATION, lambda: Ended("it hung up"))
        worker = threading.Thread(target=reply, args=(theirs, replies), daemon=True)
        worker.start()
        try:
            yield link
        finally:
            ours.close()
            worker.join()


def reply(channel, replies):
    questions = wire.Wire(channel, wire.Question)
    try:
        for raw in replies:
            questions.receive(soon())
            channel.setblocking(True)
            channel.sendall(raw)
            channel.setblocking(False)
        questions.receive(soon())
    except (wire.WireError, OSError):
        pass  # the judge has hung up


def returned(value, buffers=(), **more):
    return raw_frame(wire.Returned(value=value, **more), buffers)


UNREADABLE = {
    "malformed": struct.pack("<I", 0xFFFFFFFF),
    "a call of a function it was not given": raw_frame(wire.CallBack(function=0, arguments=[], keywords={})),
    "a function": returned(wire.Function(0)),
    "a report": header(wire.CellsDone()),
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_an_unreadable_answer_is_the_submissions_failure_and_ends_its_line(raw):
    with line_to(raw, returned(1)) as link:
        with pytest.raises(SubmissionFailure) as first:
            link.get(0, "x")
        with pytest.raises(SubmissionFailure) as second:
            link.get(0, "x")

    assert isinstance(first.value, Ended)
    assert second.value is first.value


def test_an_answer_to_no_question_ends_the_line():
    def two_questions(link):
        link.get(0, "x")
        link.get(0, "y")

    with line_to(returned(1) + returned(2), returned(3)) as link, pytest.raises(SubmissionFailure):
        two_questions(link)


def test_no_answer_is_the_submissions_failure():
    with line_to(b"", seconds=0.2) as link, pytest.raises(OutOfTime):
        link.get(0, "x")


def test_a_flood_of_calls_back_ends_the_line():
    call = raw_frame(wire.CallBack(function=0, arguments=[], keywords={}))
    calls = []
    with line_to(call, *[call] * (MAX_CALLBACKS + 1)) as link, pytest.raises(Ended, match="10000 times"):
        link.call(0, (lambda: calls.append(1),), {}, all_mutable=False)

    assert len(calls) == MAX_CALLBACKS


def test_a_flood_of_calls_back_whose_answers_nobody_reads_ends_the_line():
    call = raw_frame(wire.CallBack(function=0, arguments=[], keywords={}))
    with line_to(call * MAX_CALLBACKS * 2, seconds=5) as link, pytest.raises(SubmissionFailure):
        link.call(0, (lambda: "x" * 10_000,), {}, all_mutable=False)


def test_too_much_handed_to_a_function_of_the_tests_ends_the_line():
    call = wire.CallBack(
        function=0, arguments=[an_array([1 << 20], "uint8"), an_array([1], "uint8", 1)], keywords={}
    )
    calls = []
    with line_to(raw_frame(call, [bytes(1 << 20), b"x"])) as link, pytest.raises(Ended, match="1 MB"):
        link.call(0, (lambda *arguments: calls.append(1),), {}, all_mutable=False)

    assert not calls


@pytest.mark.parametrize("number", [-1, 1, 1 << 63])
def test_a_function_that_was_not_lent_is_not_called(number):
    calls = []
    call = raw_frame(wire.CallBack(function=number, arguments=[], keywords={}))
    with line_to(call) as link, pytest.raises(Ended):
        link.call(0, (lambda: calls.append(1),), {}, all_mutable=False)

    assert not calls


def test_what_a_function_of_the_tests_raises_goes_back_whatever_its_words():
    def surrogates():
        raise ValueError("\ud800")

    call = raw_frame(wire.CallBack(function=0, arguments=[], keywords={}))
    with line_to(call, returned(7)) as link:
        value = link.call(0, (surrogates,), {}, all_mutable=False)

    assert value == 7


GRADIENTS = {
    "no list": (1, []),
    "none of them": (wire.Many("list", []), []),
    "one too many": (wire.Many("list", [an_array([2], "float64"), None]), [bytes(16)]),
    "another shape": (wire.Many("list", [an_array([1], "float64")]), [EIGHT]),
    "another number of dimensions": (wire.Many("list", [an_array([2, 1], "float64")]), [bytes(16)]),
    "another dtype": (wire.Many("list", [an_array([2], "float32")]), [EIGHT]),
    "another library": (wire.Many("list", [an_array([2], "float64", library="numpy")]), [bytes(16)]),
    "a number": (wire.Many("list", [1.0]), []),
    "a handle": (wire.Many("list", [wire.Handle(3, "gradient")]), []),
    "a tuple": (wire.Many("tuple", [an_array([2], "float64")]), [bytes(16)]),
    "a buffer that did not come": (wire.Many("list", [an_array([2], "float64", 4)]), [bytes(16)]),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_wrong_gradients_are_the_submissions_failure(name):
    node, buffers = GRADIENTS[name]
    forward = returned(an_array([1], "float64", requires_grad=True), [EIGHT], tape=1)
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)

    with line_to(forward, returned(node, buffers)) as link:
        y = link.call(0, (x,), {}, all_mutable=False)
        with pytest.raises(SubmissionFailure):
            y.sum().backward()

    assert x.grad is None


def test_a_backward_that_raises_is_the_submissions_failure():
    forward = returned(an_array([1], "float64", requires_grad=True), [EIGHT], tape=1 << 63)
    error = raw_frame(wire.Raised(kind="IndexError", text="list index out of range", bases=["IndexError"]))
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)

    with line_to(forward, error) as link:
        y = link.call(0, (x,), {}, all_mutable=False)
        with pytest.raises(RemoteError) as failure:
            y.sum().backward()

    assert isinstance(failure.value, IndexError)


# ----------------------------------------------------------------------------------------------------- memory

CAP = 64 << 20  # beyond the buffers that have in fact arrived
ATTACKS = r'''
"""Plays each attack on a judge that may take `CAP` bytes of address space more than it has, and says how it ended."""

import json, os, resource, socket, struct, sys, time
import msgspec, numpy as np, torch
from grading import wire
from grading.judge.failures import Ended
from grading.judge.proxy import NO_EXPLANATION, Link, Packing

CAP = int(sys.argv[1])
HUGE = 1 << 40


def frame(message, *buffers, lengths=None):
    lengths = [len(buffer) for buffer in buffers] if lengths is None else lengths
    body = msgspec.msgpack.encode(msgspec.structs.replace(message, buffers=lengths))
    return struct.pack("<I", len(body)) + body + b"".join(buffers)


def value(node, *buffers):
    return frame(wire.Returned(value=node), *buffers)


def lengths(*lengths):
    return frame(wire.Returned(value=None), lengths=list(lengths))


def body(raw):
    return struct.pack("<I", len(raw)) + raw


def colliding():
    """Complex numbers of one hash: real + 1000003 * imaginary is the same for all."""
    return [wire.Complex(float(9_000_000_000_000 - 1_000_003 * n), float(n)) for n in range(9_000)]


START = b"\x82\xa4type\xa8returned\xa5value"
array = lambda *arguments: wire.Array(*arguments)
ATTACKS = {
    "a header of 4 GB": (struct.pack("<I", 0xFFFFFFFF) + bytes(1000), 0),
    "a header of 4 GB, flooded": (None, 0),
    "a buffer of 4 GB": (lengths(4 << 30) + bytes(1000), 0),
    "a buffer of 2**62 bytes": (lengths(1 << 62), 0),
    "256 MB announced, 1 kB sent": (lengths(256 << 20) + bytes(1000), 0),
    "20,000 buffers announced": (lengths(*[13_000] * 20_000) + bytes(1000), 0),
    "256 MB": (value(array("torch", "uint8", [256 << 20], 0), bytes(256 << 20)), 256 << 20),
    "a shape past memory": (value(array("torch", "float64", [HUGE, HUGE], 0), bytes(8)), 0),
    "a shape of 8 TB": (value(array("numpy", "float64", [HUGE], 0), bytes(8)), 0),
    "an empty shape past memory": (value(array("numpy", "complex128", [0, HUGE, HUGE], 0), b""), 0),
    "a dtype that does not exist": (value(array("numpy", "V1000000000", [1], 0), bytes(8)), 0),
    "10,000 lists in one another": (body(START + b"\x93\xa4many\xa4list\x91" * 10_000 + b"\xc0"), 0),
    "a list of 2**32 - 1 items": (body(START + b"\x93\xa4many\xa4list\xdd\xff\xff\xff\xff"), 0),
    "bytes of 4 GB": (body(START + b"\x92\xa5bytes\xc6\xff\xff\xff\xff"), 0),
    "a text of 4 GB": (body(START + b"\xdb\xff\xff\xff\xff"), 0),
    "a dict of 2**32 - 1 contents": (body(b"\x83\xa4type\xa8returned\xa5value\xc0\xa8contents\xdf\xff\xff\xff\xff"), 0),
    "a header full of numbers": (value(wire.Size([1] * 260_000)), 0),
    "a header full of parts": (value(wire.Many("list", [wire.Dots()] * 43_000)), 0),
    "a header full of lists": (value(wire.Many("list", [wire.Many("list", [])] * 20_000)), 0),
    "a header full of long numbers": (value(wire.Many("list", [wire.Big("f" * 4096)] * 60)), 0),
    "keys of one hash in a dict": (value(wire.Mapping(colliding()[:8_000], [None] * 8_000)), 0),
    "keys of one hash in a set": (value(wire.Many("set", colliding())), 0),
    "one tensor's view of 4 TB": (value(wire.Alias(0, False, "float32", [HUGE], [0], 0)), 0),
    "one array's view of 8 TB": (value(wire.Alias(1, False, "float64", [HUGE], [0], 0)), 0),
    "a view of 8 TB of an array with gaps": (value(wire.Alias(2, False, "float64", [HUGE], [0], 0)), 0),
    "a view of 1 GB of an array with gaps": (value(wire.Alias(2, False, "float64", [1 << 27], [0], 0)), 0),
    "3,000 views of 200 MB of an array with gaps": (
        value(wire.Many("list", [wire.Alias(2, False, "float64", [25 << 20], [0], 0)] * 3_000)), 0
    ),
}


def size_of(value):
    if isinstance(value, (list, tuple, set)):
        return max(map(size_of, value), default=0)
    return value.nbytes if isinstance(value, (np.ndarray, torch.Tensor)) else 0


def status(name):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) << 10 for line in file if line.startswith(name + ":"))


def play(raw, carried):
    ours, theirs = socket.socketpair()
    link = Link(ours, time.monotonic() + 60, NO_EXPLANATION, lambda: Ended("gone"))
    packing = Packing(link)
    with_gaps = np.lib.stride_tricks.as_strided(np.zeros(64), (4, 4), (64, 8))
    arguments = [torch.zeros(4), np.zeros(4), with_gaps]
    packing.measure(arguments)
    for argument in arguments:
        packing.pack(argument)
    if os.fork() == 0:
        ours.close()
        try:
            while raw is None:
                theirs.sendall(b"\xff" * (1 << 20))
            theirs.sendall(raw)
        finally:
            os._exit(0)
    theirs.close()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    before, start = status("VmRSS"), time.monotonic()
    limit = status("VmSize") + CAP + carried * 5 // 4
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        result = packing.receive(link.wire.receive(link.deadline))
        ending = "a value too large" if size_of(result) > wire.MAX_PAYLOAD else "a value"
    except wire.WireError:
        ending = "WireError"
    except BaseException as error:
        ending = f"{type(error).__name__}: {error}"
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    peak = status("VmHWM") - before - carried
    ours.close()
    os.wait()
    return {"ending": ending, "peak": peak, "seconds": time.monotonic() - start}


print(json.dumps({name: play(*attack) for name, attack in ATTACKS.items()}))
'''
ATTACKED = [
    "a header of 4 GB", "a header of 4 GB, flooded", "a buffer of 4 GB", "a buffer of 2**62 bytes",
    "256 MB announced, 1 kB sent", "20,000 buffers announced", "256 MB", "a shape past memory", "a shape of 8 TB",
    "an empty shape past memory", "a dtype that does not exist", "10,000 lists in one another",
    "a list of 2**32 - 1 items", "bytes of 4 GB", "a text of 4 GB", "a dict of 2**32 - 1 contents",
    "a header full of numbers", "a header full of parts", "a header full of lists", "a header full of long numbers",
    "keys of one hash in a dict", "keys of one hash in a set", "one tensor's view of 4 TB", "one array's view of 8 TB",
    "a view of 8 TB of an array with gaps", "a view of 1 GB of an array with gaps",
    "3,000 views of 200 MB of an array with gaps",
]  # fmt: skip


@pytest.fixture(scope="module")
def attacks():
    """How each attack ended, played one after another in a process of its own."""
    command = [sys.executable, "-P", "-c", ATTACKS, str(CAP)]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", ATTACKED)
def test_an_attack_on_memory_is_held_to_the_cap(attacks, name):
    attack = attacks[name]

    assert attack["ending"] in ("WireError", "a value")
    assert attack["peak"] < CAP
    assert attack["seconds"] < 60


def test_every_attack_is_judged(attacks):
    assert list(attacks) == ATTACKED
