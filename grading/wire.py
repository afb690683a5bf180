"""What passes between judge and worker: data only, as a small typed header and raw buffers beside it.

A frame is the header's length (4 bytes), the header (MessagePack of one of the message types below), and the
buffers, whose lengths the header states. The receiver checks counts, lengths, dtypes and shapes before it takes
memory. Nothing is unpickled or evaluated, and whatever is wrong with a frame is a WireError.

Values are the exact base types: None, bool, int, float, complex, str, bytes, list, tuple, dict, set, slice,
Ellipsis, NumPy arrays, torch tensors, dtypes, Size and device. Anything else stays where it is, behind a handle.
"""

from __future__ import annotations

import math
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
import numpy as np
import torch

MAX_HEADER = 256 << 10
MAX_NODES = 20_000
MAX_DEPTH = 32
MAX_DIMENSIONS = 32
MAX_DIGITS = 4096
MAX_PAYLOAD = 256 << 20
MAX_DESCRIPTORS = 4
PIECE = 1 << 20

NUMPY_DTYPES = {
    name: np.dtype(name)
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                 "float16", "float32", "float64", "complex64", "complex128")
}  # fmt: skip
TORCH_DTYPES: dict[str, torch.dtype] = {
    name: getattr(torch, name)
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
                 "float16", "bfloat16", "float32", "float64", "complex64", "complex128")
}  # fmt: skip
TORCH_NAMES = {dtype: name for name, dtype in TORCH_DTYPES.items()}


class WireError(Exception):
    """What arrived, or what was to be sent, is not a frame: malformed, oversized, late, or too deep."""


class WireClosed(WireError):
    """The other side hung up."""


class WireTimeout(WireError):
    """Nothing came before the deadline."""


# ---------------------------------------------------------------------------------------------------- values


class Big(msgspec.Struct, tag="big", array_like=True, frozen=True):
    """An int beyond 64 bits, in hexadecimal."""

    digits: str


class Complex(msgspec.Struct, tag="complex", array_like=True, frozen=True):
    real: float
    imaginary: float


class Text(msgspec.Struct, tag="text", array_like=True, frozen=True):
    """A str that UTF-8 does not hold (lone surrogates)."""

    raw: bytes


class Bytes(msgspec.Struct, tag="bytes", array_like=True, frozen=True):
    raw: bytes


class Many(msgspec.Struct, tag="many", array_like=True, frozen=True):
    """A list, tuple or set."""

    kind: str
    items: list[Node]


class Mapping(msgspec.Struct, tag="dict", array_like=True, frozen=True):
    keys: list[Node]
    values: list[Node]


class Slice(msgspec.Struct, tag="slice", array_like=True, frozen=True):
    start: Node
    stop: Node
    step: Node


class Dots(msgspec.Struct, tag="dots", array_like=True, frozen=True):
    """Ellipsis."""


class DType(msgspec.Struct, tag="dtype", array_like=True, frozen=True):
    library: str
    name: str


class Size(msgspec.Struct, tag="size", array_like=True, frozen=True):
    sizes: list[int]


class Device(msgspec.Struct, tag="device", array_like=True, frozen=True):
    """device("cpu"); there is no other."""


class Array(msgspec.Struct, tag="array", array_like=True, frozen=True):
    """A NumPy array ("numpy") or a torch tensor ("torch") in the frame's buffer number `storage`.

    offset is in bytes; strides in bytes for NumPy, in elements for torch, None when the array fills its buffer
    in C order. `leaf` marks a parameter, whose accumulated gradient may come along.
    """

    library: str
    dtype: str
    shape: list[int]
    storage: int
    strides: list[int] | None = None
    offset: int = 0
    requires_grad: bool = False
    leaf: bool = False
    gradient: Array | None = None


class Alias(msgspec.Struct, tag="alias", array_like=True, frozen=True):
    """A result that is an argument of the call, or a view of it: the asker has the data already."""

    argument: int
    identical: bool
    dtype: str
    shape: list[int]
    strides: list[int]
    offset: int


class Handle(msgspec.Struct, tag="handle", array_like=True, frozen=True):
    """Something that stays in the worker."""

    number: int
    kind: str


class Function(msgspec.Struct, tag="function", array_like=True, frozen=True):
    """A function that stays in the judge, lent to the worker for one call."""

    number: int


Node: TypeAlias = (
    None
    | bool
    | int
    | float
    | str
    | Bytes
    | Big
    | Complex
    | Text
    | Many
    | Mapping
    | Slice
    | Dots
    | DType
    | Size
    | Device
    | Array
    | Alias
    | Handle
    | Function
)

