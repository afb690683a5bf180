"""The order of a graph, and the walk back through it. The graphs are the judge's own; no Value or Tensor is needed."""

import time
from contextlib import contextmanager

import numpy as np

from grading.judge import check, weight

LONG = 20_000


def random_graph(rng, size=30, beside=10):
    """Edges (child, parent) of a graph below its root, some double, with nodes beside it that use what lies below.

    Numbers are shuffled: to go by the number, or by when a node was made, is no order. Returns edges, root, and the
    numbers of the nodes that the root was computed from, with the root.
    """
    number = rng.permutation(size + beside)
    edges = []
    for child in range(1, size):  # parents have smaller places than their children
        edges += [
            (child, parent) for parent in rng.integers(max(0, child - 12), child, size=rng.integers(1, 3))
        ]
        edges.append((child, child - 1) if rng.random() < 0.3 else (child, int(rng.integers(child))))
    for child in range(size, size + beside):
        edges.append((child, int(rng.integers(size))))
    edges = np.array(edges)
    reached = {size - 1}
    for child in range(size - 1, -1, -1):
        if child in reached:
            reached |= set(edges[edges[:, 0] == child, 1].tolist())
    shuffled = edges[rng.permutation(len(edges))]
    return number[shuffled], int(number[size - 1]), {int(number[place]) for place in reached}


def graph(submission, edges, weights=None, kind="Node"):
    weights = np.ones(len(edges)) if weights is None else weights
    return submission.support.Graph(int(edges.max()) + 1, edges, weights, getattr(submission.support, kind))


def order_of(submission, edges, root, kind="Node"):
    order = graph(submission, edges, kind=kind).order(submission.topological_order, root)

    check(order is not None, "topological_order must return a list")
    check((order >= 0).all(), "the list must hold the nodes themselves, and nothing else")
    return order.tolist()


def chain(length):
    """Each node has the one before as its only parent; the last is the root."""
    places = np.arange(length)
    return np.stack([places[1:], places[:-1]], axis=1)


def ladder(rungs):
    """Each node has the one before as both of its parents, through two nodes in between: 2 to the rungs paths."""
    edges = []
    for rung in range(rungs):
        bottom = 3 * rung
        edges += [
            (bottom + 1, bottom),
            (bottom + 2, bottom),
            (bottom + 3, bottom + 1),
            (bottom + 3, bottom + 2),
        ]
    return np.array(edges)


@contextmanager
def no_recursion():
    """Says what helps against the RecursionError of a function that calls itself."""
    try:
        yield
    except RuntimeError as error:
        check(
            "Recursion" not in str(error),
            f"{error}. A function that calls itself stops at a depth of about 1,000: use a list as a stack instead",
        )
        raise


@weight(2)
def test_every_node_once(submission, rng):
    """The list holds every node that the root was computed from, the root too, each once, and no other node."""
    for _ in range(3):
        edges, root, below = random_graph(rng)

        order = order_of(submission, edges, root)

        check(
            len(order) == len(set(order)),
            "a node stands in the list more than once: a node with several consumers, or twice the parent of one "
            "(x + x), is still one node; remember by id(node) which ones you have seen",
        )
        check(
            below <= set(order),
            "some nodes are missing: go on to the parents of the parents, and keep the root",
        )
        check(set(order) <= below, "the list holds nodes that the root was not computed from")


@weight(4)
def test_parents_come_first(submission, rng):
    """Every node stands in the list after all of its parents."""
    for _ in range(5):
        edges, root, below = random_graph(rng)

        place = {number: i for i, number in enumerate(order_of(submission, edges, root))}

        wrong = [place[child] < place[parent] for child, parent in edges.tolist() if child in below]
        check(
            not any(wrong),
            "the list is the wrong way round: parents first, root last"
            if all(wrong)
            else "a node stands before one of its parents: put a node into the list when all of its parents are there "
            "(on the way back), not when you first come to it",
        )


@weight(2)
def test_many_paths(submission):
    """Where the paths through a graph are many, each node is still looked at only once."""
    edges = ladder(15)

    order = order_of(submission, edges, 45)

    check(
        sorted(order) == list(range(46)),
        "15 diamonds in a row are 46 nodes but 32,768 paths: follow each node's parents once, not once a path",
    )


