# %% [markdown]
# # Read, predict, attend
#
# A language model does three things, again and again: it *reads* text as a row of numbers, it *predicts* what comes next, and to do that
# well it *attends* to the right part of what it has read. Here you build one of each from the ground up: a tokenizer that swallows any
# language (section 1), the oldest language model there is (2), what is needed to put sentences of unequal length into one tensor (3), a
# network with a memory (4), attention (5), and the dice (6). In the end (7) they come together: a network that reads "September 27, 2023",
# in any of seven spellings, and writes 2023-09-27. It learns that in 100 steps, if your attention works, and not at all without it.
#
# **How it works.** Each section has an idea, a stub to fill in, and a check. Replace `raise NotImplementedError` by your code, run the
# cell, run the check below it. `✓` is right, `✗` tells you in words what is wrong, `…` is still to do. The hidden tests ask for the same
# properties with other texts, numbers and shapes, so when all checks say `✓` you are very likely done. You get points for every function
# that works (if it keeps the house rules), so leave a stub you cannot solve as it is and go on.
#
# **House rules**, for every function in this notebook:
#
# * `float32` in gives `float32` out, `float64` in gives `float64` out.
# * An argument is never changed in place, be it a tensor or a list.
# * A library function that *is* the answer is forbidden: a ready-made tokenizer in section 1, `pad_sequence` in 3, `nn.RNN`, `nn.GRU` and
#   their cells in 4, `scaled_dot_product_attention` and `nn.MultiheadAttention` in 5, `torch.multinomial`, `random.choices`,
#   `np.random.choice` and the like in 6, an optimiser or a date parser in 7. A single one costs the *whole* section, so a stub is
#   better. All of `softmax`, `logsumexp`, `cross_entropy`, `topk`, `sort`, `cumsum`, `einsum` and so on are welcome.
#
# | section | points |
# |---|---|
# | 1 Byte-pair encoding | 20 |
# | 2 Counting what comes next | 15 |
# | 3 Sentences of unequal length | 10 |
# | 4 A state that remembers | 15 |
# | 5 Attention, and one prediction | 13 + 2 |
# | 6 Rolling the dice | 10 |
# | 7 Boss: date_whisperer | 15 |

# %%
import datetime
import math
import random
from collections import Counter
from functools import cache

import torch
import torch.nn.functional as F

# %% [markdown]
# Small tools that the checks use. Nothing to do here.


# %%
def check(says):
    """Run a check as soon as it is defined, and say in words how it went."""

    def run(test):
        try:
            test()
        except NotImplementedError:
            print(f"…  {says}: not implemented yet")
        except AssertionError as wrong:
            print(f"✗  {says}\n      {wrong}")
        except Exception as error:
            print(f"✗  {says}\n      your code raised {type(error).__name__}: {error}")
        else:
            print(f"✓  {says}")

    return run


def inside(thing):
    """What stands in lists of lists, one after the other."""
    return [leaf for part in thing for leaf in inside(part)] if isinstance(thing, (list, tuple)) else [thing]


def call(f, *arguments, **keywords):
    """What f returns for these arguments, which it must leave as they are."""
    before = inside(arguments)
    copies = [leaf.detach().clone() if isinstance(leaf, torch.Tensor) else leaf for leaf in before]
    result = f(*arguments, **keywords)
    name, after = getattr(f, "__name__", type(f).__name__), inside(arguments)
    same = len(before) == len(after) and all(a is b for a, b in zip(before, after))
    assert same, f"{name} changed a list that it was given: make a new one instead"
    for leaf, copy in zip(after, copies):
        if isinstance(leaf, torch.Tensor):
            same = torch.allclose(leaf.double(), copy.double(), 0, 0, equal_nan=True)
            assert same, f"{name} changed a tensor that it was given: compute a new one instead"
    return result


def agrees(actual, expected, hint, rtol=1e-9, atol=1e-12):
    """Is it a tensor, of the right shape and dtype, finite where it should be, and (only then) right?"""
    assert isinstance(actual, torch.Tensor), f"a torch tensor was asked for, not a {type(actual).__name__}"
    assert actual.shape == expected.shape, f"the shape is {tuple(actual.shape)}, not {tuple(expected.shape)}"
    assert actual.dtype == expected.dtype, f"the dtype is {actual.dtype}, not {expected.dtype}"
    assert not torch.isnan(actual).any(), f"there is a NaN in the result. {hint}"
    assert torch.allclose(actual.detach(), expected, rtol=rtol, atol=atol), hint


# %% [markdown]
# ## 1. Byte-pair encoding (20 points)
#
# A network reads numbers. One number a *word* needs a dictionary that is never complete; one number a *character* makes long rows, and there
# are 150,000 characters. GPT's answer is in between. Write the text as its UTF-8 **bytes**: 256 numbers, and no text in the world that they
# cannot spell. Then look for the pair of neighbours that is most frequent, give it a number of its own, 256, and replace it everywhere.
# Repeat with 257, 258, … Common words end up as one token, rare ones in pieces, and nothing is ever unknown.
#
# Three rules make the result unique:
#
# * **Counting.** Every place where two neighbours stand side by side counts, also where they overlap: `aaa` holds the pair `(a, a)` twice.
# * **Ties.** Of equally frequent pairs the *largest* wins, as Python compares tuples: the larger first id, and where these are equal, the
#   larger second id.
# * **Replacing.** From left to right, and what has been replaced is used up: `aaa` becomes `[256, a]`.
#
# To encode, do what training did: replace the first merge wherever it occurs, then the second, … in the order in which they were learnt.
# (The longest token that fits is *not* the same.) To decode, each id stands for some bytes; join them *all*, and only then make text of
# them: an `é` is two bytes, and may well be split between two tokens.


# %%
def train_bpe(text, n_merges):
    """The merges that byte-pair encoding learns from a text.

    text: str; n_merges: int >= 0. Ids 0 to 255 are the bytes of the text in UTF-8; merge number i (from 0) makes id 256 + i.

    Returns a list of n_merges pairs (left id, right id), tuples of int, in the order in which they were made. Each is
    the most frequent pair of neighbours at that time; of equally frequent ones the largest, as Python compares tuples.
    "aaa" counts as two pairs (a, a), but becomes [256, a]: replacing goes from left to right.
    The list is shorter if no pair is left, as when the text has become a single token, or is empty.
    """
    ### BEGIN SOLUTION
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges and len(ids) > 1:
        counts = Counter(zip(ids, ids[1:]))
        best = max(counts, key=lambda pair: (counts[pair], pair))
        ids = replace(ids, best, 256 + len(merges))
        merges.append(best)
    return merges


def replace(ids, pair, new):
    """The ids with `new` in the place of each such pair, from left to right."""
    replaced = []
    for token in ids:
        if replaced and (replaced[-1], token) == pair:
            replaced[-1] = new
        else:
            replaced.append(token)
    return replaced
    ### END SOLUTION


def encode(text, merges):
    """The ids of a text, a list of int: its bytes in UTF-8, then each merge in the order of the list.

    merges: as from train_bpe (with any text); merge number i makes id 256 + i.
    """
    ### BEGIN SOLUTION
    ids = list(text.encode())
    for number, pair in enumerate(merges):
        ids = replace(ids, pair, 256 + number)
    return ids
    ### END SOLUTION


