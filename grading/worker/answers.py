"""Answers the judge's questions in the fork of one test: attribute, call, operator, vector-Jacobian product.

Objects that are not data stay here behind numbered handles. What this module says of a result is worth no more
than the student's own word: the judge checks what decides points.
"""

from __future__ import annotations

import contextlib
import operator
import socket
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from grading import wire
from grading.worker.cells import MAX_TEXT, builtin_bases, place_of

NAMESPACE, SUPPORT = 0, 1
OPERATIONS: dict[str, Callable[..., Any]] = {
    **{
        name: getattr(operator, name)
        for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "and_", "or_", "xor",
                     "lshift", "rshift", "neg", "pos", "abs", "invert", "getitem", "setitem", "delitem")
    },
    "len": len, "iter": iter, "next": next, "generator": lambda seed: torch.Generator().manual_seed(seed),
}  # fmt: skip


class Missing(Exception):
    """The notebook does not define the name."""


class Tape:
    """A result that requires grad: its outputs, and the arguments it may have come from."""

    def __init__(self, outputs: list[torch.Tensor], inputs: list[torch.Tensor]) -> None:
        self.outputs = outputs
        self.inputs = inputs


class Answers:
    def __init__(self, channel: socket.socket, module: types.ModuleType, support: types.ModuleType) -> None:
        self.wire = wire.Wire(channel, wire.Question)
        self.objects: list[Any] = [module, support]
        self.tapes: dict[int, Tape] = {}
        self.last_tape = 0

    def answer(self, frame: wire.Frame) -> None:
        message = frame.message
        arguments = Arguments(self, frame)
        context = getattr(message, "context", wire.Context())
        torch.set_default_dtype(wire.TORCH_DTYPES[context.default_dtype])
        for number in context.released:
            self.tapes.pop(number, None)
        try:
            with torch.set_grad_enabled(context.grad):
                value = self.act(message, arguments)
                returned, buffers = self.pack(value, arguments, getattr(message, "mutable", []))
            self.wire.send(returned, buffers)
        except wire.WireClosed:
            raise
        except Missing as error:
            self.wire.send(wire.Raised(kind="Missing", text="", missing=str(error)))
        except (
            wire.WireError
        ) as error:  # nothing has been sent of what is too large or of a kind that cannot be
            self.wire.send(wire.Raised(kind="ValueError", text=f"it returned {error}", bases=["ValueError"]))
        except BaseException as error:
            self.wire.send(raised(error))

    def act(self, message: Any, arguments: Arguments) -> Any:
        match message:
            case wire.GetAttribute():
                owner = self.objects[message.target]
                if message.target == NAMESPACE and message.name not in vars(owner):
                    raise Missing(message.name)
                return getattr(owner, message.name)
            case wire.SetAttribute():
                setattr(self.objects[message.target], message.name, arguments.unpack(message.value))
                return None
            case wire.Call():
                positional = [arguments.unpack(node) for node in message.arguments]
                keywords = {name: arguments.unpack(node) for name, node in message.keywords.items()}
                try:
                    return self.objects[message.target](*positional, **keywords)
                finally:
                    arguments.lent = False
            case wire.Operate():
                return OPERATIONS[message.name](*[arguments.unpack(node) for node in message.operands])
            case wire.Backward():
                return self.backward(
                    self.tapes[message.tape], [arguments.unpack(node) for node in message.cotangents]
                )
        raise TypeError("an answer to no question")

    def backward(self, tape: Tape, cotangents: list[Any]) -> list[torch.Tensor | None]:
        """Gradients of the arguments; those of parameters accumulate where they are."""
        for tensor in tape.inputs:
            tensor.grad = None
        contracted(tape.outputs, cotangents).backward(retain_graph=True)
        gradients = [tensor.grad for tensor in tape.inputs]
        for tensor in tape.inputs:
            tensor.grad = None
        return gradients

    def pack(self, value: Any, arguments: Arguments, mutable: list[int]) -> tuple[wire.Returned, list[Any]]:
        changed = arguments.changed()
        packer = wire.Packer(self.keep, alias=lambda array: arguments.alias_of(array, changed - set(mutable)))
        node = packer.pack(value)
        tape = 0
        if packer.tensors:
            tape = self.last_tape = self.last_tape + 1
            self.tapes[tape] = Tape(packer.tensors, arguments.inputs)
        contents = {}
        for number in changed & set(mutable):
            contents[number] = len(packer.buffers)
            packer.buffers.append(bytes(arguments.buffers[number]))
        return wire.Returned(
            value=node, tape=tape, changed=sorted(changed), contents=contents
        ), packer.buffers

    def keep(self, thing: Any) -> wire.Handle:
        self.objects.append(thing)
        return wire.Handle(len(self.objects) - 1, type(thing).__name__[:80])

    def call_back(self, number: int, arguments: Arguments, positional: Any, keywords: dict[str, Any]) -> Any:
        """Asks the judge to run one of its own functions; only while the call that lent it is running."""
        if not arguments.lent:
            raise RuntimeError("this function was lent for one call, which is over")
        packer = wire.Packer(refuse)
        nodes = [packer.pack(detached(value)) for value in positional]
        named = {name: packer.pack(detached(value)) for name, value in keywords.items()}
        self.wire.send(wire.CallBack(function=number, arguments=nodes, keywords=named), packer.buffers)
        frame = self.wire.receive()
        if isinstance(frame.message, wire.CallBackRaised):
            kind = getattr(__import__("builtins"), frame.message.kind, RuntimeError)
            raise kind(frame.message.text)
        return Arguments(self, frame).unpack(frame.message.value)


