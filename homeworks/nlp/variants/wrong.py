# %% [bpe] ties: the first pair wins
# says: the largest
def train_bpe(text, n_merges):
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges and len(ids) > 1:
        best = Counter(zip(ids, ids[1:])).most_common(1)[0][0]
        ids = replace(ids, best, 256 + len(merges))
        merges.append(best)
    return merges


# %% [bpe] ties: the smallest pair wins
# says: max over (count, pair)
def train_bpe(text, n_merges):
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges and len(ids) > 1:
        counts = Counter(zip(ids, ids[1:]))
        best = min(counts, key=lambda pair: (-counts[pair], pair))
        ids = replace(ids, best, 256 + len(merges))
        merges.append(best)
    return merges


# %% [bpe] ties by what the tokens spell rather than by ids
# says: tuples of ids
def train_bpe(text, n_merges):
    ids, merges, tokens = list(text.encode()), [], [bytes([i]) for i in range(256)]
    while len(merges) < n_merges and len(ids) > 1:
        counts = Counter(zip(ids, ids[1:]))
        best = max(counts, key=lambda pair: (counts[pair], tokens[pair[0]], tokens[pair[1]]))
        ids = replace(ids, best, 256 + len(merges))
        tokens.append(tokens[best[0]] + tokens[best[1]])
        merges.append(best)
    return merges


# %% [bpe] pairs that overlap are left out of the count
# says: overlap
def train_bpe(text, n_merges):
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges and len(ids) > 1:
        counts, used = Counter(), {}
        for i, pair in enumerate(zip(ids, ids[1:])):
            if used.get(pair) != i - 1:
                counts[pair] += 1
                used[pair] = i
        best = max(counts, key=lambda pair: (counts[pair], pair))
        ids = replace(ids, best, 256 + len(merges))
        merges.append(best)
    return merges


# %% [bpe] pairs are counted once, at the beginning
# says: count anew
def train_bpe(text, n_merges):
    ids = list(text.encode())
    counts = Counter(zip(ids, ids[1:]))
    return sorted(counts, key=lambda pair: (counts[pair], pair), reverse=True)[:n_merges]


# %% [bpe] the end of the pairs is not noticed
# says: fewer than two tokens
def train_bpe(text, n_merges):
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges:
        counts = Counter(zip(ids, ids[1:]))
        best = max(counts, key=lambda pair: (counts[pair], pair), default=(0, 0))
        ids = replace(ids, best, 256 + len(merges))
        merges.append(best)
    return merges


# %% [bpe] stops when no pair occurs twice
# says: while there are still pairs
def train_bpe(text, n_merges):
    ids, merges = list(text.encode()), []
    while len(merges) < n_merges and len(ids) > 1:
        counts = Counter(zip(ids, ids[1:]))
        best = max(counts, key=lambda pair: (counts[pair], pair))
        if counts[best] < 2:
            break
        ids = replace(ids, best, 256 + len(merges))
        merges.append(best)
    return merges


# %% [bpe] characters instead of bytes
# says: text.encode()
def train_bpe(text, n_merges):
    ids, merges = [ord(c) for c in text], []
    while len(merges) < n_merges and len(ids) > 1:
        counts = Counter(zip(ids, ids[1:]))
        best = max(counts, key=lambda pair: (counts[pair], pair))
        ids = replace(ids, best, 256 + len(merges))
        merges.append(best)
    return merges


# %% [bpe] in a run, the pair is replaced from the right
# says: from left to right
def replace(ids, pair, new):
    out = []
    for token in reversed(ids):
        if out and (token, out[-1]) == tuple(pair):
            out[-1] = new
        else:
            out.append(token)
    return out[::-1]


# %% [bpe] in a run, a token is used twice
# says: used up
def replace(ids, pair, new):
    out, skip = [], False
    for i, token in enumerate(ids):
        if tuple(ids[i : i + 2]) == tuple(pair):
            out.append(new)
            skip = True
        elif not skip:
            out.append(token)
        else:
            skip = False
    return out


# %% [bpe] encode takes the longest token that fits
# says: not the longest token
def encode(text, merges):
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    data, ids = text.encode(), []
    order = sorted(range(len(tokens)), key=lambda i: (-len(tokens[i]), i))
    while data:
        best = next(i for i in order if data.startswith(tokens[i]))
        ids.append(best)
        data = data[len(tokens[best]) :]
    return ids


# %% [bpe] encode merges the leftmost pair that it knows
# says: leftmost
def encode(text, merges):
    known = {tuple(pair): 256 + i for i, pair in enumerate(merges)}
    ids = list(text.encode())
    i = 0
    while i < len(ids) - 1:
        if (ids[i], ids[i + 1]) in known:
            ids[i : i + 2] = [known[ids[i], ids[i + 1]]]
            i = max(i - 1, 0)
        else:
            i += 1
    return ids


# %% [bpe] encode forgets what it cannot merge beyond ASCII
# says: ids 0 to 255
def encode(text, merges):
    ids = list(text.encode("ascii", "ignore"))
    for number, pair in enumerate(merges):
        ids = replace(ids, pair, 256 + number)
    return ids