def decode(ids, merges):
    """The text that a list of ids stands for: decode(encode(text, merges), merges) is the text, for any text.

    Ids that are cut out of the middle of a text may begin or end within a character. Bytes that are no valid UTF-8 become
    U+FFFD (the replacement character), just as bytes.decode(errors="replace") does.
    """
    ### BEGIN SOLUTION
    tokens = [bytes([byte]) for byte in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return b"".join(tokens[token] for token in ids).decode(errors="replace")
    ### END SOLUTION


# %% tags=["check"]
def pairs(merges):
    assert isinstance(merges, list), f"a list of pairs was asked for, not a {type(merges).__name__}"
    return [tuple(pair) for pair in merges]


@check("train_bpe finds the most frequent pair")
def _():
    # "ab" stands there three times, then "ab" "c" twice
    assert pairs(train_bpe("abcxabcyab", 2)) == [(97, 98), (256, 99)], (
        "in abcxabcyab the first merge is (a, b), the second (256, c): are pairs counted anew after each merge?"
    )


@check("train_bpe decides ties and overlaps")
def _():
    assert pairs(train_bpe("cdab", 1)) == [(100, 97)], (
        "all pairs of cdab occur once; (d, a) is the largest, neither first nor last"
    )
    assert pairs(train_bpe("aaabcbc", 1)) == [(98, 99)], (
        "(b, c) and (a, a) both occur twice; (b, c) is larger"
    )
    assert pairs(train_bpe("aaab", 1)) == [(97, 97)], "aaa holds the pair (a, a) twice, (a, b) once"
    assert pairs(train_bpe("aaaa", 5)) == [(97, 97), (256, 256)], (
        "aaaa is one token after two merges: then stop"
    )
    assert pairs(train_bpe("", 3)) == [], "an empty text has no pairs, so no merges"


@check("encode applies the merges in the order of the list")
def _():
    merges = [(98, 99), (97, 98), (97, 256)]  # bc, ab, abc
    assert call(encode, "abc", merges) == [258], (
        "abc: first bc, then a with it. The longest or leftmost is not the rule"
    )
    assert encode("abab", merges) == [257, 257], "abab is twice the token of (a, b)"
    assert encode("aaa", [(97, 97)]) == [256, 97], "aaa: from left to right, and what is replaced is used up"


@check("decode gives back any text")
def _():
    merges = train_bpe("the cat and the hat and the bat: déjà vu, déjà vu", 20)
    for text in ("the bat sat", "naïve 🦉 日本語 \x00\n", "", "e\u0301 and é"):
        assert call(decode, encode(text, merges), merges) == text, (
            f"decode(encode(text)) is not the text for {text!r}"
        )
    assert decode([195], []) == "\ufffd", "half a character is \\ufffd: errors='replace'"
    assert decode([195, 169], []) == "é", (
        "join the bytes of all tokens first: a character may be split between two"
    )


# %% [markdown]
# ## 2. Counting what comes next (15 points)
#
# Shannon played this game in 1948: look at the last $n-1$ characters, and guess the next one by how often each has followed them before.
# That is an **n-gram** model. With $c(\cdot)$ for "how often it stands in the text":
#
# $$p(\text{char} \mid \text{context}) = \frac{c(\text{context}\;\text{char}) + k}{c(\text{context}) + k\,V}$$
#
# The $k > 0$ gives a little to what has never been seen. Without it, one unseen triple makes the probability of a whole book zero, and its
# logarithm $-\infty$. $V$ is the size of the alphabet: all different characters of the text, and *one more* which stands for whatever is
# not among them (a Chinese character in an English text). So the probabilities of the characters of the text and of one unknown character sum to one.
#
# Two fine points. $c(\text{context})$ counts the places where the context is *followed by a character*: otherwise the sum is a bit below
# one for the last letters of the text. And what is the context of the *first* character? Read every text as if $n-1$ newlines stood in
# front of it. (They are context only. They do not count as characters, nor make the newline part of the alphabet.)
#
# How good is it? Give it a text that it has not seen, and count how many **bits per character** it needs: the mean of $-\log_2 p$. If all
# $V$ characters were equally likely, that would be $\log_2 V$, about 6.6 here. Our texts are those that `help()` prints about Python.


# %%
def ngram_lm(text, n, k):
    """A language model by counting: a function lm(context, char) that returns p(char | context) as a float.

    text: str, not empty; n: int >= 1; k: float > 0. p = (count of context + char + k) / (count of context + k * V), where V is
    the number of different characters in the text plus one.

    The text is read as if n - 1 newlines stood in front. Counted are its len(text) windows of n characters, each of which
    ends in a character of the text; the count of a context is the number of windows that begin with it.

    lm(context, char): only the last n - 1 characters of the context matter; a shorter one is filled up with newlines in
    front (so "" is the beginning of a text). char is any single character, also one that the text does not hold.
    """
    ### BEGIN SOLUTION
    start = "\n" * (n - 1)
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(text)))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(text)))
    size = len(set(text)) + 1

    def lm(context, char):
        context = start + context
        context = context[len(context) - len(start) :]
        return (windows[context + char] + k) / (contexts[context] + k * size)

    return lm
    ### END SOLUTION


def bits_per_char(lm, text, n):
    """The mean of -log2 lm(context, char) over all characters of a text, as a float.

    lm: any function like those of ngram_lm; text: str, not empty; n: int >= 1, the n of lm. The context of a character is
    the n - 1 characters before it in the text, at the beginning fewer (none for the first): lm fills them up. A longer
    context does no harm, as lm looks at its last n - 1 characters only.
    """
    ### BEGIN SOLUTION
    return -sum(math.log2(lm(text[max(i - n + 1, 0) : i], char)) for i, char in enumerate(text)) / len(text)
    ### END SOLUTION


# %% [markdown]
# The texts: what `help("assert")`, `help("async")` and so on would print. (Nothing to do in this cell.)


# %%
def documentation():
    """A text to learn from and one to be tested on, both from the documentation that comes with Python."""
    from pydoc_data.topics import topics

    text = "\n".join(topics[topic] for topic in sorted(topics))
    return text[:100_000], text[100_000:120_000]


# %% tags=["check"]
@check("ngram_lm counts")
def _():
    lm = ngram_lm("abacab", n=2, k=0.5)
    # windows: \na ab ba ac ca ab; V = 3 + 1
    for context, char, count, total in (
        ("a", "b", 2, 3),
        ("a", "c", 1, 3),
        ("b", "a", 1, 1),
        ("", "a", 1, 1),
    ):
        p = lm(context, char)
        assert math.isclose(p, (count + 0.5) / (total + 0.5 * 4), rel_tol=1e-12), (
            f"p({char!r} | {context!r}) is wrong for n=2, k=0.5 and the text 'abacab', where {context!r} is followed "
            f"by something {total} times, and {count} times by {char!r}. V is 4: three characters and one unknown"
        )
    assert math.isclose(lm("xyzb", "a"), lm("b", "a")), "only the last n - 1 characters of the context matter"
    assert math.isclose(ngram_lm("aab", n=1, k=1)("xy", "a"), 3 / 6), (
        "for n=1 there is no context, so p('a') is (2 + 1) / (3 + 1 * 3) for the text 'aab' and k=1"
    )


