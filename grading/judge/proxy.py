"""The `submission` of a hidden test: stands for the student's notebook, which runs in another process.

What comes back is plain data, or a Remote that forwards what is done with it. Nothing that a student's process
sends can do more than be a wrong answer.
"""

from __future__ import annotations

import contextlib
import math
import weakref
from collections.abc import Callable, Collection, Iterator
from typing import Any, NoReturn, Protocol

import numpy as np
import torch

from grading import wire
from grading.judge.failures import (
    Ended,
    HandleError,
    MissingName,
    OutOfTime,
    SubmissionFailure,
    printable,
    remote_error,
)

MAX_CALLBACKS = 10_000
MOST_RELEASED = 1_000  # tapes named in one question
MAX_CALLBACK_PAYLOAD = 1 << 20


class Mutable:
    """An argument that the call may change in place."""

    def __init__(self, value: Any) -> None:
        self.value = value


def mutable(value: Any) -> Any:
    """Marks a tensor or array that the call may change: its new contents are copied back.

    Any other argument stays as it is in the judge whatever the student's code does to it, so that no submission
    can rewrite the inputs an expected value is computed from. Functions named with a trailing underscore may
    change all their arguments.
    """
    return Mutable(value)


class Explainer(Protocol):
    """Puts into a student's words what the notebook as a whole tells of one answer."""

    def explain_missing(self, name: str) -> str:
        """Why the notebook has no such name."""

    def explain_error(self, kinds: Collection[str], text: str) -> str:
        """What may lie behind an exception of such classes; nothing if nothing is known."""


class NoExplanation:
    """For a test outside a suite: says no more than what happened."""

    def explain_missing(self, name: str) -> str:
        return f"your notebook has no {name}"

    def explain_error(self, kinds: Collection[str], text: str) -> str:
        return ""


NO_EXPLANATION = NoExplanation()