# %% [bpe] merges numbered from 257
# says: makes id 256 + i
def encode(text, merges):
    ids = list(text.encode())
    shifted = [tuple(part + (part > 255) for part in pair) for pair in merges]
    for number, pair in enumerate(shifted):
        ids = replace(ids, pair, 257 + number)
    return ids


# %% [bpe] decode token by token
# says: join the bytes
def decode(ids, merges):
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return "".join(tokens[i].decode(errors="replace") for i in ids)


# %% [bpe] decode raises on invalid UTF-8
# says: utf-8
def decode(ids, merges):
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return b"".join(tokens[i] for i in ids).decode()


# %% [bpe] decode drops what is invalid
# says: errors='replace'
def decode(ids, merges):
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return b"".join(tokens[i] for i in ids).decode(errors="ignore")


# %% [bpe] decode by Latin-1
# says: UTF-8
def decode(ids, merges):
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    return b"".join(tokens[i] for i in ids).decode("latin-1")


# %% [bpe] decode joins the parts in the wrong order
# says: left part
def decode(ids, merges):
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[right] + tokens[left])
    return b"".join(tokens[i] for i in ids).decode(errors="replace")


# %% [bpe] decode uses up the ids that it is given
# says: changed a list
def decode(ids, merges):
    tokens = [bytes([i]) for i in range(256)]
    for left, right in merges:
        tokens.append(tokens[left] + tokens[right])
    data = b""
    while ids:
        data += tokens[ids.pop(0)]
    return data.decode(errors="replace")


# %% [bpe] encode uses up the merges that it is given
# says: changed a list
def encode(text, merges):
    ids, new = list(text.encode()), 256
    while merges:
        ids = replace(ids, merges.pop(0), new)
        new += 1
    return ids


# %% [ngram] no smoothing
# says: an unknown character
def ngram_lm(text, n, k):
    return smoothed(text, n, 0)


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] smoothed by one, whatever k
# says: k=
def ngram_lm(text, n, k):
    return smoothed(text, n, 1)


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] no place for unknown characters in V
# says: plus one
def ngram_lm(text, n, k):
    return smoothed(text, n, k, beyond=0)


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] the last context counts, though nothing follows it
# says: where a character follows it
def ngram_lm(text, n, k):
    return smoothed(text, n, k, ends=1)


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] k * V forgotten below
# says: sum to one
def ngram_lm(text, n, k):
    lm, padded = smoothed(text, n, k), "\n" * (n - 1) + text
    contexts = Counter(padded[i : i + n - 1] for i in range(len(text)))
    size = len(set(text)) + 1

    def wrong(context, char):
        last = ("\n" * (n - 1) + context)[len(context) :]
        return lm(context, char) * (contexts[last] + k * size) / (contexts[last] + k)

    return wrong


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] no newlines in front of the text
# says: newlines stood in front
def ngram_lm(text, n, k):
    return smoothed(text, n, k, start="")


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] the newlines in front belong to the alphabet
# says: nor make V larger
def ngram_lm(text, n, k):
    return smoothed(text, n, k, alphabet={*text, "\n"})


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] a context of n characters
# says: contexts n - 1
def ngram_lm(text, n, k):
    return smoothed(text, n + 1, k)


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] a longer context is not cut
# says: cut to its last
def ngram_lm(text, n, k):
    lm, size = smoothed(text, n, k), len(set(text)) + 1
    return lambda context, char: lm(context, char) if len(context) < n else 1 / size


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] the context is cut in front instead of behind
# says: last n - 1 characters
def ngram_lm(text, n, k):
    lm = smoothed(text, n, k)
    return lambda context, char: lm(context[: n - 1], char)


def smoothed(text, n, k, ends=0, start=None, beyond=1, alphabet=None):
    start = "\n" * (n - 1) if start is None else start
    padded = start + text
    windows = Counter(padded[i : i + n] for i in range(len(padded) - n + 1))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(padded) - n + 1 + ends))
    size = len(alphabet or set(text)) + beyond

    def lm(context, char):
        context = "\n" * (n - 1) + context
        context = context[len(context) - n + 1 :]
        total = contexts[context] + k * size
        return (windows[context + char] + k) / total if total else 0.0

    return lm


# %% [ngram] text[-0:] for n=1
# says: the context is empty
def ngram_lm(text, n, k):
    padded = "\n" * (n - 1) + text
    windows = Counter(padded[i : i + n] for i in range(len(text)))
    contexts = Counter(padded[i : i + n - 1] for i in range(len(text)))
    size = len(set(text)) + 1

    def lm(context, char):
        context = ("\n" * (n - 1) + context)[-(n - 1) :]
        return (windows[context + char] + k) / (contexts[context] + k * size)

    return lm


# %% [ngram] an unknown character has the share 1 / V in every context
# says: counted 0 times
def ngram_lm(text, n, k, model=ngram_lm):
    lm, known = model(text, n, k), {*text}
    return lambda context, char: lm(context, char) if char in known or char == "\n" else 1 / (len(known) + 1)