@check("The probabilities sum to one, for every context and n")
def _():
    text = "hello world, hello moon"
    for n in (1, 2, 3):
        lm = ngram_lm(text, n, 0.1)
        for context in ("lo", "on", "qq", "", "o"):
            total = sum(lm(context, char) for char in {*text, "§"})
            assert math.isclose(total, 1, rel_tol=1e-9), (
                f"for n={n} and the context {context!r} they sum to {total:.4f}, over the characters of the text and one "
                "unknown. Does the last context of the text count, though nothing follows it? For n=1 the context is ''"
            )


@check("bits_per_char is the mean of -log2 p")
def _():
    assert math.isclose(bits_per_char(lambda context, char: 1 / 8, "any text", 3), 3), (
        "p = 1/8 everywhere is 3 bits"
    )
    seen = []
    bits_per_char(lambda context, char: seen.append((context[-2:].lstrip("\n"), char)) or 0.5, "abcd", 3)
    assert sorted(seen) == [("", "a"), ("a", "b"), ("ab", "c"), ("bc", "d")], (
        "for n=3, lm must be asked once for each character of abcd, with the two before it as context"
    )


@check("More context, fewer bits")
def _():
    train, test = documentation()
    bits = [bits_per_char(ngram_lm(train, n, 0.1), test, n) for n in (1, 2, 3)]
    print("   bits per character for n = 1, 2, 3: " + ", ".join(f"{b:.2f}" for b in bits))
    assert bits[0] > bits[1] > bits[2], "the bits must fall from n=1 to n=3"


# %% [markdown]
# ## 3. Sentences of unequal length (10 points)
#
# A tensor is a rectangle, and sentences are not. So the shorter ones are filled up with **padding**, and a mask remembers what is real. From
# then on there is one law: *padding changes nothing*. Not a mean, not a loss, not a gradient, whatever may stand in the padding. (After a few
# layers anything may: even `NaN`. And `NaN * 0` is `NaN`, so multiplying by the mask is not enough.)


# %%
def pad_batch(sequences, pad=0):
    """Sequences of unequal length as one tensor, and a mask.

    sequences: list of lists of int; some may be empty, but not all. Returns (ids, mask), both (number of sequences, length
    of the longest): ids is int64 with each sequence at the left and `pad` to its right, mask is bool and True where ids is
    real. (A sequence may well hold the number `pad` itself: that is real.)
    """
    ### BEGIN SOLUTION
    lengths = torch.tensor([len(sequence) for sequence in sequences])
    mask = torch.arange(lengths.max()) < lengths[:, None]
    ids = torch.full(mask.shape, pad)
    ids[mask] = torch.tensor([token for sequence in sequences for token in sequence])
    return ids, mask
    ### END SOLUTION


def masked_mean(x, mask):
    """The mean of each sequence over its real positions.

    x: (B, T, D) float; mask: (B, T) bool, True where real. Returns (B, D) in the dtype of x; zeros for each sequence
    without a real position, also if that is all of them. What stands in the padding, even NaN, changes neither the result
    nor the gradient, and the gradient with respect to the padding is 0.
    """
    ### BEGIN SOLUTION
    real = mask[..., None]
    return torch.where(real, x, 0).sum(1) / real.sum(1).clamp(min=1)
    ### END SOLUTION


def masked_ce(logits, targets, mask):
    """The mean cross-entropy (-log softmax of the target) over all real positions of the batch.

    logits: (B, T, C) float; targets: (B, T) int64; mask: (B, T) bool with at least one True. Returns a scalar (shape ()).
    Every real *position* weighs the same, whichever sequence it is in. In the padding the logits may be anything, even NaN,
    and the targets any number, also one that is no class: neither result nor gradient change.
    """
    ### BEGIN SOLUTION
    return F.cross_entropy(logits[mask], targets[mask])
    ### END SOLUTION


# %% tags=["check"]
@check("pad_batch pads to the right, and remembers what is real")
def _():
    ids, mask = call(pad_batch, [[5, 0, 7], [], [9]], pad=0)
    agrees(
        ids, torch.tensor([[5, 0, 7], [0, 0, 0], [9, 0, 0]]), "each sequence at the left, pad to its right"
    )
    real = torch.tensor([[True] * 3, [False] * 3, [True, False, False]])
    agrees(mask, real, "the mask is by length: a 0 within a sequence is real, whatever pad is")
    agrees(pad_batch([[1], [2, 3]], pad=8)[0], torch.tensor([[1, 8], [2, 3]]), "the argument pad is not used")


@check("Extra padding changes nothing")
def _():
    torch.manual_seed(0)
    x = torch.randn(3, 6, 4, dtype=torch.float64)
    mask = torch.tensor([[True] * 6, [True] * 2 + [False] * 4, [False] * 6])
    means = torch.stack([x[0].mean(0), x[1, :2].mean(0), torch.zeros_like(x[2, 0])])
    targets = torch.randint(4, (3, 6))
    loss = F.cross_entropy(torch.cat([x[0], x[1, :2]]), torch.cat([targets[0], targets[1, :2]]))
    for rubbish in (1e4, math.nan):
        dirty = torch.where(mask[..., None], x, rubbish).requires_grad_()
        agrees(call(masked_mean, dirty, mask), means, f"masked_mean is wrong with {rubbish} in the padding")
        wild = torch.where(mask, targets, -100)
        actual = call(masked_ce, dirty, wild, mask)
        agrees(
            actual, loss, f"masked_ce is wrong with {rubbish} in the padding; the mean is over real positions"
        )
        for what in (masked_mean(dirty, mask)[:, 0].sum(), actual):
            (gradient,) = torch.autograd.grad(what, dirty)
            assert torch.isfinite(gradient).all(), "a NaN in the padding has got into the gradient"
            assert (gradient[~mask] == 0).all(), "the gradient with respect to the padding is not 0"


@check("masked_mean and masked_ce: one real position, none at all, float32")
def _():
    torch.manual_seed(1)
    x, targets = torch.randn(2, 3, 4), torch.randint(4, (2, 3))
    first = torch.tensor([[True, False, False]] * 2)
    agrees(masked_mean(x, first), x[:, 0], "the mean of one position is what stands there", 1e-5, 1e-6)
    agrees(masked_mean(x, ~first & first), torch.zeros(2, 4), "without real positions the mean is 0")
    hint = "masked_ce is wrong in float32, with one real position in each sequence"
    agrees(masked_ce(x, targets, first), F.cross_entropy(x[:, 0], targets[:, 0]), hint, 1e-4, 1e-5)