class Link:
    """One test's line to the worker. `deadline` is a time.monotonic(); after a failure the line stays dead.

    `explain_end` puts into words how the process ended.
    """

    def __init__(
        self,
        channel: Any,
        deadline: float,
        explainer: Explainer,
        explain_end: Callable[[], SubmissionFailure],
    ) -> None:
        self.wire = wire.Wire(channel, wire.Answer)
        self.deadline = deadline
        self.explainer = explainer
        self.explain_end = explain_end
        self.answered = False
        self.dead: SubmissionFailure | None = None
        self.touched: dict[int, Any] = {}
        self.released: list[
            int
        ] = []  # tapes of graphs that are gone here, so that the worker can forget them too

    def ask(self, message: wire.Message, packer: Packing | None = None) -> Any:
        """Sends one question, serves callbacks, and returns the value that comes back."""
        if self.dead is not None:
            raise self.dead
        packing = packer or Packing(self)
        try:
            self.wire.check_silent()
            self.wire.send(message, packing.buffers, deadline=self.deadline)
            frame = self.wire.receive(self.deadline)
            while isinstance(frame.message, wire.CallBack):
                self.serve(frame, packing)
                frame = self.wire.receive(self.deadline)
            self.answered = True
            if isinstance(frame.message, wire.Raised):
                if frame.message.missing:
                    raise MissingName(self.explainer.explain_missing(printable(frame.message.missing, 80)))
                report = frame.message
                error = remote_error(report.kind, report.text, report.bases, report.cell, report.line)
                if why := self.explainer.explain_error(report.bases, error.text):
                    error.args = (f"{error}; {why}",)
                raise error
            return packing.receive(frame)
        except wire.WireTimeout:
            self.die(OutOfTime("it took longer than the time limit; is there a loop that never ends?"))
        except wire.WireClosed:
            self.die(self.explain_end())
        except wire.WireError as error:
            self.die(Ended(f"its answer could not be read: {error}"))

    def die(self, failure: SubmissionFailure) -> NoReturn:
        self.dead = failure
        self.wire.close()
        raise failure from None

    def serve(self, frame: wire.Frame, packing: Packing) -> None:
        """Runs a function of the test's on what the student's code passed to it."""
        message = frame.message
        packing.callbacks += 1
        if packing.callbacks > MAX_CALLBACKS:
            raise wire.WireError(f"it called a function of the test more than {MAX_CALLBACKS} times")
        if sum(message.buffers) > MAX_CALLBACK_PAYLOAD:
            raise wire.WireError("it passed more than 1 MB to a function of the test")
        if not 0 <= message.function < len(packing.functions):
            raise wire.WireError("it called a function that it was not given")
        unpacker = wire.Unpacker(frame.buffers)
        positional = [unpacker.unpack(node) for node in message.arguments]
        keywords = {name: unpacker.unpack(node) for name, node in message.keywords.items()}
        try:
            value = packing.functions[message.function](*positional, **keywords)
        except Exception as error:  # it may be the fault of the student's arguments, so it goes back to them
            base = next(base for base in type(error).__mro__ if base.__module__ == "builtins")
            self.wire.send(
                wire.CallBackRaised(kind=base.__name__, text=printable(str(error), 200)),
                deadline=self.deadline,
            )
            return
        answer = Packing(self)
        node = answer.pack(value)
        self.wire.send(wire.CallBackReturned(value=node), answer.buffers, deadline=self.deadline)

    def get(self, target: int, name: str, owner: str = "") -> Any:
        value = self.ask(wire.GetAttribute(target=target, name=name, context=self.context()))
        return named(value, f"{owner}.{name}" if owner else name)

    def set(self, target: int, name: str, value: Any) -> None:
        packing = Packing(self)
        packing.measure(value)
        node = packing.pack(value)
        self.ask(wire.SetAttribute(target=target, name=name, value=node, context=self.context()), packing)

    def operate(self, name: str, *operands: Any) -> Any:
        packing = Packing(self)
        packing.measure(list(operands))
        nodes = [packing.pack(operand) for operand in operands]
        return self.ask(wire.Operate(name=name, operands=nodes, context=self.context()), packing)

    def call(
        self, target: int, arguments: tuple[Any, ...], keywords: dict[str, Any], *, all_mutable: bool
    ) -> Any:
        packing = Packing(self, all_mutable=all_mutable)
        arguments, keywords = packing.unmark(arguments), packing.unmark(keywords)
        packing.measure([arguments, keywords])
        nodes = [packing.pack(argument) for argument in arguments]
        named_nodes = {name: packing.pack(value) for name, value in keywords.items()}
        question = wire.Call(
            target=target,
            arguments=nodes,
            keywords=named_nodes,
            context=self.context(),
            mutable=packing.mutable_buffers(),
        )
        return self.ask(question, packing)

    def release(self, tape: int) -> None:
        self.released.append(tape)

    def context(self, *, grad: bool | None = None) -> wire.Context:
        released, self.released = self.released[:MOST_RELEASED], self.released[MOST_RELEASED:]
        enabled = torch.is_grad_enabled() if grad is None else grad
        return wire.Context(enabled, wire.TORCH_NAMES[torch.get_default_dtype()], released)

    def was_touched(self, array: Any) -> bool:
        return id(array) in self.touched