# -------------------------------------------------------------------------------------------------- messages
# Every message states the lengths of the buffers that follow its header.


class Message(msgspec.Struct, frozen=True, kw_only=True):
    buffers: list[int] = []


class Context(msgspec.Struct, frozen=True):
    """What crosses with each question: grad mode, the default dtype, and the tapes that nobody can ask for any more."""

    grad: bool = True
    default_dtype: str = "float32"
    released: list[int] = []


class GetAttribute(Message, tag="get", frozen=True):
    target: int
    name: str
    context: Context


class SetAttribute(Message, tag="set", frozen=True):
    target: int
    name: str
    value: Node
    context: Context


class Call(Message, tag="call", frozen=True):
    """Call a handle. `mutable`: the buffers whose new contents are wanted back, where the call changes them."""

    target: int
    arguments: list[Node]
    keywords: dict[str, Node]
    context: Context
    mutable: list[int] = []


class Operate(Message, tag="operate", frozen=True):
    """An operator on values, by its name in the standard library's `operator`, or iter, next, len."""

    name: str
    operands: list[Node]
    context: Context


class Backward(Message, tag="backward", frozen=True):
    """The vector-Jacobian product of an earlier result: cotangents of its outputs, in order."""

    tape: int
    cotangents: list[Node]
    context: Context = Context()


class Returned(Message, tag="returned", frozen=True):
    """`changed`: arguments' buffers that the call changed; `contents`: new contents of the mutable among them."""

    value: Node
    tape: int = 0
    changed: list[int] = []
    contents: dict[int, int] = {}


class Raised(Message, tag="raised", frozen=True):
    """An exception of the student's. `bases`: names of its builtin classes, nearest first."""

    kind: str
    text: str
    bases: list[str] = []
    cell: int = 0
    line: int = 0
    missing: str = ""


class CallBack(Message, tag="callback", frozen=True):
    function: int
    arguments: list[Node]
    keywords: dict[str, Node]


class CallBackReturned(Message, tag="answer", frozen=True):
    value: Node


class CallBackRaised(Message, tag="refusal", frozen=True):
    kind: str
    text: str


class RunCells(Message, tag="run", frozen=True):
    """Run the cells, leaving out those named; each may take so many seconds."""

    skip: list[int]
    seconds: float


class StartTest(Message, tag="test", frozen=True):
    """Fork a test; its own wire comes along as a descriptor."""

    seed: int


class Sources(Message, tag="sources", frozen=True):
    """Before any student code runs: the cells as plain Python (one buffer, JSON)."""


class CellDone(Message, tag="cell", frozen=True):
    """state: ok, failed, syntax, slow."""

    number: int
    state: str
    kind: str = ""
    text: str = ""
    line: int = 0


class CellsDone(Message, tag="cells", frozen=True):
    pass


class TestEnded(Message, tag="ended", frozen=True):
    """How the fork of a test ended: its exit code, or minus the signal's number."""

    code: int


Question: TypeAlias = (
    GetAttribute | SetAttribute | Call | Operate | Backward | CallBackReturned | CallBackRaised
)
Answer: TypeAlias = Returned | Raised | CallBack
Order: TypeAlias = RunCells | StartTest
Report: TypeAlias = Sources | CellDone | CellsDone | TestEnded

# ---------------------------------------------------------------------------------------------------- frames


@dataclass(slots=True)
class Frame:
    message: Any
    buffers: list[bytearray] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)