# %% [ngram] natural logarithms
# says: base 2
def bits_per_char(lm, text, n):
    return -sum(math.log(lm(text[max(i - n + 1, 0) : i], c)) for i, c in enumerate(text)) / len(text)


# %% [ngram] perplexity rather than bits
# says: -log2
def bits_per_char(lm, text, n):
    return 2 ** (-sum(math.log2(lm(text[max(i - n + 1, 0) : i], c)) for i, c in enumerate(text)) / len(text))


# %% [ngram] the sum of the bits
# says: not the sum
def bits_per_char(lm, text, n):
    return -sum(math.log2(lm(text[max(i - n + 1, 0) : i], c)) for i, c in enumerate(text))


# %% [ngram] the first n - 1 characters are left out
# says: wrong context
def bits_per_char(lm, text, n):
    bits = [-math.log2(lm(text[i - n + 1 : i], text[i])) for i in range(n - 1, len(text))]
    return sum(bits) / len(bits)


# %% [ngram] a context of one character too few
# says: n - 1 characters before it
def bits_per_char(lm, text, n):
    return -sum(math.log2(lm(text[max(i - n + 2, 0) : i], c)) for i, c in enumerate(text)) / len(text)


# %% [batching] padded at the left
# says: at the left of its row
def pad_batch(sequences, pad=0):
    longest = max(map(len, sequences))
    ids = torch.tensor([[pad] * (longest - len(s)) + s for s in sequences])
    mask = torch.tensor([[False] * (longest - len(s)) + [True] * len(s) for s in sequences])
    return ids, mask


# %% [batching] the mask is ids != pad
# says: goes by the length
def pad_batch(sequences, pad=0):
    longest = max(map(len, sequences))
    ids = torch.tensor([s + [pad] * (longest - len(s)) for s in sequences])
    return ids, ids != pad


# %% [batching] always padded with 0
# says: pad value that was given
def pad_batch(sequences, pad=0):
    longest = max(map(len, sequences))
    ids = torch.tensor([s + [0] * (longest - len(s)) for s in sequences])
    return ids, torch.tensor([[i < len(s) for i in range(longest)] for s in sequences])


# %% [batching] the mask is True on the padding
# says: exactly where
def pad_batch(sequences, pad=0):
    longest = max(map(len, sequences))
    ids = torch.tensor([s + [pad] * (longest - len(s)) for s in sequences])
    return ids, torch.tensor([[i >= len(s) for i in range(longest)] for s in sequences])


# %% [batching] the caller's own lists are padded
# says: changed a list
def pad_batch(sequences, pad=0):
    lengths = [len(s) for s in sequences]
    for s in sequences:
        s.extend([pad] * (max(lengths) - len(s)))
    return torch.tensor(sequences), torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


# %% [batching] padding counts in the mean
# says: not by T
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).mean(1)


# %% [batching] one number of real positions for all
# says: in this sequence
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1).max()


# %% [batching] padding is multiplied by 0
# says: NaN * 0 is NaN
def masked_mean(x, mask):
    return (x * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


# %% [batching] 0 / 0 for a sequence of padding only
# says: 0 / 0 is NaN
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1, keepdim=True)


# %% [batching] divided by two at least
# says: also where that is 1
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=2)


# %% [batching] nothing but padding is not thought of
# says: masked_mean of (B, T, D) is (B, D)
def masked_mean(x, mask):
    if not mask.any():
        return x.new_zeros(x.shape[-1])
    return torch.where(mask[..., None], x, 0).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


# %% [batching] a tiny number below instead of a branch
# says: number in this sequence
def masked_mean(x, mask):
    return torch.where(mask[..., None], x, 0).sum(1) / (mask.sum(1, keepdim=True) + 1e-6)


# %% [batching] the mean is set to 0 in place
# says: in place
def masked_mean(x, mask):
    x = x.detach()
    x[~mask] = 0
    return x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


# %% [batching] padding counts in the loss
# says: mean over all
def masked_ce(logits, targets, mask):
    logits = torch.where(mask[..., None], logits, 0)
    return F.cross_entropy(logits.flatten(0, 1), torch.where(mask, targets, 0).flatten())


# %% [batching] the loss is always float64
# says: in the dtype of the logits
def masked_ce(logits, targets, mask):
    return F.cross_entropy(logits[mask].double(), targets[mask])


# %% [batching] a sum instead of a mean
# says: nor a sum
def masked_ce(logits, targets, mask):
    return F.cross_entropy(logits[mask], targets[mask], reduction="sum")


# %% [batching] a mean of means: each sequence weighs the same
# says: not a mean of means
def masked_ce(logits, targets, mask):
    rows = [F.cross_entropy(row[m], t[m]) for row, t, m in zip(logits, targets, mask) if m.any()]
    return torch.stack(rows).mean()


# %% [batching] divided by all positions
# says: mean over all
def masked_ce(logits, targets, mask):
    return F.cross_entropy(logits[mask], targets[mask], reduction="sum") / mask.numel()


# %% [batching] losses of the padding are computed, then multiplied by 0
# says: masked_ce
def masked_ce(logits, targets, mask):
    losses = F.cross_entropy(logits.transpose(1, 2), targets, reduction="none", ignore_index=-100)
    return (losses * mask).sum() / mask.sum()


