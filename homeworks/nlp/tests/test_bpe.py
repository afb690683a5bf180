"""Byte-pair encoding: which pairs are merged, in which order they are applied, and that no text is lost."""

from oracles import encoded, kind, left_alone, merged, merges_of, text_without_ties, whole, words

from grading.judge import check, weight

FIRST = (
    "the first merge is not the most frequent pair of neighbouring bytes of text.encode() (all pairs count, "
    "overlapping ones too; of equally frequent ones the largest)"
)
LATER = "merge number {} is wrong, though those before it are right"
TEXTS = [
    "naïve café, déjà vu",
    "Съешь ещё этих мягких булок",
    "日本語のテキスト",
    "🦉👩‍👩‍👧 and \U0010ffff",
    "e\u0301 \u202e mirrored \x00 nul\r\n\ttab",
    "",
]


def learnt(submission, text, count):
    """The merges that train_bpe returns, as pairs of int."""
    merges = submission.train_bpe(text, count)

    check(isinstance(merges, list | tuple), f"train_bpe returns a list of pairs, not {kind(merges)}")
    for pair in merges:
        is_pair = isinstance(pair, list | tuple) and len(pair) == 2 and None not in map(whole, pair)
        check(is_pair, "each merge must be a pair of ids (left, right), two whole numbers")
    check(len(merges) <= count, f"{count} merges were asked for; these are {len(merges)}")
    return [(whole(left), whole(right)) for left, right in merges]


def assert_learns(submission, text, count, hint):
    expected = [pair for pair, _ in merges_of(text, count)]

    actual = learnt(submission, text, count)

    for number, (pair, right) in enumerate(zip(actual, expected, strict=False)):
        check(pair == right, f"{LATER.format(number) if number else FIRST}. Hint: {hint}")
    check(len(actual) >= len(expected), f"the list ends too early, while there are still pairs. Hint: {hint}")
    check(len(actual) <= len(expected), f"the list goes on though there is no pair left. Hint: {hint}")


def ids_of(submission, text, merges):
    """The ids that encode returns, as a list of int."""
    ids = submission.encode(text, merges)

    check(isinstance(ids, list | tuple), f"encode returns a list of ids, not {kind(ids)}")
    check(None not in map(whole, ids), "encode must return a list of whole numbers")
    return [whole(token) for token in ids]


def assert_encodes(submission, text, merges, hint):
    check(ids_of(submission, text, merges) == encoded(text, merges), hint)


def decoded(submission, ids, merges):
    text = submission.decode(ids, merges)

    check(isinstance(text, str), f"decode returns a str, not {kind(text)}")
    return text


def pairs_of(text, count):
    return [pair for pair, _ in merges_of(text, count)]


@weight(3)
def test_most_frequent_pair(submission, rng):
    """Each merge joins the most frequent pair of neighbours in what the merges before it have left."""
    for _ in range(3):
        text, _ = text_without_ties(rng, "abcdef", 6)
        assert_learns(submission, text, 6, "after each merge, replace the pair and count anew")


@weight(2)
def test_ties(submission, rng):
    """Of equally frequent pairs the largest is merged, as Python compares tuples of ids."""
    hint = (
        "all pairs of this text are equally frequent: max over (count, pair), not the first or the smallest"
    )
    for _ in range(3):
        text = "".join(rng.permutation(list("abcdefghijklmnop")))
        assert_learns(submission, text, 5, hint)
    assert_learns(submission, words(rng, "abc", 60), 25, "late merges have many ties: the largest pair wins")


@weight(1)
def test_overlapping_pairs_count(submission, rng):
    """In a run such as aaaa every two neighbours count as a pair, also where the pairs overlap."""
    a, b, c, *others = rng.permutation(list("abcdefgh"))
    text = a * 5 + "".join(other + b + c for other in others[:3])

    hint = "aaaaa holds the pair (a, a) four times. Are pairs that overlap left out of the count?"
    assert_learns(submission, text, 1, hint)


@weight(1)
def test_runs_are_replaced_from_the_left(submission, rng):
    """What has been replaced is used up: aaa becomes one new token and an a."""
    letter, length = str(rng.choice(list("abcdef"))), 2 * int(rng.integers(9, 19)) + 1

    hint = "in a run of one letter, each replacement uses up two tokens, from left to right"
    assert_learns(submission, letter * length, 4, hint)


@weight(1)
def test_list_of_merges_ends(submission, rng):
    """There are as many merges as asked for, and fewer only where no pair is left."""
    text, _ = text_without_ties(rng, "abcd", 4)

    hint = "stop when fewer than two tokens are left: a single token, or an empty text"
    assert_learns(submission, text, 4, hint)
    assert_learns(submission, "abab", 7, hint)
    for short in ("", "x"):
        check(learnt(submission, short, 3) == [], f"a text of {len(short)} bytes has no pairs: return []")
    check(learnt(submission, text, 0) == [], "0 merges were asked for: return []")