# %% [markdown]
# ## 4. A state that remembers (15 points)
#
# An n-gram model forgets everything beyond its window. A **recurrent** network carries a state $h$ from step to step, and what it keeps is
# learnt. The simplest one:
#
# $$h_t = \tanh(W_{ih}\,x_t + W_{hh}\,h_{t-1} + b)$$
#
# Each step squeezes the whole memory through a tanh, and after twenty steps little is left of it, nor of the gradient. The **GRU** has a gate
# that leaves the memory alone: where $z = 1$, the old state passes unchanged. This is PyTorch's convention (papers differ!):
#
# $$r = \sigma(W_{ir} x + b_{ir} + W_{hr} h + b_{hr}) \qquad z = \sigma(W_{iz} x + b_{iz} + W_{hz} h + b_{hz})$$
# $$n = \tanh\big(W_{in} x + b_{in} + r \odot (W_{hn} h + b_{hn})\big) \qquad h' = (1 - z) \odot n + z \odot h$$
#
# The three matrices for $x$ lie on top of each other in one `w_ih`, in the order $r, z, n$; so do those for $h$, and the biases.
#
# A text that is too long for the memory is read in chunks: the state at the end of one is where the next begins. The values are the same as
# if the text were read in one go. But the gradient must not run back into the chunk before, whose graph is gone: there the state is cut off.


# %%
def rnn_forward(x, h, w_ih, w_hh, b):
    """A tanh recurrent network over a batch of sequences: h_t = tanh(x_t @ w_ih.T + h_(t-1) @ w_hh.T + b).

    x: (B, T, I), T >= 1; h: (B, H), the state before the first step; w_ih: (H, I); w_hh: (H, H); b: (H,).
    Returns (states, last): all states (B, T, H), and the last one (B, H). Gradients flow to all arguments.
    """
    ### BEGIN SOLUTION
    states = []
    for step in x.unbind(1):
        h = torch.tanh(step @ w_ih.T + h @ w_hh.T + b)
        states.append(h)
    return torch.stack(states, 1), h
    ### END SOLUTION


def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    """One step of a GRU in PyTorch's convention, as in the formulas above.

    x: (B, I); h: (B, H); w_ih: (3 * H, I), w_hh: (3 * H, H), b_ih and b_hh: (3 * H,), each with the rows for r, then z,
    then n. Returns the new state (B, H). Gradients flow to all arguments.
    """
    ### BEGIN SOLUTION
    ir, iz, inew = (x @ w_ih.T + b_ih).chunk(3, 1)
    hr, hz, hnew = (h @ w_hh.T + b_hh).chunk(3, 1)
    z = torch.sigmoid(iz + hz)
    return (1 - z) * torch.tanh(inew + torch.sigmoid(ir + hr) * hnew) + z * h
    ### END SOLUTION


def detach_state(state):
    """The same state with the same values, but cut off from its graph: no gradient runs back through it.

    state: a tensor, or a list or tuple of states (as an LSTM has two, and a stack of layers a list of them), nested to any
    depth. Returns the same kind of thing. What was handed over stays as it was: a list keeps its parts, and they keep their
    graph.
    """
    ### BEGIN SOLUTION
    if isinstance(state, torch.Tensor):
        return state.detach()
    return type(state)(detach_state(part) for part in state)
    ### END SOLUTION


# %% tags=["check"]
@check("rnn_forward and gru_cell agree with PyTorch's, gradients too")
def _():
    torch.manual_seed(0)
    library = torch.nn.RNN(3, 5, batch_first=True).double()
    x, h = torch.randn(2, 7, 3).double(), torch.randn(2, 5).double().requires_grad_()
    w_ih, w_hh, b_ih, b_hh = library.parameters()
    expected, _ = library(x, h[None])
    states, last = call(rnn_forward, x, h, w_ih, w_hh, (b_ih + b_hh).detach())
    agrees(
        states,
        expected,
        "the states of rnn_forward are wrong: does each step begin with the state of the step before?",
    )
    agrees(last, expected[:, -1], "rnn_forward returns (all states, the last state)")
    g = torch.randn(2, 7, 5).double()
    (gradient,) = torch.autograd.grad((states * g).sum(), h)
    agrees(
        gradient,
        torch.autograd.grad((expected * g).sum(), h)[0],
        "the gradient does not run back to the first state",
    )

    library = torch.nn.GRUCell(3, 5).double()
    agrees(
        call(gru_cell, x[:, 0], h, *library.parameters()),
        library(x[:, 0], h),
        "gru_cell differs from torch.nn.GRUCell: order r, z, n; r is multiplied onto W_hn h + b_hn; z keeps the *old* state",
    )
    small = [tensor.detach().float() for tensor in (x[:, 0], h, *library.parameters())]
    expected = library.float()(*small[:2]).detach()
    agrees(gru_cell(*small), expected, "gru_cell is wrong in float32", rtol=1e-4, atol=1e-5)
    small = [tensor.detach().float() for tensor in (x, h, w_ih, w_hh, b_ih + b_hh)]
    expected = states.detach().float()
    agrees(rnn_forward(*small)[0], expected, "rnn_forward is wrong in float32", rtol=1e-4, atol=1e-5)


@check("Chunk by chunk is the same as in one go, and detach_state cuts the graph")
def _():
    torch.manual_seed(1)
    x, h = torch.randn(2, 9, 3).double(), torch.zeros(2, 4).double()
    weights = [torch.randn(*shape).double().requires_grad_() for shape in ((4, 3), (4, 4), (4,))]
    whole, _ = rnn_forward(x, h, *weights)
    chunks = []
    for start in (0, 3, 6):
        states, h = rnn_forward(x[:, start : start + 3], detach_state(h), *weights)
        chunks.append(states)
    agrees(torch.cat(chunks, 1), whole, "reading in chunks gives other states: is the state handed on?")
    alone = detach_state(h)
    assert not alone.requires_grad, "a gradient still runs back through what detach_state returns"
    assert h.requires_grad, "detach_state must cut off what it returns, not its argument"
    a, b = call(detach_state, [(h, h * 2), h])[0]
    assert torch.equal(b, h * 2), "a nested state has changed its values"
    assert not any(part.requires_grad for part in (a, b)), "nested states must be cut off too"


# %% [markdown]
# ## 5. Attention (15 points)
#
# A state is a bottleneck: all that was read must fit into one vector. **Attention** looks back instead. The present asks a question (the
# *query* $q$), each place in the past has a label (its *key* $k$) and a content (its *value* $v$). Where query and key fit, the content is taken:
#
# $$\text{weights} = \mathrm{softmax}\Big(\frac{Q K^\top}{\sqrt d}\Big) \qquad \text{output} = \text{weights} \cdot V$$
#
# with the softmax over the *keys*: each query has one unit of attention to spend. A **mask** says where it must not be spent: on padding, or,
# in a model that predicts what comes next, on the future. A forbidden place gets no weight at all, and the others share the whole. So the
# mask comes *before* the softmax. If nothing at all is allowed (a sentence of padding only), the result must be finite, and that is all.
#
# **Several heads** look for several things at once. The queries, keys and values (`width` numbers each) are cut into `heads` pieces of
# $d = $ `width / heads` numbers; each head attends by itself, with its own $\sqrt d$; the results are put side by side again and mixed by one
# more matrix. Mind the cutting: `(B, T, width)` becomes `(B, heads, T, d)`, where head $i$ has the numbers from $i\,d$ up to $(i+1)\,d$ of each
# position. A `reshape` to that shape alone would mix positions and numbers.