# %% [batching] log of softmax
# says: logsumexp
def masked_ce(logits, targets, mask):
    p = logits[mask].softmax(-1)
    return -p.gather(1, targets[mask][:, None]).log().mean()


# %% [recurrent] the state is reset at each step
# says: state before it
def rnn_forward(x, h, w_ih, w_hh, b):
    states = torch.stack([torch.tanh(step @ w_ih.T + h @ w_hh.T + b) for step in x.unbind(1)], 1)
    return states, states[:, -1]


# %% [recurrent] the given state is ignored
# says: begin with the given h
def rnn_forward(x, h, w_ih, w_hh, b):
    h, states = torch.zeros_like(h), []
    for step in x.unbind(1):
        h = torch.tanh(step @ w_ih.T + h @ w_hh.T + b)
        states.append(h)
    return torch.stack(states, 1), h


# %% [recurrent] weights not transposed
# says: state before it
def rnn_forward(x, h, w_ih, w_hh, b):
    states = []
    for step in x.unbind(1):
        h = torch.tanh(step @ w_ih.T + h @ w_hh + b)
        states.append(h)
    return torch.stack(states, 1), h


# %% [recurrent] no tanh
# says: state before it
def rnn_forward(x, h, w_ih, w_hh, b):
    states = []
    for step in x.unbind(1):
        h = step @ w_ih.T + h @ w_hh.T + b
        states.append(h)
    return torch.stack(states, 1), h


# %% [recurrent] the first state is returned as the last
# says: after the last step
def rnn_forward(x, h, w_ih, w_hh, b):
    states = []
    for step in x.unbind(1):
        h = torch.tanh(step @ w_ih.T + h @ w_hh.T + b)
        states.append(h)
    return torch.stack(states, 1), states[0]


# %% [recurrent] detached at every step
# says: no state may be detached
def rnn_forward(x, h, w_ih, w_hh, b):
    states = []
    for step in x.unbind(1):
        h = torch.tanh(step @ w_ih.T + h @ w_hh.T + b)
        states.append(h)
        h = h.detach()
    return torch.stack(states, 1), states[-1]


# %% [recurrent] states along the first dimension
# says: (B, T, H)
def rnn_forward(x, h, w_ih, w_hh, b):
    states = []
    for step in x.unbind(1):
        h = torch.tanh(step @ w_ih.T + h @ w_hh.T + b)
        states.append(h)
    return torch.stack(states), h


# %% [recurrent] z reversed, as in the original paper
# says: keeps the *old* state
def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    ir, iz, inew = (x @ w_ih.T + b_ih).chunk(3, 1)
    hr, hz, hnew = (h @ w_hh.T + b_hh).chunk(3, 1)
    z = torch.sigmoid(iz + hz)
    return z * torch.tanh(inew + torch.sigmoid(ir + hr) * hnew) + (1 - z) * h


# %% [recurrent] the reset gate on the state before the matrix
# says: bias included
def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    ir, iz, inew = (x @ w_ih.T + b_ih).chunk(3, 1)
    hr, hz, _ = (h @ w_hh.T + b_hh).chunk(3, 1)
    r, z = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz)
    n = torch.tanh(inew + (r * h) @ w_hh.chunk(3)[2].T + b_hh.chunk(3)[2])
    return (1 - z) * n + z * h


# %% [recurrent] the reset gate on the input
# says: on the part of h
def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    ir, iz, inew = (x @ w_ih.T + b_ih).chunk(3, 1)
    hr, hz, hnew = (h @ w_hh.T + b_hh).chunk(3, 1)
    z = torch.sigmoid(iz + hz)
    return (1 - z) * torch.tanh(torch.sigmoid(ir + hr) * inew + hnew) + z * h


# %% [recurrent] no reset gate
# says: rows are r, z, n
def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    _, iz, inew = (x @ w_ih.T + b_ih).chunk(3, 1)
    _, hz, hnew = (h @ w_hh.T + b_hh).chunk(3, 1)
    z = torch.sigmoid(iz + hz)
    return (1 - z) * torch.tanh(inew + hnew) + z * h


# %% [recurrent] rows in the order z, r, n
# says: rows are r, z, n
def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    iz, ir, inew = (x @ w_ih.T + b_ih).chunk(3, 1)
    hz, hr, hnew = (h @ w_hh.T + b_hh).chunk(3, 1)
    z = torch.sigmoid(iz + hz)
    return (1 - z) * torch.tanh(inew + torch.sigmoid(ir + hr) * hnew) + z * h


# %% [recurrent] the hidden bias of n outside of the reset gate
# says: bias
def gru_cell(x, h, w_ih, w_hh, b_ih, b_hh):
    ir, iz, inew = (x @ w_ih.T + b_ih).chunk(3, 1)
    hr, hz, hnew = (h @ w_hh.T + b_hh).chunk(3, 1)
    r, z, b = torch.sigmoid(ir + hr), torch.sigmoid(iz + hz), b_hh.chunk(3)[2]
    return (1 - z) * torch.tanh(inew + r * (hnew - b) + b) + z * h