@weight(1)
def test_merges_are_made_of_bytes(submission, rng):
    """The text is a row of bytes in UTF-8, so a letter such as é or я is two tokens before the first merge."""
    text, _ = text_without_ties(rng, "éяあz", 5)

    assert_learns(submission, text, 5, "begin with text.encode(), not with ord() of each character")


@weight(3)
def test_encode(submission, rng):
    """encode applies the merges to the bytes of a text, also of a text that training has not seen."""
    merges = pairs_of(words(rng, "abcde", 150), 20)

    for text in (words(rng, "abcde", 20), words(rng, "abcde", 15), "edcba" * 5):
        hint = "replace each merge of the list wherever it occurs, the first merge first; merge i makes id 256 + i"
        assert_encodes(submission, text, merges, hint)


@weight(2)
def test_encode_keeps_the_order_of_merges(submission, rng):
    """An earlier merge goes before a later one, even where the later one is longer or stands further left."""
    a, b, c, d = (ord(letter) for letter in rng.permutation(list("abcdefgh"))[:4])
    text = bytes([a, b, c, d, a, b, b, c, a, b, c]).decode()

    for merges in ([(b, c), (a, b), (257, c), (a, 256)], [(c, d), (b, c), (a, b), (258, 256), (257, d)]):
        hint = (
            "apply merge 0 everywhere, then merge 1, ...: not the longest token, nor the leftmost pair first"
        )
        assert_encodes(submission, text, merges, hint)


@weight(1)
def test_encode_runs(submission, rng):
    """In a run of one letter, encode replaces from left to right, and no token is used twice."""
    a, b = (ord(letter) for letter in rng.permutation(list("abcdefgh"))[:2])

    for length in (2, 3, 6, 7):
        text = bytes([b] + [a] * length + [b]).decode()
        hint = "aaa becomes [256, a] by the merge (a, a): from left to right, what is replaced is used up"
        assert_encodes(submission, text, [(a, a), (256, a), (256, b)], hint)


@weight(1)
def test_encode_spells_what_it_does_not_know(submission, rng):
    """A text in another alphabet becomes single bytes, so nothing is ever unknown; without merges all text does."""
    merges = pairs_of(words(rng, "abcde", 60), 8)

    for text in TEXTS:
        assert_encodes(submission, text, merges, "bytes without a merge stay as they are, ids 0 to 255")
        assert_encodes(submission, text, [], "without merges the ids are the bytes of text.encode()")


@weight(2)
def test_decode(submission, rng):
    """decode joins what the ids stand for: a byte below 256, and for merge i its left and its right part."""
    text = words(rng, "abcde", 60)
    merges = pairs_of(text, 15)
    ids = [int(token) for token in rng.integers(97, 256 + len(merges), size=40) if not 127 < token < 256]

    hint = "id 256 + i is the bytes of the left part of merge i followed by those of the right part"
    check(decoded(submission, encoded(text, merges), merges) == text, hint)
    flat = list(ids)
    for number in reversed(range(len(merges))):
        flat = [part for token in flat for part in (merges[number] if token == 256 + number else (token,))]
    check(decoded(submission, ids, merges) == bytes(flat).decode(), hint)


@weight(1)
def test_round_trip(submission, rng):
    """Encoding and then decoding gives back any text: accents, other alphabets, emoji, control characters."""
    merges = pairs_of(words(rng, "éяあ🦉a", 60), 12)

    for text in TEXTS:
        actual = decoded(submission, ids_of(submission, text, merges), merges)
        check(
            actual == text,
            "decode(encode(text)) is another text. Is it UTF-8 in both directions, and all of it?",
        )


@weight(1)
def test_lists_are_left_alone(submission, rng):
    """encode leaves its list of merges as it was, and decode its lists of ids and of merges."""
    merges = pairs_of(words(rng, "abcde", 60), 8)
    text = words(rng, "abcde", 10)

    ids = left_alone(submission, "encode", text, merges)
    check(
        ids == encoded(text, merges), "replace each merge of the list wherever it occurs, the first one first"
    )
    back = left_alone(submission, "decode", encoded(text, merges), merges)
    check(back == text, "decode(encode(text)) is another text")


@weight(1)
def test_characters_cut_in_two(submission, rng):
    """Bytes are joined before they become text; what is no valid UTF-8 then becomes U+FFFD, without an error."""
    character = str(rng.choice(list("éßяあ日🦉")))
    ids = list(character.encode())

    hint = "join the bytes of all tokens, then decode once"
    check(decoded(submission, [120, *ids, 121], []) == f"x{character}y", hint)
    halves = merged(ids, (ids[0], ids[1]), 256)
    check(decoded(submission, halves, [(ids[0], ids[1])]) == character, hint)
    for cut in (ids[:-1], ids[1:], [*ids[:-1], 120, *ids], [255, 97]):
        replaced = bytes(cut).decode(errors="replace")
        check(decoded(submission, cut, []) == replaced, "use errors='replace' for what is no valid UTF-8")
