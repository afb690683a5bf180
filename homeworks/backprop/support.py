"""Beside the student's code: long graphs to walk through, and a way to look at a graph of the student's own.

Holds nothing secret. It walks through no graph in the right order: the judge works the order out.
"""

import traceback
from typing import ClassVar

import numpy as np


class Node:
    """One node of a graph that the judge thought up: adds its gradient, times a weight, to that of each parent."""

    def __init__(self, number, pushed):
        self.number = number
        self.grad = 0.0
        self.parents = ()
        self.weights = ()
        self.pushed = pushed

    def push(self, grad):
        self.pushed.append((self.number, grad))
        if len(self.pushed) > 50_000:
            raise RuntimeError("push was called on the same nodes more than once, again and again")
        for parent, weight in zip(self.parents, self.weights, strict=True):
            parent.grad += weight * grad


class Twin(Node):
    """Equal to every other, and no way to tell it apart but by `is` and id."""

    def __eq__(self, other):
        return True

    def __hash__(self):
        return 0


class Watched(Node):
    """Notes how many functions are at work, one inside another, when it is asked for its parents."""

    depths: ClassVar[list[int]] = []

    @property
    def parents(self):
        self.depths.append(sum(1 for _ in traceback.walk_stack(None)))
        return self.before

    @parents.setter
    def parents(self, before):
        self.before = before


class Graph:
    """edges: (m, 2) integers, the number of a node and that of one of its parents; weights: (m,); kind: of node."""

    def __init__(self, size, edges, weights, kind=Node):
        self.pushed = []
        self.nodes = [kind(number, self.pushed) for number in range(size)]
        for (child, parent), weight in zip(edges.tolist(), weights.tolist(), strict=True):
            node = self.nodes[child]
            node.parents += (self.nodes[parent],)
            node.weights += (weight,)
        Watched.depths.clear()

    def order(self, topological_order, root):
        """The numbers of the nodes in the student's order (-1 for what is none of them); None if it is no list."""
        nodes = topological_order(self.nodes[root])
        if not isinstance(nodes, list):
            return None
        return np.array([node.number if isinstance(node, Node) else -1 for node in nodes], dtype=np.int64)

    def backward(self, backward, root):
        """Which nodes were pushed, in order, and the gradients that they were given."""
        self.nodes[root].grad = 1.0
        backward(self.nodes[root])
        numbers = np.array([number for number, _ in self.pushed], dtype=np.int64)
        return numbers, np.array([grad for _, grad in self.pushed], dtype=np.float64)


class Found:
    """All that a result of the student's was computed from, in no particular order."""

    def __init__(self, root):
        self.nodes, self.edges = [root], []
        places = {id(root): 0}
        for node in self.nodes:  # it grows meanwhile
            for parent in node.parents:
                if id(parent) not in places:
                    places[id(parent)] = len(self.nodes)
                    self.nodes.append(parent)
                self.edges.append((places[id(node)], places[id(parent)]))
            if len(self.nodes) > 2000:
                raise RuntimeError("a result of a few operations has thousands of parents")

    def edge_array(self):
        return np.array(self.edges, dtype=np.int64).reshape(-1, 2)

    def push(self, places):
        for place in places.tolist():
            node = self.nodes[place]
            if node.grad is not None:  # nothing has arrived, so there is nothing to push
                node.push(node.grad)


class Made:
    """Counts how many Tensors are made from now on."""

    def __init__(self, Tensor):
        self.count = 0
        make = Tensor.__init__

        def __init__(tensor, *arguments, **keywords):
            self.count += 1
            make(tensor, *arguments, **keywords)

        Tensor.__init__ = __init__