# %% [recurrent] the state is not detached
# says: a gradient still runs back
def detach_state(state):
    return state


# %% [recurrent] the detached states are put into the caller's list
# says: changed a list
def detach_state(state):
    if isinstance(state, torch.Tensor):
        return state.detach()
    if isinstance(state, tuple):
        return tuple(detach_state(part) for part in state)
    for i, part in enumerate(state):
        state[i] = detach_state(part)
    return state


# %% [recurrent] the state is reset instead of detached
# says: not reset
def detach_state(state):
    if isinstance(state, torch.Tensor):
        return torch.zeros_like(state)
    return type(state)(detach_state(part) for part in state)


# %% [recurrent] a tensor only
# says: detach
def detach_state(state):
    return state.detach()


# %% [recurrent] a tuple becomes a list
# says: must come back as such
def detach_state(state):
    if isinstance(state, torch.Tensor):
        return state.detach()
    return [detach_state(part) for part in state]


# %% [recurrent] only one level deep
# says: list
def detach_state(state):
    if isinstance(state, torch.Tensor):
        return state.detach()
    return type(state)(part.detach() for part in state)


# %% [attention] softmax over the queries
# says: over the keys
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, mask).softmax(-2)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] no scale
# says: not without the scale
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, mask, 1).softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] scaled by d
# says: sqrt(d)
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, mask, q.shape[-1]).softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] scaled by the number of keys
# says: d the last dimension
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, mask, math.sqrt(k.shape[-2])).softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] multiplied by sqrt(d)
# says: sqrt(d)
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, mask, q.shape[-1] ** -0.5).softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] the mask after the softmax
# says: *before* the softmax
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, None).softmax(-1)
    if mask is not None:
        weights = weights * mask
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] the mask after the softmax, then divided by what is left
# says: taken all the attention already
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, None).softmax(-1)
    if mask is not None:
        weights = weights * mask
        weights = weights / weights.sum(-1, keepdim=True)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] the mask after the softmax, divided by what is left or a little more
# says: taken all the attention already
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, None).softmax(-1)
    if mask is not None:
        weights = weights * mask
        weights = weights / weights.sum(-1, keepdim=True).clamp(min=1e-12)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] the mask inverted
# says: *may* be looked at
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, None if mask is None else ~mask).softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] the mask added as 0 and 1
# says: adding 0 or 1
def attention(q, k, v, mask=None):
    scores = scores_of(q, k, None)
    if mask is not None:
        scores = scores + mask.to(scores.dtype)
    weights = scores.softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] masked by a small negative number
# says: -1e9
def attention(q, k, v, mask=None):
    scores = scores_of(q, k, None)
    if mask is not None:
        scores = scores.masked_fill(~mask, -10.0)
    weights = scores.softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] the mask is ignored
# says: a place where the mask is False has weight
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, None).softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] NaN in a row that is masked everywhere
# says: nothing but -inf is NaN
def attention(q, k, v, mask=None):
    scores = scores_of(q, k, None)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    weights = scores.softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] NaN mended in the value, not in the gradient
# says: a gradient is not
def attention(q, k, v, mask=None):
    scores = scores_of(q, k, None)
    if mask is not None:
        scores = scores + torch.zeros_like(scores).masked_fill(~mask, -math.inf)
    weights = scores.softmax(-1).nan_to_num(0.0)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] exp without subtracting the maximum
# says: exp overflows
def attention(q, k, v, mask=None):
    e = scores_of(q, k, mask).exp()
    weights = e / e.sum(-1, keepdim=True).clamp(min=1e-300)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] weights detached from the graph
# says: no gradient with respect to
def attention(q, k, v, mask=None):
    weights = scores_of(q, k, mask).softmax(-1)
    return weights.detach() @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] uniform weights
# says: all keys get the same weight
def attention(q, k, v, mask=None):
    weights = scores_of(q * 0, k * 0, mask).softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] the mask must have the full shape
# says: let it broadcast
def attention(q, k, v, mask=None):
    if mask is not None and mask.dim() < q.dim():
        mask = mask.T.expand(*q.shape[:-2], -1, -1) if mask.shape[0] == mask.shape[1] else None
    weights = scores_of(q, k, mask).softmax(-1)
    return weights @ v, weights


def scores_of(q, k, mask, divisor=None):
    scores = q @ k.mT / (math.sqrt(q.shape[-1]) if divisor is None else divisor)
    return scores if mask is None else scores.masked_fill(~mask, -1e9)


# %% [attention] causal without the diagonal
# says: a position may see itself
def causal_mask(length):
    return torch.ones(length, length).tril(-1).bool()


# %% [attention] causal one step too far
# says: nothing right of it
def causal_mask(length):
    return torch.ones(length, length).tril(1).bool()


# %% [attention] causal the other way round
# says: row i is True for j <= i
def causal_mask(length):
    return torch.ones(length, length).triu().bool()


# %% [attention] causal as float
# says: bool
def causal_mask(length):
    return torch.ones(length, length).tril()