class Wire:
    """One end of a stream socket that carries frames.

    `expected` is the union of message types that may arrive; `payload` the most bytes of buffers in one frame.
    Descriptors that come along are dropped unless `descriptors` says that they are wanted.
    """

    def __init__(
        self, channel: socket.socket, expected: Any, *, payload: int = MAX_PAYLOAD, descriptors: bool = False
    ) -> None:
        self.channel = channel
        self.most_descriptors = MAX_DESCRIPTORS if descriptors else 0
        self.payload = payload
        self.encoder = msgspec.msgpack.Encoder()
        self.decoder = msgspec.msgpack.Decoder(expected)
        channel.setblocking(False)

    def send(
        self,
        message: Message,
        buffers: list[Any] | None = None,
        *,
        descriptors: tuple[int, ...] = (),
        deadline: float = math.inf,
    ) -> None:
        """Sends one frame. Raises WireError when the message is too large, WireClosed, WireTimeout."""
        buffers = buffers or []
        if buffers:
            message = msgspec.structs.replace(
                message, buffers=[memoryview(buffer).nbytes for buffer in buffers]
            )
        if sum(message.buffers) > self.payload:
            raise WireError(f"more than {self.payload >> 20} MB in one value")
        header = self.encoder.encode(message)
        if len(header) > MAX_HEADER:
            raise WireError("a value with too many parts")
        first = struct.pack("<I", len(header)) + header
        if descriptors:
            try:
                sent = socket.send_fds(self.channel, [first[:1]], list(descriptors))
            except OSError:
                raise WireClosed("the other side hung up") from None
            first = first[sent:]
        for piece in (first, *buffers):
            self._send_all(memoryview(piece).cast("B"), deadline)

    def receive(self, deadline: float = math.inf) -> Frame:
        """The next frame. `deadline` is a time.monotonic(). Raises WireError, WireClosed, WireTimeout."""
        descriptors: list[int] = []
        prefix = self._receive_exactly(4, deadline, descriptors)
        (length,) = struct.unpack("<I", prefix)
        if length > MAX_HEADER:
            raise WireError("a header that is too long")
        header = self._receive_exactly(length, deadline, descriptors)
        try:
            message = self.decoder.decode(header)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError, OverflowError) as error:
            raise WireError(f"a header that cannot be read: {type(error).__name__}") from None
        sizes = message.buffers
        if len(sizes) > MAX_NODES or any(size < 0 for size in sizes) or sum(sizes) > self.payload:
            raise WireError(f"buffers beyond {self.payload >> 20} MB")
        return Frame(
            message, [self._receive_exactly(size, deadline, descriptors) for size in sizes], descriptors
        )

    def check_silent(self) -> None:
        """Raises WireError where something has come that nobody asked for, WireClosed where the other side is gone."""
        try:
            if self.channel.recv(1, socket.MSG_PEEK):
                raise WireError("an answer to no question")
        except BlockingIOError:
            return
        except OSError:
            pass
        raise WireClosed("the other side hung up")

    def close(self) -> None:
        self.channel.close()

    def _send_all(self, data: memoryview, deadline: float) -> None:
        while data:
            try:
                data = data[self.channel.send(data[:PIECE]) :]
            except BlockingIOError:
                self._wait(select.POLLOUT, deadline)
            except OSError:
                raise WireClosed("the other side hung up") from None

    def _receive_exactly(self, size: int, deadline: float, descriptors: list[int]) -> bytearray:
        """Memory grows with what has arrived, never with what was announced."""
        data = bytearray()
        while len(data) < size:
            try:
                wanted = min(PIECE, size - len(data))
                piece, passed, _, _ = socket.recv_fds(self.channel, wanted, self.most_descriptors)
            except BlockingIOError:
                self._wait(select.POLLIN, deadline)
                continue
            except OSError:
                raise WireClosed("the other side hung up") from None
            descriptors += passed
            if not piece:
                raise WireClosed("the other side hung up")
            data += piece
            if time.monotonic() > deadline:
                raise WireTimeout("out of time")
        return data

    def _wait(self, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(self.channel, event)
        left = None if deadline == math.inf else max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left):
            raise WireTimeout("out of time")


# --------------------------------------------------------------------------------------------------- packing


@dataclass(slots=True)
class Storage:
    """A stretch of memory that one or more packed arrays lie in: bytes [start, stop) of its owner."""

    owner: Any
    start: int
    stop: int


@dataclass(slots=True, frozen=True)
class Sent:
    """An array of the arguments: the value itself, the plain array whose memory went into buffer `number`."""

    value: Any
    plain: Any
    number: int