# %%
def attention(q, k, v, mask=None):
    """Scaled dot-product attention.

    q: (..., T, d); k: (..., S, d); v: (..., S, e), float, with any number of dimensions in front, which are the same for all three.
    mask: None, or bool and broadcastable to (..., T, S), True where the query *may* look.

    Returns (output, weights) of shapes (..., T, e) and (..., T, S). Where a row of the mask has at least one True (or there
    is no mask), the row of weights sums to one, and is exactly 0 where the mask is False. Where a row of the mask is False
    everywhere, its output, its weights and all gradients are finite; which numbers is up to you. Scores of size 1000 do not
    overflow, be they masked or not.
    """
    ### BEGIN SOLUTION
    scores = q @ k.mT / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -1e9)
    weights = scores.softmax(-1)
    return weights @ v, weights
    ### END SOLUTION


def causal_mask(length):
    """(length, length), bool: True where position i (row) may look at position j (column), that is for j <= i."""
    ### BEGIN SOLUTION
    position = torch.arange(length)
    return position <= position[:, None]
    ### END SOLUTION


class MultiHead(torch.nn.Module):
    """Multi-head self-attention, without biases.

    w_in: (3 * width, width), the matrices for queries, keys and values on top of each other: [q; k; v] = w_in @ x.
    w_out: (width, width), applied to the heads' outputs, which are put side by side in order: y = w_out @ [head 0; head 1; …].
    """

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.w_in = torch.nn.Parameter(torch.randn(3 * width, width) / math.sqrt(width))
        self.w_out = torch.nn.Parameter(torch.randn(width, width) / math.sqrt(width))

    def forward(self, x, mask=None):
        """x: (B, T, width), any T. mask: None, or bool and broadcastable to (B, heads, T, T). Returns (B, T, width)."""
        ### BEGIN SOLUTION
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in (x @ self.w_in.T).chunk(3, -1))
        output, _ = attention(q, k, v, mask)
        return output.transpose(1, 2).flatten(2) @ self.w_out.T
        ### END SOLUTION


# %% tags=["check"]
@check("attention agrees with PyTorch's, with and without a mask")
def _():
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, *shape).double() for shape in ((5, 4), (7, 4), (7, 6)))
    mask = torch.rand(2, 1, 5, 7) < 0.6
    mask[..., 0] = True
    for m in (None, mask):
        output, weights = call(attention, q, k, v) if m is None else call(attention, q, k, v, m)
        agrees(
            weights.sum(-1),
            torch.ones(2, 3, 5).double(),
            "each query's weights sum to one: softmax over the keys",
        )
        assert m is None or (weights[~m.expand_as(weights)] == 0).all(), (
            "a masked place has weight: True means may look"
        )
        expected = F.scaled_dot_product_attention(q, k, v, m)
        agrees(
            output,
            expected,
            "the output is wrong: is the scale 1/sqrt(d), d = 4 here, and the mask before the softmax?",
        )
    small = [part.float() for part in (q, k, v)]
    hint = "wrong in float32"
    agrees(attention(*small)[0], attention(q, k, v)[0].float(), hint, rtol=1e-4, atol=1e-5)


@check("A masked key takes nothing from the others, however well it fits")
def _():
    torch.manual_seed(2)
    q, k, v = torch.rand(3, 4).double(), torch.randn(5, 4).double(), torch.randn(5, 6).double()
    k[2] = 2000
    there = torch.tensor([True, True, False, True, True])
    output, _ = call(attention, q, k, v, there[None])
    hint = "the mask comes before the softmax: after it, the masked key has taken all the attention already"
    agrees(output, attention(q, k[there], v[there])[0], hint)


@check("attention stays finite where a query may look nowhere")
def _():
    q, k, v = (torch.randn(3, 4).requires_grad_() for _ in range(3))
    mask = torch.tensor([[True, True, False], [False, False, False], [True, False, True]])
    output, weights = attention(q, k, v, mask)
    for result in (output, weights):
        assert torch.isfinite(result).all(), "a softmax over nothing but -inf is NaN"
    for gradient in torch.autograd.grad(output.square().sum(), (q, k, v)):
        assert torch.isfinite(gradient).all(), "the values are finite, but a gradient is NaN"


@check("causal_mask lets nothing look ahead")
def _():
    rows = [[j in range(i + 1) for j in range(4)] for i in range(4)]
    agrees(causal_mask(4), torch.tensor(rows), "row i is True up to and including column i")


@check("MultiHead agrees with PyTorch's, and mixes no positions")
def _():
    torch.manual_seed(1)
    ours, library = (
        MultiHead(12, 3).double(),
        torch.nn.MultiheadAttention(12, 3, bias=False, batch_first=True).double(),
    )
    with torch.no_grad():
        ours.w_in.copy_(library.in_proj_weight)
        ours.w_out.copy_(library.out_proj.weight)
    x = torch.randn(2, 5, 12).double()
    order = torch.randperm(5)
    agrees(
        call(ours, x[:, order]),
        ours(x)[:, order].detach(),
        "other order in, other numbers out: does the reshape mix positions?",
    )
    later = x.clone()
    later[:, 3:] += 1
    agrees(
        ours(later, causal_mask(5))[:, :3],
        ours(x, causal_mask(5))[:, :3].detach(),
        "the past sees the future",
    )
    expected, _ = library(x, x, x, need_weights=False)
    agrees(
        ours(x),
        expected.detach(),
        "differs from torch.nn.MultiheadAttention: order q, k, v? scale by the size of a *head*?",
    )


# %% [markdown]
# ### Predict, then run
#
# Why divide by $\sqrt d$? Take one query and 32 keys, all of $d = 256$ standard normal numbers, so that no key is better than another by
# anything but chance. With the scale, the largest of the 32 weights is about 0.16 on average: a soft choice. **Without** the scale, before you
# run the check: is the largest weight nearest to 0.1, 0.5 or 0.9 on average? (Each score is a sum of 256 products of variance 1. And what is
# the gradient of a softmax that has made up its mind?)

# %%
### BEGIN SOLUTION
ANSWERS = {"largest_weight_without_scale": 0.9}
### STARTER: ANSWERS = {"largest_weight_without_scale": None}  # 0.1, 0.5 or 0.9
### END SOLUTION

# %% tags=["check"]


@check("your prediction")
def _():
    prediction = ANSWERS["largest_weight_without_scale"]
    if prediction is None:
        raise NotImplementedError
    torch.manual_seed(0)
    q, k = torch.randn(500, 1, 256), torch.randn(500, 32, 256)
    largest = (q @ k.mT).softmax(-1).amax(-1).mean().item()
    print(f"   without the scale the largest weight is {largest:.2f} on average")
    assert prediction == min((0.1, 0.5, 0.9), key=lambda guess: abs(guess - largest)), (
        "not so: look at the line above"
    )


# %% [markdown]
# ## 6. Rolling the dice (10 points)
#
# A language model gives probabilities. To *write*, one has to choose. Always the most likely token: dull, and soon it turns in circles. By
# the plain probabilities: one in twenty tokens comes from the long tail of nonsense. Three knobs are in use:
#
# * **Temperature**: softmax of the logits *divided* by $t$. Below 1 it is bolder, above 1 more adventurous, and 0 means the best one always.
# * **Top-k**: only the $k$ largest logits stay.
# * **Top-p**: only the *nucleus* stays. Sort by probability and add up from the top: the fewest tokens that together have at least $p$. The
#   token with which the sum reaches $p$ is one of them.
#
# Tokens that do not stay get the logit $-\infty$, so that the softmax gives them 0.