class Packing(wire.Packer):
    """The arguments of one question, kept until the answer is read: results may be, or change, arguments."""

    def __init__(self, link: Link, *, all_mutable: bool = False) -> None:
        super().__init__(self.give, keep_layout=True)
        self.link = link
        self.all_mutable = all_mutable
        self.marked: list[Any] = []
        self.functions: list[Callable[..., Any]] = []
        self.callbacks = 0

    def unmark(self, value: Any) -> Any:
        if isinstance(value, Mutable):
            self.marked.append(value.value)
            return value.value
        if type(value) in (list, tuple):
            return type(value)(self.unmark(item) for item in value)
        if type(value) is dict:
            return {key: self.unmark(item) for key, item in value.items()}
        return value

    def give(self, thing: Any) -> wire.Node:
        if isinstance(thing, Remote):
            link, number, _ = parts(thing)
            if link is not self.link:
                raise TypeError("a handle lives for one test only")
            return wire.Handle(number, "")
        if callable(thing):
            self.functions.append(thing)
            return wire.Function(len(self.functions) - 1)
        raise TypeError(f"a {type(thing).__name__} cannot be sent to the submission")

    def is_mutable(self, array: Any) -> bool:
        return self.all_mutable or any(array is marked for marked in self.marked)

    def mutable_buffers(self) -> list[int]:
        return sorted({sent.number for sent in self.arrays if self.is_mutable(sent.value)})

    def receive(self, frame: wire.Frame) -> Any:
        """The value of an answer, its tensors part of the judge's graph; changed arguments are brought up to date."""
        message = frame.message
        self.copy_back(message, frame.buffers)
        taped: list[torch.Tensor] = []
        if message.tape:
            collect = wire.Unpacker(
                frame.buffers,
                handle=lambda node: node.number,
                alias=lambda node: node.argument,
                array=lambda node, value: taped.append(value) if in_graph(node) else None,
            )
            collect.unpack(message.value)
            anchor = torch.zeros((), requires_grad=True)  # for a result that depends on parameters alone
            graph = iter(RemoteCall.apply(self.link, message.tape, taped, anchor, *self.tensors))  # type: ignore[no-untyped-call]
        else:
            graph = iter(())

        def array(node: wire.Array, value: Any) -> Any:
            if node.requires_grad and not isinstance(value, np.ndarray) and node.leaf:
                value.requires_grad_(value.is_floating_point() or value.is_complex())
                value.grad = self.gradient(node, frame)
                return value
            return next(graph, value) if in_graph(node) else value

        unpacker = wire.Unpacker(
            frame.buffers,
            handle=lambda node: Remote(self.link, node.number, printable(node.kind, 40)),
            alias=self.alias_of,
            array=array,
        )
        self.unpacker = unpacker
        return unpacker.unpack(message.value)

    def gradient(self, node: wire.Array, frame: wire.Frame) -> torch.Tensor | None:
        if node.gradient is None:
            return None
        gradient = self.unpacker.unpack_array(node.gradient)
        theirs = (node.gradient.library, node.gradient.shape, node.gradient.dtype)
        if theirs != (node.library, node.shape, node.dtype):
            raise wire.WireError("a gradient that does not match its parameter")
        return gradient  # type: ignore[no-any-return]

    def copy_back(self, message: wire.Returned, buffers: list[bytearray]) -> None:
        for sent in self.arrays:
            array, number = sent.plain, sent.number
            if number in message.changed:
                self.link.touched[id(sent.value)] = sent.value
            place = message.contents.get(number)
            if place is None or not self.is_mutable(sent.value):
                continue
            if (
                not 0 <= place < len(buffers)
                or len(buffers[place]) != memoryview(self.buffers[number]).nbytes
            ):
                raise wire.WireError("an argument came back with another size")
            if 0 in array.shape:
                continue
            start = self.storage_of(number).start
            base = np.frombuffer(buffers[place], np.uint8)
            if isinstance(array, torch.Tensor):
                offset = (array.data_ptr() - start) // array.element_size()
                view = torch.empty(0, dtype=array.dtype)
                storage = torch.from_numpy(base).untyped_storage()
                with torch.no_grad():
                    sent.value.copy_(view.set_(storage, offset, array.shape, array.stride()))
            else:
                offset = array.__array_interface__["data"][0] - start
                sent.value[...] = np.ndarray(array.shape, array.dtype, base, offset, array.strides)

    def storage_of(self, number: int) -> wire.Storage:
        """The stretch of the judge's memory that went into this buffer."""
        return next(self.storages[key] for key, buffer in self.numbers.items() if buffer == number)

    def alias_of(self, node: wire.Alias) -> Any:
        """The argument itself, or a view of it, within its own memory."""
        if not 0 <= node.argument < len(self.arrays):
            raise wire.WireError("a result that is an argument which was not passed")
        sent = self.arrays[node.argument]
        argument, number = sent.plain, sent.number
        if node.identical:
            return sent.value
        shape = wire.checked_shape(node.shape)
        if len(node.strides) != len(shape):
            raise wire.WireError("a view with unequal numbers of sizes and strides")
        is_tensor = isinstance(argument, torch.Tensor)
        known: dict[str, Any] = wire.TORCH_DTYPES if is_tensor else wire.NUMPY_DTYPES
        if (
            node.dtype not in known
            or known[node.dtype] != argument.dtype
            or any(abs(s) >= 1 << 40 for s in node.strides)
        ):
            raise wire.WireError("a view of another kind than its argument")
        size = argument.element_size() if is_tensor else argument.itemsize
        unit = size if is_tensor else 1
        if is_tensor and any(stride < 0 for stride in node.strides):
            raise wire.WireError("a tensor with a negative stride")
        if math.prod(shape) * size > wire.MAX_PAYLOAD:
            raise wire.WireError("a view larger than any value may be")
        storage = self.storage_of(number)
        address = argument.data_ptr() if is_tensor else argument.__array_interface__["data"][0]
        first = address - storage.start + node.offset * unit
        low = first + sum(min(0, (n - 1) * s) for n, s in zip(shape, node.strides, strict=True)) * unit
        high = (
            first + sum(max(0, (n - 1) * s) for n, s in zip(shape, node.strides, strict=True)) * unit + size
        )
        if 0 not in shape and not 0 <= low <= high <= storage.stop - storage.start:
            raise wire.WireError("a view beyond its argument")
        if is_tensor:
            offset = argument.storage_offset() + node.offset if 0 not in shape else 0
            return argument.detach().as_strided(shape, node.strides, offset)
        if 0 in shape:
            return np.empty(shape, argument.dtype)
        return np.asarray(Window(argument, shape, node.strides, address + node.offset))