@weight(3)
def test_a_long_chain(submission):
    """A chain of 20,000 nodes is put into order, and by no function that calls itself."""
    with no_recursion():
        order = order_of(submission, chain(LONG), LONG - 1)

    check(order == list(range(LONG)), "a chain of 20,000 nodes has only one order: parents first, root last")
    order_of(submission, chain(300), 299, kind="Watched")
    depths = submission.support.Watched.depths
    check(
        max(depths) - min(depths) < 100,
        "the further down a chain a node is, the more functions wait for one another: a higher recursion limit only "
        "moves the wall, so use a list as a stack instead",
    )


@weight(1)
def test_nodes_that_look_equal(submission, rng):
    """Two nodes are the same only if they are one object, whatever == says of them."""
    edges, root, below = random_graph(rng)

    order = order_of(submission, edges, root, kind="Twin")

    check(
        sorted(order) == sorted(below),
        "of nodes that are all equal (==), some were taken for others: remember id(node), not the node, and compare "
        "with `is`, not with == or `in`",
    )


@weight(2)
def test_time_grows_with_the_graph(submission):
    """Four times the nodes take about four times as long, not sixteen."""
    short, long = (graph(submission, chain(length)) for length in (2_000, 8_000))
    order = submission.topological_order

    seconds = {short: [], long: []}
    for _ in range(5):
        for graph_of, length in ((short, 2_000), (long, 8_000)):
            start = time.perf_counter()
            nodes = graph_of.order(order, length - 1)
            seconds[graph_of].append(time.perf_counter() - start)
            complete = nodes is not None and len(nodes) == length
            check(complete, "topological_order must return a list of all nodes")

    # The fastest of five: linear 3 to 5, quadratic 14 to 17. A busy machine slows down one run, seldom all five.
    check(
        min(seconds[long]) < 9 * min(seconds[short]),
        "on a graph four times as large it takes much more than four times as long: `in` a list looks at all of it; "
        "remember what you have seen in a set of id(node)",
    )


@weight(4)
def test_backward_pushes_each_node_with_its_whole_gradient(submission, rng):
    """backward calls push once on every node, when its gradient is complete, and hands it that gradient."""
    for _ in range(3):
        edges, root, below = random_graph(rng)
        weights = rng.uniform(0.5, 1.5, size=len(edges)) * rng.choice([-1, 1], size=len(edges))
        whole = gradients(edges, weights, root, below)

        pushed, given = graph(submission, edges, weights).backward(submission.backward, root)

        numbers = pushed.tolist()
        check(numbers != [], "backward called push on no node at all")
        check(
            len(numbers) == len(set(numbers)),
            "push was called on a node more than once, so its share arrives twice",
        )
        inner = {int(child) for child in edges[:, 0]} & below  # to push a leaf is of no use, and no harm
        check(inner <= set(numbers), "push was not called on every node: the root is one of them")
        check(set(numbers) <= below, "push was called on a node that the root was not computed from")
        right = np.array([whole[number] for number in numbers])
        check(
            given.shape == right.shape and np.allclose(given, right, rtol=1e-9, atol=1e-12),
            "push(node.grad) was called on a node before all that were computed from it had pushed (or with another "
            "number): walk the topological order from its end",
        )


def gradients(edges, weights, root, below):
    """The gradient of the root with respect to every node below it, from the sparse triangular system."""
    numbers = sorted(below)
    place = {number: i for i, number in enumerate(numbers)}
    slopes = np.zeros((len(numbers), len(numbers)))
    for (child, parent), slope in zip(edges.tolist(), weights, strict=True):
        if child in below:
            slopes[place[parent], place[child]] += slope
    seed = np.zeros(len(numbers))
    seed[place[root]] = 1.0
    return dict(zip(numbers, np.linalg.solve(np.eye(len(numbers)) - slopes, seed), strict=True))


@weight(3)
def test_backward_through_a_long_chain(submission, rng):
    """backward reaches the far end of a chain of 20,000 nodes."""
    edges = chain(LONG)
    weights = rng.choice([-1.0, 1.0], size=len(edges))
    expected = np.concatenate([[1.0], np.cumprod(weights[::-1])])

    with no_recursion():
        pushed, given = graph(submission, edges, weights).backward(submission.backward, LONG - 1)

    check(
        pushed[: LONG - 1].tolist() == list(range(LONG - 1, 0, -1)),
        "in a chain, push is called on the root first, and then on one parent after the other",
    )
    check(
        np.array_equal(given[: LONG - 1], expected[: LONG - 1]),
        "the gradient changed on its way along a chain",
    )