# %%
def tempered(logits, temperature):
    """Probabilities softmax(logits / temperature) over the last dimension.

    logits: (..., V) float; temperature: float >= 0. At 0 the largest logit gets probability 1 and the others 0.
    Same shape and dtype as logits. Logits may be -inf (but not all of them), and as large as 1e4.
    """
    ### BEGIN SOLUTION
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits / temperature).softmax(-1)
    ### END SOLUTION


def keep_top_k(logits, k):
    """The logits with all but the k largest of each row set to -inf.

    logits: (..., V) float, all different; k: int >= 1; if it is V or more, all stay. Same shape and dtype.
    """
    ### BEGIN SOLUTION
    smallest = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < smallest, -math.inf)
    ### END SOLUTION


def keep_top_p(logits, p):
    """The logits with all but the nucleus of each row set to -inf.

    logits: (..., V) float, all different; 0 < p <= 1. The nucleus is the smallest set of the most probable tokens whose
    probabilities sum to p or more, so at least one token. p = 1 keeps everything, also tokens so improbable that the sum,
    which is rounded, reaches 1 without them. Same shape and dtype, and the order of the tokens is as it was.
    """
    ### BEGIN SOLUTION
    ordered, order = logits.sort(descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities  # what has been collected before this token
    gone = (before >= p) & (p < 1)
    return ordered.masked_fill(gone, -math.inf).gather(-1, order.argsort(-1))
    ### END SOLUTION


def draw(probabilities, n):
    """n independent random tokens: token i with probability probabilities[i].

    probabilities: (V,) float, sums to one; some may be 0, and those are never drawn. Returns (n,) int64.
    Random numbers may come from anywhere (torch.rand, NumPy, random.random, …), but the choice is yours to make: neither
    torch.multinomial nor torch.distributions, random.choices, np.random.choice or the like. Nothing may be seeded anew in
    each call: two calls give different tokens.
    """
    ### BEGIN SOLUTION
    waiting = -torch.rand(n, len(probabilities)).log()  # exponentially distributed
    return (probabilities / waiting).argmax(1)  # the race is won in proportion to the speed
    ### END SOLUTION


# %% tags=["check"]
LOGITS = torch.tensor([0.1, 0.4, 0.2, 0.25, 0.05], dtype=torch.float64).log()


@check("tempered divides by the temperature")
def _():
    for temperature in (0.5, 1.0, 3.0):
        hint = f"softmax(logits / temperature) is wrong for temperature {temperature}"
        agrees(call(tempered, LOGITS, temperature), (LOGITS / temperature).softmax(0), hint)
    best = torch.tensor([0.0, 1, 0, 0, 0]).double()
    agrees(call(tempered, LOGITS, 0), best, "temperature 0: all probability on the largest logit")
    agrees(tempered(LOGITS.float(), 0), best.float(), "temperature 0 is wrong in float32")
    small = LOGITS.float()
    agrees(tempered(small, 0.5), (small / 0.5).softmax(0), "tempered is wrong in float32", 1e-4, 1e-6)


@check("keep_top_k and keep_top_p keep exactly the right tokens")
def _():
    def kept(f, knob):
        result = call(f, LOGITS.repeat(2, 3, 1), knob)
        assert result.shape == (2, 3, 5), "the shape has changed"
        stays = result[1, 2] > -math.inf
        assert torch.equal(result[1, 2][stays], LOGITS[stays]), (
            "what stays must be as it was, at its old place"
        )
        return stays.nonzero()[:, 0].tolist()

    for k, expected in ((1, [1]), (3, [1, 2, 3]), (5, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])):
        assert kept(keep_top_k, k) == expected, f"top-{k} of [.1 .4 .2 .25 .05] keeps {kept(keep_top_k, k)}"
    for p, expected in (
        (0.3, [1]),
        (0.5, [1, 3]),
        (0.84, [1, 2, 3]),
        (0.9, [0, 1, 2, 3]),
        (1.0, [0, 1, 2, 3, 4]),
    ):
        assert kept(keep_top_p, p) == expected, (
            f"top-p of [.1 .4 .2 .25 .05] with p={p} keeps {kept(keep_top_p, p)}: the token that reaches p stays"
        )
    peaked = torch.tensor([-20.0, 0.0, -30.0])
    agrees(
        call(keep_top_p, peaked, 1.0),
        peaked,
        "p = 1 keeps everything, also in float32, where the best of [-20, 0, -30] alone has the probability 1",
    )
    agrees(
        call(keep_top_k, peaked, 2),
        torch.tensor([-20.0, 0.0, -math.inf]),
        "top-2 of [-20, 0, -30] in float32",
    )


@check("draw follows the probabilities")
def _():
    probabilities = torch.tensor([0.0, 0.4, 0.1, 0.0, 0.3, 0.2, 0.0], dtype=torch.float64)
    n = 20_000
    tokens = call(draw, probabilities, n)
    assert tokens.shape == (n,), f"the shape is {tuple(tokens.shape)}, not ({n},)"
    assert tokens.dtype == torch.int64, f"the dtype is {tokens.dtype}, not int64"
    counts = torch.bincount(tokens, minlength=7)
    assert (counts[probabilities == 0] == 0).all(), "a token of probability 0 was drawn"
    off = (counts - n * probabilities).abs() / (n * probabilities * (1 - probabilities)).sqrt().clamp(min=1)
    assert off.max() < 6, "the frequencies are not the probabilities"  # by chance once in 100 million
    repeats = (tokens[1:] == tokens[:-1]).double().mean()  # .3 expected, .004 its standard deviation
    assert abs(repeats - 0.3) < 0.03, "the draws are not independent of each other: are they sorted?"
    assert not torch.equal(draw(probabilities, n), tokens), (
        "two calls draw the same tokens: do not seed in draw"
    )