class Window:
    """Another view of an array's memory, whose bounds have been checked."""

    def __init__(self, array: Any, shape: list[int], strides: list[int], address: int) -> None:
        self.array = array  # keeps the memory
        self.__array_interface__ = {
            "version": 3,
            "shape": tuple(shape),
            "strides": tuple(strides),
            "typestr": array.dtype.str,
            "data": (address, not array.flags.writeable),
        }


def in_graph(node: wire.Array) -> bool:
    return (
        node.requires_grad
        and not node.leaf
        and node.library == "torch"
        and node.dtype[:2] not in ("in", "ui", "bo")
    )


class Held:
    """Something to be told of when it is gone."""


class RemoteCall(torch.autograd.Function):
    """A call in the worker, as a node of the judge's graph: backward asks there for the vector-Jacobian product."""

    @staticmethod
    def forward(
        ctx: Any,
        link: Link,
        tape: int,
        outputs: list[torch.Tensor],
        anchor: torch.Tensor,
        *inputs: torch.Tensor,
    ) -> Any:
        ctx.link, ctx.tape = link, tape
        ctx.held = Held()  # lives as long as this node of the graph
        weakref.finalize(ctx.held, link.release, tape)
        ctx.set_materialize_grads(False)
        ctx.expected = [(tensor.shape, tensor.dtype) for tensor in inputs]
        return tuple(outputs)

    @staticmethod
    def backward(ctx: Any, *cotangents: torch.Tensor | None) -> Any:
        if torch.is_grad_enabled():  # create_graph=True
            raise RuntimeError("a gradient of a gradient cannot be taken of a call in the submission")
        if all(cotangent is None for cotangent in cotangents):
            return (None,) * (4 + len(ctx.expected))
        packing = Packing(ctx.link)
        packing.measure(list(cotangents))
        nodes = [packing.pack(cotangent) for cotangent in cotangents]
        question = wire.Backward(tape=ctx.tape, cotangents=nodes, context=ctx.link.context(grad=True))
        gradients = ctx.link.ask(question, packing)
        if not isinstance(gradients, list) or len(gradients) != len(ctx.expected):
            raise SubmissionFailure("its backward gave another number of gradients than it has inputs")
        for gradient, (shape, dtype) in zip(gradients, ctx.expected, strict=True):
            if gradient is None:
                continue
            if not isinstance(gradient, torch.Tensor) or gradient.shape != shape or gradient.dtype != dtype:
                raise SubmissionFailure(
                    "its backward gave a gradient of another shape or dtype than the input"
                )
        return (None, None, None, None, *gradients)