class Packer:
    """Turns values into nodes and buffers, for one frame.

    handle: gives the node of anything that is not data (or raises WireError).
    keep_layout: send strides and shared memory as they are (arguments); otherwise every array is sent alone, in
    C order (results, which the judge checks).
    alias: may answer for an array instead of sending it.
    """

    def __init__(
        self,
        handle: Callable[[Any], Node],
        *,
        keep_layout: bool = False,
        alias: Callable[[Any], Alias | None] | None = None,
    ) -> None:
        self.handle = handle
        self.alias = alias
        self.keep_layout = keep_layout
        self.buffers: list[Any] = []
        self.tensors: list[torch.Tensor] = []  # those that require grad, in order
        self.arrays: list[Sent] = []  # every array of the arguments, in order
        self.storages: dict[Any, Storage] = {}
        self.numbers: dict[Any, int] = {}
        self.nodes = 0

    def measure(self, values: Any) -> None:
        """With keep_layout, first: finds out which stretches of memory the values share."""
        for array in arrays_within(values):
            key, owner, start, stop = stretch(array)
            known = self.storages.get(key)
            if known is None:
                self.storages[key] = Storage(owner, start, stop)
            elif start < stop:
                whole = (
                    (start, stop)
                    if known.start == known.stop
                    else (min(start, known.start), max(stop, known.stop))
                )
                known.start, known.stop = whole

    def pack(self, value: Any, depth: int = 0) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise WireError(f"a value with more than {MAX_NODES} parts")
        if depth > MAX_DEPTH:
            raise WireError(f"a value nested deeper than {MAX_DEPTH} levels")
        deeper = depth + 1
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, np.ndarray | np.generic) and not isinstance(value, str | bytes):
            return self.pack_numpy(value) if value.dtype.name in NUMPY_DTYPES else self.handle(value)
        if isinstance(value, torch.Tensor):
            return self.pack_torch(value) if is_plain(value) else self.handle(value)
        if isinstance(value, int):
            whole = int(value)
            if whole.bit_length() > 4 * MAX_DIGITS - 4:
                raise WireError(f"an int of more than {4 * MAX_DIGITS:,} bits")
            return whole if -(1 << 63) <= whole < 1 << 63 else Big(format(whole, "x"))
        if isinstance(value, float):
            return float(value)
        if isinstance(value, complex):
            return Complex(value.real, value.imag)
        if isinstance(value, str):
            text = str.__str__(value)
            try:
                text.encode()
            except UnicodeEncodeError:
                return Text(text.encode("utf-8", "surrogatepass"))
            return text
        if isinstance(value, bytes):
            return Bytes(bytes(value))
        if isinstance(value, torch.Size):
            return Size(list(value))
        for kind, base in (("list", list), ("tuple", tuple), ("set", set)):
            if isinstance(value, base):
                return Many(kind, [self.pack(item, deeper) for item in value])
        if isinstance(value, dict):
            return Mapping(
                [self.pack(key, deeper) for key in value],
                [self.pack(item, deeper) for item in value.values()],
            )
        if isinstance(value, slice):
            return Slice(*(self.pack(part, deeper) for part in (value.start, value.stop, value.step)))
        if value is Ellipsis:
            return Dots()
        if isinstance(value, torch.dtype) and value in TORCH_NAMES:
            return DType("torch", TORCH_NAMES[value])
        if isinstance(value, np.dtype) and value.name in NUMPY_DTYPES:
            return DType("numpy", value.name)
        if isinstance(value, torch.device) and value.type == "cpu":
            return Device()
        return self.handle(value)

    def pack_numpy(self, value: Any) -> Node:
        if self.alias is not None and (alias := self.alias(value)) is not None:
            return alias
        array = np.asarray(value)
        if array.dtype.byteorder == ">":
            array = array.astype(array.dtype.newbyteorder("="))
        if not self.keep_layout:
            self.buffers.append(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
            return Array("numpy", array.dtype.name, list(array.shape), len(self.buffers) - 1)
        number, start = self.place(array)
        self.arrays.append(Sent(value, array, number))
        offset = array.__array_interface__["data"][0] - start if array.size else 0
        return Array("numpy", array.dtype.name, list(array.shape), number, list(array.strides), offset)

    def pack_torch(self, tensor: torch.Tensor) -> Node:
        if self.alias is not None and (alias := self.alias(tensor)) is not None:
            return alias
        needs_grad = tensor.requires_grad
        leaf = needs_grad and tensor.is_leaf
        gradient = None
        if leaf and not self.keep_layout and tensor.grad is not None and is_plain(tensor.grad):
            gradient_node = self.pack_torch(tensor.grad.detach())
            gradient = gradient_node if isinstance(gradient_node, Array) else None
        if needs_grad and (self.keep_layout or not leaf):
            self.tensors.append(tensor)
        name, shape = TORCH_NAMES[tensor.dtype], list(tensor.shape)
        data = plain(tensor)
        if not self.keep_layout:
            self.buffers.append(bytes_of(data.contiguous()))
            return Array("torch", name, shape, len(self.buffers) - 1, None, 0, needs_grad, leaf, gradient)
        number, start = self.place(data)
        self.arrays.append(Sent(tensor, data, number))
        offset = data.data_ptr() - start if data.numel() else 0
        return Array("torch", name, shape, number, list(data.stride()), offset, needs_grad, leaf)

    def place(self, array: Any) -> tuple[int, int]:
        """The number of the buffer that the array's memory goes into, and the address that buffer starts at."""
        key, owner, start, stop = stretch(array)
        storage = self.storages.get(key) or self.storages.setdefault(key, Storage(owner, start, stop))
        if key not in self.numbers:
            self.numbers[key] = len(self.buffers)
            self.buffers.append(copy_of(storage))
        return self.numbers[key], storage.start


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether it is an ordinary dense CPU tensor of an allowed dtype (not sparse, quantised, meta or nested)."""
    with torch._C.DisableTorchFunctionSubclass():
        return (
            tensor.layout is torch.strided
            and tensor.device.type == "cpu"
            and tensor.dtype in TORCH_NAMES
            and not tensor.is_nested
        )


def plain(tensor: torch.Tensor) -> torch.Tensor:
    """The same data as an exact torch.Tensor, detached, conjugate and negative bits resolved."""
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.detach().as_subclass(torch.Tensor).resolve_conj().resolve_neg()


def bytes_of(tensor: torch.Tensor) -> Any:
    """The buffer of a C-ordered tensor."""
    flat = tensor.as_strided((tensor.numel(),), (1,))  # of one element, or none, the stride may be anything
    return flat.view(torch.uint8).numpy().data


def arrays_within(value: Any, depth: int = 0) -> Iterator[Any]:
    if depth > MAX_DEPTH:
        return
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if array.dtype.name in NUMPY_DTYPES and array.dtype.byteorder != ">":
            yield array.view(np.ndarray)
    elif isinstance(value, torch.Tensor):
        if is_plain(value):
            yield plain(value)
    elif isinstance(value, list | tuple | set) and not isinstance(value, torch.Size):
        for item in value:
            yield from arrays_within(item, depth + 1)
    elif isinstance(value, dict):
        for pair in value.items():
            yield from arrays_within(pair, depth + 1)


def stretch(array: Any) -> tuple[Any, Any, int, int]:
    """(key of the memory's owner, owner, first address, address after the last) of an array."""
    if isinstance(array, torch.Tensor):
        storage = array.untyped_storage()
        size = array.element_size()
        reach = (
            sum((n - 1) * s for n, s in zip(array.shape, array.stride(), strict=True))
            if array.numel()
            else -1
        )
        key = ("torch", storage.data_ptr() or id(array))
        if not array.numel():
            return key, array, 0, 0
        after = array.data_ptr() + (reach + 1) * size
        first = (
            array.data_ptr() - (array.data_ptr() - storage.data_ptr()) % 16
        )  # a start for items of any size
        return key, array, first, after
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    if not array.size:
        return ("numpy", id(owner)), owner, 0, 0
    first, after = np.lib.array_utils.byte_bounds(array)
    return ("numpy", id(owner)), owner, first, after


def copy_of(storage: Storage) -> bytes:
    import ctypes

    return (
        ctypes.string_at(storage.start, storage.stop - storage.start) if storage.stop > storage.start else b""
    )


# ------------------------------------------------------------------------------------------------- unpacking


class Unpacker:
    """Turns nodes and buffers back into values, for one frame.

    trusted: the sender's strides and offsets are taken (the worker, from the judge). Otherwise each array must be
    in C order and fill its own buffer exactly.
    """

    def __init__(
        self,
        buffers: list[bytearray],
        *,
        trusted: bool = False,
        handle: Callable[[Handle], Any] | None = None,
        function: Callable[[Function], Any] | None = None,
        alias: Callable[[Alias], Any] | None = None,
        array: Callable[[Array, Any], Any] | None = None,
    ) -> None:
        self.buffers = buffers
        self.trusted = trusted
        self.handle = handle
        self.function = function
        self.alias = alias
        self.array = array
        self.used: set[int] = set()
        self.bases: dict[int, Any] = {}
        self.nodes = 0

    def unpack(self, node: Node, depth: int = 0) -> Any:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise WireError("a value with too many parts")
        if depth > MAX_DEPTH:
            raise WireError("a value nested too deeply")
        deeper = depth + 1
        match node:
            case None | bool() | int() | float() | str():
                return node
            case Bytes():
                return node.raw
            case Array():
                value = self.unpack_array(node)
                return self.array(node, value) if self.array is not None else value
            case Many():
                items = [self.unpack(item, deeper) for item in node.items]
                if node.kind == "set":
                    return set(hashable(items))
                if node.kind not in ("list", "tuple"):
                    raise WireError("an unknown kind of container")
                return items if node.kind == "list" else tuple(items)
            case Mapping():
                if len(node.keys) != len(node.values):
                    raise WireError("a dict with unequal numbers of keys and values")
                keys = hashable([self.unpack(key, deeper) for key in node.keys])
                return dict(zip(keys, [self.unpack(item, deeper) for item in node.values], strict=True))
            case Big():
                return self.unpack_big(node.digits)
            case Complex():
                return complex(node.real, node.imaginary)
            case Text():
                try:
                    return node.raw.decode("utf-8", "surrogatepass")
                except UnicodeDecodeError:
                    raise WireError("a str that cannot be read") from None
            case Slice():
                return slice(*(self.unpack(part, deeper) for part in (node.start, node.stop, node.step)))
            case Dots():
                return Ellipsis
            case DType():
                known: dict[str, Any] = TORCH_DTYPES if node.library == "torch" else NUMPY_DTYPES
                if node.name not in known or node.library not in ("torch", "numpy"):
                    raise WireError("an unknown dtype")
                return known[node.name]
            case Size():
                return torch.Size(checked_sizes(node.sizes))
            case Device():
                return torch.device("cpu")
            case Handle() if self.handle is not None:
                return self.handle(node)
            case Function() if self.function is not None:
                return self.function(node)
            case Alias() if self.alias is not None:
                return self.alias(node)
        raise WireError("a kind of value that has no place here")

    def unpack_big(self, digits: str) -> int:
        if len(digits) > MAX_DIGITS:
            raise WireError(f"an int of more than {4 * MAX_DIGITS:,} bits")
        try:
            return int(digits, 16)
        except ValueError:
            raise WireError("an int that cannot be read") from None

    def unpack_array(self, node: Array) -> Any:
        torch_array = node.library == "torch"
        known: dict[str, Any] = TORCH_DTYPES if torch_array else NUMPY_DTYPES
        if node.dtype not in known or node.library not in ("torch", "numpy"):
            raise WireError("an unknown dtype")
        dtype = known[node.dtype]
        if not 0 <= node.storage < len(self.buffers):
            raise WireError("an array without its buffer")
        if not self.trusted:
            self.check_alone(node, dtype.itemsize)
        base = self.base(node.storage)
        if not torch_array:
            if node.strides is None:
                return base.view(dtype).reshape(node.shape)
            if 0 in node.shape:
                return np.empty(node.shape, dtype)
            return np.ndarray(node.shape, dtype, base, node.offset, node.strides)
        storage = torch.from_numpy(base).untyped_storage()
        tensor = torch.empty(0, dtype=dtype)
        if node.strides is None:
            return tensor.set_(storage).view(tuple(node.shape))
        offset = 0 if 0 in node.shape else node.offset // dtype.itemsize
        return tensor.set_(storage, offset, tuple(node.shape), tuple(node.strides))

    def base(self, number: int) -> Any:
        if number not in self.bases:
            self.bases[number] = np.frombuffer(self.buffers[number], np.uint8)
        return self.bases[number]

    def check_alone(self, node: Array, itemsize: int) -> None:
        elements = math.prod(checked_shape(node.shape))
        if node.strides is not None or node.offset or node.storage in self.used:
            raise WireError("an array that does not fill a buffer of its own")
        if elements * itemsize != len(self.buffers[node.storage]):
            raise WireError("a shape that does not match its data")
        self.used.add(node.storage)


def checked_sizes(sizes: list[int]) -> list[int]:
    if len(sizes) > MAX_DIMENSIONS or any(not 0 <= size < 1 << 48 for size in sizes):
        raise WireError("an impossible shape")
    return sizes


def checked_shape(shape: list[int]) -> list[int]:
    """Sizes that an array can have: their product can be counted in bytes."""
    checked_sizes(shape)
    if math.prod(size or 1 for size in shape) >= 1 << 58:
        raise WireError("an impossible shape")
    return shape


def hashable(keys: list[Any]) -> list[Any]:
    try:
        for key in keys:
            hash(key)
    except TypeError:
        raise WireError("a key that cannot be one") from None
    return keys


for _messages in (Question, Order, Answer, Report):
    msgspec.msgpack.Decoder(
        _messages
    )  # msgspec reads the types at the first use: 2 ms in the fork of each test