# %% [markdown]
# ## 7. Boss: date_whisperer (15 points)
#
# People write dates in many ways, and a database wants one. The network reads `27 September 2023`, `Sep 27 2023` or `09/27/2023` character by
# character, and writes `2023-09-27`. It knows nothing of months or numbers, and not even which number stands for which character: the ids
# are dealt out anew for every training. It has 100 steps, of 64 dates each, to find out everything.
#
# **Reading.** Two GRUs run over the source, one from the left and one from the right, both from a zero state; padding (id 0, at the right)
# leaves a state as it is. What both know at a place, side by side, is the memory of that place: $M_i = [\overrightarrow{h}_i;\ \overleftarrow{h}_i]$.
#
# **Writing.** A third GRU writes ten characters. It begins with $s_0 = \tanh(W_{start}\,[\overrightarrow{h}_{last};\ \overleftarrow{h}_{first}])$,
# which is all that was read in 48 numbers. In step $j$ it is fed the character that it wrote *before*, $s_j = \mathrm{GRU}(y_{j-1}, s_{j-1})$ (in
# the first step the id `BEGIN`). Then it looks back with your attention: the query is $W_{query}\,s_j$, the keys are $W_{key}\,M_i$, the values
# are the $M_i$ themselves, and padding is masked. With the context $c_j$ that it finds, the logits of the character are
# $W_{out}\,[s_j;\ c_j] + b$.
#
# **Learning.** In training the character before is the *true* one, whatever the network would have written: "teacher forcing". So what goes in is
# the target shifted by one place, with `BEGIN` in front. (Forget the shift, and it learns to copy: a perfect loss, and nonsense as soon as it is
# alone.) When it writes on its own, in `translate`, it is fed its own most likely character.
#
# You write the network: `date_loss` and `translate`. It rests on your `gru_cell` (section 4) and your `attention` (section 5): if their checks do
# not say `✓`, mend those first. Parameters, batches and the optimiser are ours, so there is nothing to tune. The two functions
# `read_dates` and `write_dates` are a way to share the work between both; nobody looks at them, so change them as you like. What counts, on new dates:
#
# * at least 70% of them right in all ten characters (4 points), 80% (3 more), 88% (3 more);
# * the year looks at the year, be it in front or at the end: 60% of the attention in the first four steps is on its digits (2);
# * extra padding changes nothing; an untrained network's loss is right, and depends on every parameter; the shift is there (1 each).

# %%
PAD, BEGIN, HIDDEN = 0, 11, 48


def read_dates(params, source):
    """The memory (B, L, 2 * HIDDEN) of a batch of sources (B, L), and the writer's first state (B, HIDDEN).

    The two readers are your gru_cell, with params["forward"] and params["backward"].
    """
    ### BEGIN SOLUTION
    x, real = params["source"][source].unbind(1), (source != PAD)[..., None].unbind(1)
    places = range(len(x))
    memory, last = [], []
    for reader, order in (("forward", places), ("backward", reversed(places))):
        states, h = {}, torch.zeros(len(source), HIDDEN)
        for place in order:
            h = states[place] = torch.where(real[place], gru_cell(x[place], h, *params[reader]), h)
        memory.append(torch.stack([states[place] for place in places], 1))
        last.append(h)
    return torch.cat(memory, -1), torch.tanh(torch.cat(last, 1) @ params["start"].T)
    ### END SOLUTION


def write_dates(params, memory, mask, state, before):
    """Some steps of the writer: fed with the tokens `before` (B, T), it starts in `state`.

    The writer is your gru_cell with params["writer"], and looks back with your attention.
    memory: (B, L, 2 * HIDDEN); mask: (B, L), True where the source is real; state: (B, HIDDEN).
    Returns the logits (B, T, 11), the attention weights (B, T, L) and the last state.
    """
    ### BEGIN SOLUTION
    states = []
    for x in params["target"][before].unbind(1):
        state = gru_cell(x, state, *params["writer"])
        states.append(state)
    states = torch.stack(states, 1)
    context, weights = attention(states @ params["query"].T, memory @ params["key"].T, memory, mask[:, None])
    logits = torch.cat([states, context], -1) @ params["out"].T + params["bias"]
    return logits, weights, state
    ### END SOLUTION


def date_loss(params, source, target):
    """The mean cross-entropy of all characters of all targets, with teacher forcing: a scalar that has a gradient.

    source: (B, L) int64, padded with 0 at the right; target: (B, 10) int64, ids 0 to 10, without padding.
    params: a dict of float32 tensors, all of which require a gradient (E = 24, H = HIDDEN = 48, A = number of source ids):
        "source" (A, E), "target" (12, E)      what is looked up for an id; in "target", row 11 is BEGIN
        "forward", "backward", "writer"        for each GRU a list [w_ih, w_hh, b_ih, b_hh] in the shapes of gru_cell
        "start" (H, 2H), "query" (H, H), "key" (H, 2H)
        "out" (11, 3H), "bias" (11,)           logits = [s; c] @ out.T + bias
    """
    ### BEGIN SOLUTION
    memory, state = read_dates(params, source)
    before = torch.cat([torch.full_like(target[:, :1], BEGIN), target[:, :-1]], 1)
    logits, _, _ = write_dates(params, memory, source != PAD, state, before)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())
    ### END SOLUTION


def translate(params, source):
    """What the network writes on its own, always the most likely character: (ids, weights).

    ids: (B, 10) int64, each from 0 to 10; weights: (B, 10, L), where it looked when it wrote each of them.
    """
    ### BEGIN SOLUTION
    memory, state = read_dates(params, source)
    ids, looks = [torch.full_like(source[:, :1], BEGIN)], []
    for _ in range(10):
        logits, weights, state = write_dates(params, memory, source != PAD, state, ids[-1])
        ids.append(logits.argmax(-1))
        looks.append(weights)
    return torch.cat(ids[1:], 1), torch.cat(looks, 1)
    ### END SOLUTION


# %% [markdown]
# The dates, the parameters and the training. Nothing to do in this cell, but worth reading.

# %%
MONTHS = "January February March April May June July August September October November December".split()


def spellings(date):
    """A date in the seven ways in which people write it."""
    day, month, year, name = date.day, date.month, date.year, MONTHS[date.month - 1]
    return [
        f"{day:02}.{month:02}.{year}",
        f"{month:02}/{day:02}/{year}",
        f"{day} {name} {year}",
        f"{name} {day}, {year}",
        f"{day}-{name[:3]}-{year}",
        f"{name[:3]} {day} {year}",
        f"{year}, {day} {name[:3]}",
    ]


def alphabets(dice):
    """Which id stands for which character, in sources (from 1) and in targets (from 0): dealt out anew each time."""
    characters = {
        c for month in range(1, 13) for text in spellings(datetime.date(2000, month, 1)) for c in text
    }
    source, target = sorted(characters | set("0123456789")), list("0123456789-")
    dice.shuffle(source)
    dice.shuffle(target)
    return {c: i for i, c in enumerate(source, 1)}, {c: i for i, c in enumerate(target)}


def some_dates(dice, n):
    """n random dates from 1900 to 2099, each written in one of the seven ways, and as it should be."""
    dates = [datetime.date(1900, 1, 1) + datetime.timedelta(dice.randrange(73_049)) for _ in range(n)]
    return [dice.choice(spellings(date)) for date in dates], [date.isoformat() for date in dates]


def as_ids(texts, ids):
    """Texts as a tensor of ids, padded with 0 at the right."""
    ids, longest = ids | {"\0": PAD}, max(map(len, texts))
    return torch.tensor([[ids[c] for c in text.ljust(longest, "\0")] for text in texts])


def fresh_parameters(source_ids, E=24, H=HIDDEN):
    def uniform(*shape):
        return torch.empty(*shape).uniform_(-1, 1) / math.sqrt(shape[-1])

    params = {"source": torch.randn(source_ids, E), "target": torch.randn(12, E)}
    for gru in ("forward", "backward", "writer"):
        params[gru] = [
            torch.empty(*shape).uniform_(-1, 1) / math.sqrt(H)
            for shape in ((3 * H, E), (3 * H, H), (3 * H,), (3 * H,))
        ]
    params |= {"start": uniform(H, 2 * H), "query": uniform(H, H), "key": uniform(H, 2 * H)}
    return params | {"out": uniform(11, 3 * H), "bias": torch.zeros(11)}