class Remote:
    """Something in the student's process that is not plain data. It can be called, read, indexed, iterated and
    computed with; it has no truth value and equals nothing."""

    __slots__ = ("__kind", "__link", "__name", "__number")

    def __init__(self, link: Link, number: int, kind: str, name: str = "") -> None:
        object.__setattr__(self, "_Remote__link", link)
        object.__setattr__(self, "_Remote__number", number)
        object.__setattr__(self, "_Remote__kind", kind)
        object.__setattr__(self, "_Remote__name", name)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        try:
            return self.__link.call(self.__number, arguments, keywords, all_mutable=self.__name.endswith("_"))
        except SubmissionFailure as failure:
            say_where(failure, self.__name or self.__kind)
            raise

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # probes of NumPy, torch, copy, pickle, pytest
        return self.__link.get(self.__number, name, self.__name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__link.set(self.__number, name, value)

    def __getitem__(self, key: Any) -> Any:
        return self.__link.operate("getitem", self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__link.operate("setitem", self, key, value)

    def __len__(self) -> int:
        length = self.__link.operate("len", self)
        if type(length) is not int or not 0 <= length < 1 << 62:
            raise HandleError("its length is not a number")
        return length

    def __iter__(self) -> Iterator[Any]:
        iterator = self.__link.operate("iter", self)
        while True:
            try:
                item = self.__link.operate("next", iterator)
            except StopIteration:
                return
            yield item

    def __next__(self) -> Any:
        return self.__link.operate("next", self)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **keywords: Any) -> Any:
        """Lets an array on the left of an operator leave it to the submission's object on the right."""
        if method == "__call__" and ufunc in UFUNCS and not keywords:
            return self.__link.operate(UFUNCS[ufunc], *inputs)
        raise HandleError(f"it returned a {self.__kind or 'thing'}, expected a number")

    def __repr__(self) -> str:
        return f"<a {self.__kind or 'thing'} of the submission>"

    def __hash__(self) -> int:
        return id(self)


UFUNCS = {
    np.add: "add", np.subtract: "sub", np.multiply: "mul", np.true_divide: "truediv", np.floor_divide: "floordiv",
    np.remainder: "mod", np.power: "pow", np.matmul: "matmul", np.bitwise_and: "and_", np.bitwise_or: "or_",
    np.bitwise_xor: "xor", np.left_shift: "lshift", np.right_shift: "rshift",
}  # fmt: skip


def parts(remote: Remote) -> tuple[Link, int, str]:
    take = object.__getattribute__
    return take(remote, "_Remote__link"), take(remote, "_Remote__number"), take(remote, "_Remote__kind")


def say_where(failure: SubmissionFailure, name: str) -> None:
    """Puts the name of the function that was called before the words, once."""
    if not failure.where:
        failure.where = printable(name, 80)
        failure.args = (f"{failure.where}: {failure}",)


def named(value: Any, name: str) -> Any:
    """Remembers under which name a handle was read: a trailing underscore says that it works in place."""
    if isinstance(value, Remote):
        object.__setattr__(value, "_Remote__name", name)
    return value


def _forward(name: str, *, reflected: bool = False) -> Callable[..., Any]:
    def method(self: Remote, *others: Any) -> Any:
        operands = (*others, self) if reflected else (self, *others)
        return parts(self)[0].operate(name, *operands)

    return method


def _refuse(purpose: str) -> Callable[..., NoReturn]:
    def method(self: Remote, *others: Any, **keywords: Any) -> NoReturn:
        raise HandleError(f"it returned a {parts(self)[2] or 'thing'}, expected {purpose}")

    return method


for _name in (
    "add",
    "sub",
    "mul",
    "truediv",
    "floordiv",
    "mod",
    "pow",
    "matmul",
    "and",
    "or",
    "xor",
    "lshift",
    "rshift",
):
    _operation = _name + "_" if _name in ("and", "or") else _name
    setattr(Remote, f"__{_name}__", _forward(_operation))
    setattr(Remote, f"__r{_name}__", _forward(_operation, reflected=True))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Remote, f"__{_name}__", _forward(_name))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _refuse("a plain value that can be compared"))
for _name in ("float", "int", "index", "complex", "array", "round", "trunc"):
    setattr(Remote, f"__{_name}__", _refuse("a number"))
setattr(Remote, "__bool__", _refuse("True or False"))  # noqa: B010 - as above, unseen by type checkers
setattr(Remote, "__contains__", _refuse("a list, tuple, set or dict"))  # noqa: B010


class Submission:
    """A student's notebook: `submission.relu(x)`, `bn = submission.BatchNorm(4)`, `bn.running_mean`."""

    __slots__ = ("__link",)

    def __init__(self, link: Link) -> None:
        object.__setattr__(self, "_Submission__link", link)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return self.__link.get(0, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self.__link.set(0, name, value)

    @property
    def support(self) -> Remote:
        """The homework's support.py, beside the student's code."""
        return Remote(self.__link, 1, "module")

    def generator(self, seed: int) -> Any:
        """A torch.Generator in the student's process."""
        return self.__link.operate("generator", seed)

    def changed(self, array: Any) -> bool:
        """Whether a call so far tried to change this argument in place. (It stays as it was, unless `mutable`.)"""
        return bool(self.__link.was_touched(array))

    def defines(self, name: str) -> bool:
        """Whether the notebook defines the name."""
        with contextlib.suppress(MissingName):
            self.__link.get(0, name)
            return True
        return False