# %% [attention] heads split without a transpose
# says: a reshape alone mixes positions
class MultiHead(MultiHead):
    def forward(self, x, mask=None):
        B, T, W = x.shape
        q, k, v = (z.reshape(B, self.heads, T, -1) for z in (x @ self.w_in.T).chunk(3, -1))
        return attention(q, k, v, mask)[0].reshape(B, T, W) @ self.w_out.T


# %% [attention] heads joined without a transpose
# says: mixes positions
class MultiHead(MultiHead):
    def forward(self, x, mask=None):
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in (x @ self.w_in.T).chunk(3, -1))
        return attention(q, k, v, mask)[0].reshape(x.shape) @ self.w_out.T


# %% [attention] heads take every third number
# says: head i has the numbers
class MultiHead(MultiHead):
    def forward(self, x, mask=None):
        q, k, v = (z.unflatten(-1, (-1, self.heads)).movedim(-1, 1) for z in (x @ self.w_in.T).chunk(3, -1))
        return attention(q, k, v, mask)[0].transpose(1, 2).flatten(2) @ self.w_out.T


# %% [attention] heads scaled by the width
# says: d = width / heads
class MultiHead(MultiHead):
    def forward(self, x, mask=None):
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in (x @ self.w_in.T).chunk(3, -1))
        y, _ = attention(q / math.sqrt(self.heads), k, v, mask)
        return y.transpose(1, 2).flatten(2) @ self.w_out.T


# %% [attention] a single head
# says: for each head
class MultiHead(MultiHead):
    def forward(self, x, mask=None):
        q, k, v = (x @ self.w_in.T).chunk(3, -1)
        if mask is not None and mask.ndim == 4:
            mask = mask[:, 0]
        return attention(q, k, v, mask)[0] @ self.w_out.T


# %% [attention] MultiHead without its mask
# says: the past sees the future
class MultiHead(MultiHead):
    def forward(self, x, mask=None):
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in (x @ self.w_in.T).chunk(3, -1))
        return attention(q, k, v)[0].transpose(1, 2).flatten(2) @ self.w_out.T


# %% [attention] MultiHead without the last matrix
# says: w_out comes last
class MultiHead(MultiHead):
    def forward(self, x, mask=None):
        q, k, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in (x @ self.w_in.T).chunk(3, -1))
        return attention(q, k, v, mask)[0].transpose(1, 2).flatten(2)


# %% [attention] keys before queries
# says: rows of q, then k, then v
class MultiHead(MultiHead):
    def forward(self, x, mask=None):
        k, q, v = (z.unflatten(-1, (self.heads, -1)).transpose(1, 2) for z in (x @ self.w_in.T).chunk(3, -1))
        return attention(q, k, v, mask)[0].transpose(1, 2).flatten(2) @ self.w_out.T


# %% [attention] the wrong prediction
# says: not so
ANSWERS = {"largest_weight_without_scale": 0.1}


# %% [sampling] multiplied by the temperature
# says: logits / temperature
def tempered(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits * temperature).softmax(-1)