def leaves(params):
    """All tensors of the dict, in order."""
    return [tensor for value in params.values() for tensor in (value if isinstance(value, list) else [value])]


@cache
def trained_whisperer():
    """Parameters after 100 steps of Adam (lr 8e-3, batches of 64), and the two alphabets."""
    torch.manual_seed(0)
    dice = random.Random(0)
    source_ids, target_ids = alphabets(dice)
    params = fresh_parameters(len(source_ids) + 1)
    weights = [tensor.requires_grad_() for tensor in leaves(params)]
    optimiser = torch.optim.Adam(weights, lr=8e-3)
    for step in range(100):
        texts, targets = some_dates(dice, 64)
        loss = date_loss(params, as_ids(texts, source_ids), as_ids(targets, target_ids))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if step % 20 == 19:
            print(f"   after {step + 1} steps the loss is {loss.item():.2f}")
    return params, source_ids, target_ids


# %% tags=["check"]
@check("date_loss is right where it is known, and knows padding and the shift")
def _():
    torch.manual_seed(2)
    dice = random.Random(2)
    source_ids, target_ids = alphabets(dice)
    params = fresh_parameters(len(source_ids) + 1)
    texts, targets = some_dates(dice, 5)
    source, target = as_ids(texts, source_ids), as_ids(targets, target_ids)

    names = [name for name, value in params.items() for _ in (value if isinstance(value, list) else [value])]
    weights = [tensor.requires_grad_() for tensor in leaves(params)]
    loss = date_loss(params, source, target)
    assert isinstance(loss, torch.Tensor), "the loss is a scalar tensor"
    assert loss.shape == (), f"the loss is a scalar, not of shape {tuple(loss.shape)}"
    assert loss.requires_grad, "the loss has no gradient: detach, .item() and .data cut it off"
    gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    for name, gradient in zip(names, gradients):
        used = gradient is not None and gradient.any()
        assert used, (
            f'params["{name}"], or a part of it, has no effect on the loss: compare with the formulas'
        )
    assert gradients[names.index("target")][BEGIN].any(), "BEGIN was never fed in"
    dash = target_ids["-"]  # no date ends with it, but here it stands in the last place, and in no other
    target[:, :-1][target[:, :-1] == dash] = target_ids["0"]
    target[:, -1] = dash
    (gradient,) = torch.autograd.grad(date_loss(params, source, target), params["target"])
    assert not gradient[dash].any(), "the last character of the target was fed in: the shift is missing"

    for tensor in weights:
        tensor.requires_grad_(False)
    wider = torch.cat([source, torch.zeros(5, 3, dtype=torch.long)], 1)
    hint = "three more places of padding change it: do they change a state, or get attention?"
    agrees(date_loss(params, wider, target), date_loss(params, source, target), hint, rtol=1e-4, atol=1e-5)
    bias = torch.randn(11)
    expected = -bias.log_softmax(0)[target].mean()
    blind = params | {"out": torch.zeros_like(params["out"]), "bias": bias}
    hint = "if `out` is 0 the logits are the bias, and the loss is the mean of -log softmax(bias)[target]"
    agrees(date_loss(blind, source, target), expected, hint, rtol=1e-4, atol=1e-5)


@check("It learns to write dates")
def _():
    trained_whisperer.cache_clear()  # your code may be another one than last time
    params, source_ids, target_ids = trained_whisperer()
    texts, targets = some_dates(random.Random(3), 500)
    with torch.no_grad():
        ids, weights = translate(params, as_ids(texts, source_ids))
    assert ids.shape == (500, 10), f"ids have the shape {tuple(ids.shape)}, not (500, 10)"
    characters = {i: c for c, i in target_ids.items()}
    for text, target, row in list(zip(texts, targets, ids.tolist()))[:4]:
        written = "".join(characters[i] for i in row)
        print(f"   {text:>18} → {written} {'' if written == target else '✗'}")
    right = (ids == as_ids(targets, target_ids)).all(1).float().mean()
    print(f"   {right:.1%} of 500 new dates are right")
    for share in (0.70, 0.80, 0.88):
        assert right >= share, f"less than {share:.0%}"
    years = torch.tensor(
        [[text.index(target[:4]) + i for i in range(4)] for text, target in zip(texts, targets)]
    )
    on_year = weights[:, :4].gather(2, years[:, None].expand(-1, 4, -1)).sum(-1)
    for place, those in (("in front", years[:, 0] == 0), ("at the end", years[:, 0] > 0)):
        share = on_year[those].mean()
        assert share >= 0.6, f"only {share:.0%} of the attention of the year's digits is on the year {place}"


# %% [markdown]
# ### What it looks at
#
# On the left, what counting alone can do: with every character more of context, the n-gram model knows its own text better, until it knows it by
# heart; on a new text it gets worse again. On the right, where the network looks while it writes. Nobody has told it where in
# "27 September 2023" the year is.


# %% tags=["demo"]
def figure():
    import matplotlib.pyplot as plt

    train, test = documentation()
    orders = range(1, 8)
    models = [ngram_lm(train, n, 0.01) for n in orders]
    params, source_ids, target_ids = trained_whisperer()
    text = "27 September 2023"
    with torch.no_grad():
        ids, weights = translate(params, as_ids([text], source_ids))
    characters = {i: c for c, i in target_ids.items()}

    # Okabe and Ito's colours, which the colour-blind can tell apart, and a line style and a mark of its own for each.
    _, (left, right) = plt.subplots(1, 2, figsize=(12, 4.4), layout="constrained")
    for name, seen, colour, style in (
        ("new text", test, "#D55E00", "o-"),
        ("the text it has counted", train, "#0072B2", "s--"),
    ):
        bits = [bits_per_char(lm, seen, n) for lm, n in zip(models, orders)]
        left.plot(orders, bits, style, color=colour, label=name, linewidth=2)
    left.set(
        title="What a counting model knows (k = 0.01)",
        xlabel="n (the predicted character and the n − 1 before it)",
        ylabel="bits per character",
        ylim=(0, 5),
    )
    left.legend()
    image = right.imshow(weights[0], cmap="cividis", vmin=0, vmax=1, aspect="auto")
    right.set_xticks(range(len(text)), text.replace(" ", "␣"))
    right.set_yticks(range(10), [characters[i] for i in ids[0].tolist()])
    right.set(
        title="Where the date whisperer looks",
        xlabel="what it reads, character by character",
        ylabel="what it writes, from top to bottom",
    )
    plt.colorbar(image, label="attention weight")
    plt.show()


try:
    figure()
except NotImplementedError:
    print("The figure appears when sections 2, 4, 5 and 7 are there.")
except Exception as error:
    print(f"No figure yet: {type(error).__name__}: {error}. It needs sections 2, 4, 5 and 7 to be right.")

# %% [markdown]
# **Done?** *Restart the kernel and run all cells*: the grader does the same. Then commit and push.
#
# To take home: tokens, a prediction of the next one, and a look back at all that was read. Take away the recurrence, stack the attention a few
# dozen times, and give it the whole internet instead of the help texts of Python: that is the rest of the story.