class Arguments:
    """The values that came with one question, and what became of them."""

    def __init__(self, answers: Answers, frame: wire.Frame) -> None:
        self.answers = answers
        self.buffers = frame.buffers
        self.originals = [bytes(buffer) for buffer in frame.buffers]
        self.inputs: list[torch.Tensor] = []  # those that require grad, in order
        self.arrays: list[tuple[Any, int]] = []  # with the number of the buffer each lies in
        self.lent = True
        self.unpacker = wire.Unpacker(
            frame.buffers, trusted=True, handle=self.find, function=self.lend, array=self.note
        )

    def unpack(self, node: wire.Node) -> Any:
        return self.unpacker.unpack(node)

    def find(self, handle: wire.Handle) -> Any:
        return self.answers.objects[handle.number]

    def lend(self, function: wire.Function) -> Any:
        return lambda *positional, **keywords: self.answers.call_back(
            function.number, self, positional, keywords
        )

    def note(self, node: wire.Array, value: Any) -> Any:
        if node.requires_grad:
            value.requires_grad_(True)
            self.inputs.append(value)
        self.arrays.append((value, node.storage))
        return value

    def changed(self) -> set[int]:
        pairs = zip(self.buffers, self.originals, strict=True)
        return {number for number, (now, before) in enumerate(pairs) if now != before}

    def alias_of(self, array: Any, stale: set[int]) -> wire.Alias | None:
        """Says of a result that it is an argument, or lies in an argument's memory. The memory of `stale` buffers
        is not what the judge has, so what lies there is sent by value."""
        for number, (argument, storage) in enumerate(self.arrays):
            if storage in stale:
                continue
            if argument is array:
                return wire.Alias(number, True, "", [], [], 0)
            if isinstance(array, torch.Tensor) and isinstance(argument, torch.Tensor):
                if not array.requires_grad and shares_storage(argument, array):
                    offset = int(array.storage_offset() - argument.storage_offset())
                    name, strides = wire.TORCH_NAMES[array.dtype], list(array.stride())
                    return wire.Alias(number, False, name, list(array.shape), strides, offset)
            elif shares_array(argument, array):
                offset = address(array) - address(argument)
                name, strides = array.dtype.name, list(array.strides)
                return wire.Alias(number, False, name, list(array.shape), strides, offset)
        return None


def shares_array(one: Any, other: Any) -> bool:
    both = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    return both and other.size > 0 and one.dtype == other.dtype and np.may_share_memory(one, other)


def address(array: np.ndarray[Any, Any]) -> int:
    return int(array.__array_interface__["data"][0])


def contracted(outputs: list[torch.Tensor], cotangents: list[torch.Tensor]) -> torch.Tensor:
    """The scalar whose gradient is the vector-Jacobian product. Handing cotangents to torch itself would import
    another 60 MB in every test's fork."""
    products = [
        (output * cotangent.conj()).sum().real
        for output, cotangent in zip(outputs, cotangents, strict=True)
        if cotangent is not None
    ]
    return torch.stack([product.double() for product in products]).sum()


def shares_storage(one: torch.Tensor, other: torch.Tensor) -> bool:
    pointer = one.untyped_storage().data_ptr()
    same_kind = (one.dtype, one.is_conj(), one.is_neg()) == (other.dtype, other.is_conj(), other.is_neg())
    return pointer != 0 and same_kind and pointer == other.untyped_storage().data_ptr()


def answer(channel: socket.socket, module: types.ModuleType, support: types.ModuleType) -> None:
    """Answers until the judge hangs up."""
    answers = Answers(channel, module, support)
    with contextlib.suppress(wire.WireClosed):
        for frame in frames(answers.wire):
            answers.answer(frame)


def frames(questions: wire.Wire) -> Iterator[wire.Frame]:
    while True:
        yield questions.receive()


def raised(error: BaseException) -> wire.Raised:
    try:
        text = str(error)[:MAX_TEXT]
        text.encode()
    except BaseException:
        text = ""
    cell, line = place_of(error)
    return wire.Raised(
        kind=type(error).__name__[:80], text=text, bases=builtin_bases(error), cell=cell, line=line
    )


def detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value


def refuse(thing: Any) -> wire.Node:
    raise TypeError(f"a function of the tests takes plain data, not {type(thing).__name__}")