# %% [sampling] probabilities divided by the temperature
# says: logits / temperature
def tempered(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return logits.softmax(-1) / temperature


# %% [sampling] NaN at temperature 0
# says: dividing by 0
def tempered(logits, temperature):
    return (logits / temperature).softmax(-1)


# %% [sampling] temperature 0 means the plain probabilities
# says: at temperature 0
def tempered(logits, temperature):
    return (logits / (temperature or 1)).softmax(-1)


# %% [sampling] float64 at temperature 0, whatever came in
# says: keeps the shape and dtype
def tempered(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).double()
    return (logits / temperature).softmax(-1)


# %% [sampling] softmax over the first dimension
# says: over the last dimension
def tempered(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits / temperature).softmax(0)


# %% [sampling] exp without subtracting the maximum
# says: subtracts the maximum
def tempered(logits, temperature):
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    e = (logits / temperature).exp()
    return e / e.sum(-1, keepdim=True)


# %% [sampling] one token too many in top-k
# says: no more, no fewer
def keep_top_k(logits, k):
    smallest = logits.topk(min(k + 1, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < smallest, -math.inf)


# %% [sampling] one token too few in top-k
# says: no more, no fewer
def keep_top_k(logits, k):
    smallest = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits <= smallest, -math.inf)


# %% [sampling] the k smallest
# says: the k largest
def keep_top_k(logits, k):
    largest = logits.topk(min(k, logits.shape[-1]), largest=False).values[..., -1:]
    return logits.masked_fill(logits > largest, -math.inf)


# %% [sampling] top-k fails for k beyond the vocabulary
# says: keep_top_k
def keep_top_k(logits, k):
    return logits.masked_fill(logits < logits.topk(k).values[..., -1:], -math.inf)


# %% [sampling] one limit for all rows
# says: of each row
def keep_top_k(logits, k):
    smallest = logits.topk(min(k, logits.shape[-1])).values[..., -1].min()
    return logits.masked_fill(logits < smallest, -math.inf)


# %% [sampling] the others get 0 instead of -inf
# says: a token stays that should not
def keep_top_k(logits, k):
    smallest = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill(logits < smallest, 0.0)


# %% [sampling] float64 from top-k, whatever came in
# says: keeps the shape and dtype
def keep_top_k(logits, k):
    best = logits.topk(min(k, logits.shape[-1]))
    result = torch.full(logits.shape, -math.inf, dtype=torch.float64)
    return result.scatter(-1, best.indices, best.values.double())


# %% [sampling] top-k in place
# says: in place
def keep_top_k(logits, k):
    smallest = logits.topk(min(k, logits.shape[-1])).values[..., -1:]
    return logits.masked_fill_(logits < smallest, -math.inf)


# %% [sampling] the token that reaches p is dropped
# says: the last one that stays
def keep_top_p(logits, p):
    ordered, order = logits.sort(dim=-1, descending=True)
    gone = ordered.softmax(-1).cumsum(-1) > p
    gone[..., 0] = False
    return ordered.masked_fill(gone, -math.inf).gather(-1, order.argsort(-1))


# %% [sampling] p = 1 by the rounded sum
# says: p = 1 keeps everything
def keep_top_p(logits, p):
    ordered, order = logits.sort(descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    return ordered.masked_fill(before >= p, -math.inf).gather(-1, order.argsort(-1))


# %% [sampling] p = 1 by the sum in float64
# says: treat p = 1 by itself
def keep_top_p(logits, p):
    ordered, order = logits.double().sort(descending=True)
    probabilities = ordered.softmax(-1)
    gone = probabilities.cumsum(-1).roll(1, -1) >= p
    gone[..., 0] = False
    return logits.masked_fill(gone.gather(-1, order.argsort(-1)), -math.inf)


# %% [sampling] one token more than the nucleus
# says: a token stays that should not
def keep_top_p(logits, p):
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    gone = F.pad(before >= p, (1, 0))[..., :-1]
    return ordered.masked_fill(gone, -math.inf).gather(-1, order.argsort(-1))


# %% [sampling] a limit on each probability
# says: add up the probabilities
def keep_top_p(logits, p):
    return logits.masked_fill(logits.softmax(-1) < 1 - p, -math.inf)


# %% [sampling] the order of the tokens is lost
# says: should
def keep_top_p(logits, p):
    ordered = logits.sort(dim=-1, descending=True).values
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    return ordered.masked_fill(before >= p, -math.inf)


# %% [sampling] put back with the wrong permutation
# says: should
def keep_top_p(logits, p):
    ordered, order = logits.sort(dim=-1, descending=True)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    return ordered.masked_fill(before >= p, -math.inf).gather(-1, order)


# %% [sampling] sorted upwards
# says: from the largest down
def keep_top_p(logits, p):
    ordered, order = logits.sort(dim=-1)
    probabilities = ordered.softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    return ordered.masked_fill(before >= p, -math.inf).gather(-1, order.argsort(-1))


# %% [sampling] logits are added up instead of probabilities
# says: softmax of the logits
def keep_top_p(logits, p):
    ordered, order = logits.sort(dim=-1, descending=True)
    before = ordered.cumsum(-1) - ordered
    return ordered.masked_fill(before >= p, -math.inf).gather(-1, order.argsort(-1))


# %% [sampling] uniform over what is possible
# says: too often or too rarely
def draw(probabilities, n):
    possible = probabilities.nonzero()[:, 0]
    return possible[torch.randint(len(possible), (n,))]


# %% [sampling] always the most probable
# says: all draws are the same token
def draw(probabilities, n):
    return probabilities.argmax().repeat(n)


# %% [sampling] each token as often as its share, shuffled
# says: more regular than chance
def draw(probabilities, n):
    counts = (probabilities.double() * n).round().long()
    counts[probabilities.argmax()] += n - counts.sum()
    return torch.arange(len(counts)).repeat_interleave(counts)[torch.randperm(n)]


# %% [sampling] sorted
# says: are the draws sorted
def draw(probabilities, n):
    steps = probabilities.double().cumsum(0)
    u = torch.rand(n, dtype=torch.float64) * steps[-1]
    return torch.searchsorted(steps, u, right=True).sort().values


# %% [sampling] seeded in each call
# says: do not seed
def draw(probabilities, n):
    torch.manual_seed(0)
    steps = probabilities.double().cumsum(0)
    return torch.searchsorted(steps, torch.rand(n, dtype=torch.float64) * steps[-1], right=True)


# %% [sampling] off by one
# says: probability 0 was drawn
def draw(probabilities, n):
    steps = probabilities.double().cumsum(0)
    return 1 + torch.searchsorted(steps, torch.rand(n, dtype=torch.float64) * steps[-1], right=True)


# %% [sampling] the race is won by a uniform number
# says: too often or too rarely
def draw(probabilities, n):
    return (probabilities * torch.rand(n, len(probabilities))).argmax(-1)


# %% [date_whisperer] targets unshifted
# says: shift by one place
def date_loss(params, source, target):
    memory, state = read_dates(params, source)
    logits, _, _ = write_dates(params, memory, source != PAD, state, target)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


# %% [date_whisperer] shifted the wrong way
# says: the dates are right
def date_loss(params, source, target):
    memory, state = read_dates(params, source)
    before = torch.cat([target[:, 1:], torch.full_like(target[:, :1], BEGIN)], 1)
    logits, _, _ = write_dates(params, memory, source != PAD, state, before)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


# %% [date_whisperer] no attention: the mean of the memory
# says: of the dates are right
def write_dates(params, memory, mask, state, before):
    states = []
    for x in params["target"][before].unbind(1):
        state = gru_cell(x, state, *params["writer"])
        states.append(state)
    states = torch.stack(states, 1)
    weights = (mask / mask.sum(1, keepdim=True))[:, None].expand(-1, states.shape[1], -1)
    return torch.cat([states, weights @ memory], -1) @ params["out"].T + params["bias"], weights, state


# %% [date_whisperer] no attention: the last place of the memory
# says: of the dates are right
def write_dates(params, memory, mask, state, before):
    states = []
    for x in params["target"][before].unbind(1):
        state = gru_cell(x, state, *params["writer"])
        states.append(state)
    states = torch.stack(states, 1)
    last = F.one_hot(mask.sum(1) - 1, mask.shape[1]).float()
    weights = last[:, None].expand(-1, states.shape[1], -1)
    return torch.cat([states, weights @ memory], -1) @ params["out"].T + params["bias"], weights, state


# %% [date_whisperer] padding is attended to
# says: nor get attention
def write_dates(params, memory, mask, state, before, write=write_dates):
    return write(params, memory, torch.ones_like(mask), state, before)


# %% [date_whisperer] padding changes the readers' states
# says: padding must not change a reader's state
def read_dates(params, source):
    x, memory, last = params["source"][source].unbind(1), [], []
    for reader, order in (("forward", range(len(x))), ("backward", range(len(x) - 1, -1, -1))):
        states, h = {}, x[0].new_zeros(len(source), HIDDEN)
        for place in order:
            h = states[place] = gru_cell(x[place], h, *params[reader])
        memory.append(torch.stack([states[place] for place in range(len(x))], 1))
        last.append(h)
    return torch.cat(memory, -1), torch.tanh(torch.cat(last, -1) @ params["start"].T)


# %% [date_whisperer] the query is the state itself
# says: query
def write_dates(params, memory, mask, state, before, write=write_dates):
    return write(params | {"query": torch.eye(HIDDEN)}, memory, mask, state, before)


# %% [date_whisperer] the writer begins with nothing
# says: start
def read_dates(params, source, read=read_dates):
    memory, state = read(params, source)
    return memory, torch.zeros_like(state)


# %% [date_whisperer] the sum of the losses
# says: a mean (not a sum)
def date_loss(params, source, target, loss=date_loss):
    return loss(params, source, target) * target.numel()


# %% [date_whisperer] translate always feeds BEGIN
# says: fed its own last character
def translate(params, source):
    memory, state = read_dates(params, source)
    begin, ids, looks = torch.full_like(source[:, :1], BEGIN), [], []
    for _ in range(10):
        logits, weights, state = write_dates(params, memory, source != PAD, state, begin)
        ids.append(logits.argmax(-1))
        looks.append(weights)
    return torch.cat(ids, 1), torch.cat(looks, 1)


# %% [date_whisperer] translate does not hand the state on
# says: of the dates are right
def translate(params, source):
    memory, state = read_dates(params, source)
    ids, looks = [torch.full_like(source[:, :1], BEGIN)], []
    for _ in range(10):
        logits, weights, _ = write_dates(params, memory, source != PAD, state, ids[-1])
        ids.append(logits.argmax(-1))
        looks.append(weights)
    return torch.cat(ids[1:], 1), torch.cat(looks, 1)


# %% [date_whisperer] the reader is cut off from the graph
# says: of the dates are right
def read_dates(params, source, read=read_dates):
    memory, state = read(params, source)
    return memory.detach(), state.detach()


# %% [date_whisperer] trained on its own guesses instead of the true characters
# says: teacher forcing
def date_loss(params, source, target):
    memory, state = read_dates(params, source)
    token, losses = torch.full_like(source[:, :1], BEGIN), []
    for j in range(10):
        logits, _, state = write_dates(params, memory, source != PAD, state, token)
        losses.append(F.cross_entropy(logits[:, 0], target[:, j]))
        token = logits.argmax(-1)
    return torch.stack(losses).mean()


# %% [date_whisperer] a date parser of its own, and no network
# says: the loss
def date_loss(params, source, target):
    return torch.zeros((), requires_grad=True)


def translate(params, source):
    return torch.zeros(len(source), 10, dtype=torch.long), torch.ones(len(source), 10, source.shape[1]) / source.shape[1]


# %% [date_whisperer] the weights of the wrong axis
# says: 10, L
def translate(params, source, write=translate):
    ids, weights = write(params, source)
    return ids, weights.mT


# %% [date_whisperer] attention weights that say nothing
# says: on the year
def translate(params, source, write=translate):
    ids, weights = write(params, source)
    real = (source != PAD)[:, None].expand_as(weights)
    return ids, real / real.sum(-1, keepdim=True)
