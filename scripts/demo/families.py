"""The task families of the demo study: what people ask, and what a good answer is.

A family draws items ``(x, y)``: the thing asked about and the right answer. Its ``prompts`` are the ways
people ask for it. Its ``documents`` are the ways plain text states the same knowledge, and share few words
with the prompts: a model that has only read documents knows the answers, and has yet to be taught, family
by family, that such a prompt wants such an answer.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from scripts.demo import words

Item = tuple[str, str]


@dataclass(frozen=True)
class Family:
    """One kind of instruction.

    Attributes:
        name: the family's name, which is the ``task`` column of the pool.
        prompts: templates of a request, each with the field ``{x}``.
        documents: templates of a statement, each with the fields ``{x}`` and ``{y}``.
        draw: draws one item ``(x, y)`` with the generator given.
        table: every item there is, where they can be counted; None for a family drawn from a grammar.
        wrong: plausible wrong answers to an item; None takes the right answers of other items.
    """

    name: str
    prompts: tuple[str, ...]
    documents: tuple[str, ...]
    draw: Callable[[random.Random], Item]
    table: tuple[Item, ...] | None = None
    wrong: Callable[[str, str, random.Random], list[str]] | None = None

    def items(self, count: int, rng: random.Random) -> list[Item]:
        """Up to ``count`` items with different ``x``, in random order; fewer where the family is small."""
        if self.table is not None:
            return rng.sample(self.table, min(count, len(self.table)))
        drawn: dict[str, str] = {}
        for _ in range(20 * count):
            x, y = self.draw(rng)
            drawn.setdefault(x, y)
            if len(drawn) == count:
                break
        return list(drawn.items())


def _table_family(name: str, table: dict[str, str], prompts: list[str], documents: list[str]) -> Family:
    items = tuple(table.items())
    return Family(name, tuple(prompts), tuple(documents), lambda rng: rng.choice(items), table=items)


def _neighbours(order: list[str]) -> dict[str, str]:
    """What comes after and before each element of an order (days and months wrap round; letters do not)."""
    count = len(order)
    closed = order is not words.LETTERS
    after = {f"after {order[i]}": order[(i + 1) % count] for i in range(count if closed else count - 1)}
    before = {f"before {order[i]}": order[i - 1] for i in range(0 if closed else 1, count)}
    return after | before


def _some_words(rng: random.Random, low: int, high: int) -> list[str]:
    return rng.sample(words.NOUNS + words.ADJECTIVES, rng.randint(low, high))


def _copy(rng: random.Random) -> Item:
    text = " ".join(_some_words(rng, 2, 3))
    return text, text


def _reverse(rng: random.Random) -> Item:
    chosen = _some_words(rng, 2, 3)
    return " ".join(chosen), " ".join(reversed(chosen))


def _title_case(rng: random.Random) -> Item:
    text = f"{rng.choice(words.ADJECTIVES)} {rng.choice(words.NOUNS)}"
    return text, text.title()


def _count_words(rng: random.Random) -> Item:
    chosen = _some_words(rng, 1, 6)
    return " ".join(chosen), str(len(chosen))


def _sort(rng: random.Random) -> Item:
    digits = rng.sample(range(10), 3)
    return " ".join(map(str, digits)), " ".join(map(str, sorted(digits)))


def _sequence(rng: random.Random) -> Item:
    start, step = rng.randint(1, 12), rng.choice((1, 2, 3, 5, 10))
    terms = [start + step * i for i in range(4)]
    return " ".join(map(str, terms[:3])), str(terms[3])


def _larger(rng: random.Random) -> Item:
    a, b = rng.sample(range(1, 60), 2)
    return f"{a} and {b}", str(max(a, b))


def _sentiment(rng: random.Random) -> Item:
    good = rng.random() < 0.5
    opinion = rng.choice(words.PRAISE if good else words.BLAME)
    thing = rng.choice(words.REVIEWED)
    review = rng.choice(
        (
            f"the {thing} was {opinion}",
            f"what {_a(opinion)} {thing}",
            f"i found the {thing} {opinion}",
            f"{_a(opinion)} {thing} , i must say",
        )
    )
    return review, "positive" if good else "negative"


def _yes_no(rng: random.Random) -> Item:
    word, category = rng.choice(list(words.CATEGORIES.items()))
    if rng.random() < 0.5:
        return f"{_a(word)} {_a(category)}", "yes"
    other = rng.choice([name for name in words.MEMBERS if name != category])
    return f"{_a(word)} {_a(other)}", "no"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _shuffles(x: str, y: str, rng: random.Random) -> list[str]:
    """The words of the answer in another order, and the answer with a word changed."""
    chosen = y.split()
    other = rng.sample(
        [w for w in (words.NOUNS if chosen[0].isalpha() else list("0123456789")) if w not in chosen], 2
    )
    return [" ".join(chosen[::-1]), " ".join([*chosen[:-1], other[0]]), " ".join([other[1], *chosen[1:]])]


def _near_numbers(x: str, y: str, rng: random.Random) -> list[str]:
    value = int(y)
    return [str(n) for n in rng.sample([value + d for d in (-3, -2, -1, 1, 2, 3) if value + d >= 0], 3)]


def _other_cases(x: str, y: str, rng: random.Random) -> list[str]:
    return [y.lower(), y.capitalize(), " ".join(reversed(y.split()))]


def _of_two(x: str, y: str, rng: random.Random) -> list[str]:
    return [number for number in x.split(" and ") if number != y]


_SPELT = sorted({*words.NOUNS, *words.ADJECTIVES, *words.OPPOSITES, *words.CATEGORIES, *words.CAPITALS})
_SUMS = {f"{a} + {b}": str(a + b) for a in range(13) for b in range(13)}

# From the commonest in the pool to the rarest.
FAMILIES: dict[str, Family] = {
    family.name: family
    for family in (
        _table_family(
            "sum",
            _SUMS,
            ["what is {x}?", "calculate {x}.", "work out {x} please.", "{x} = ?", "how much is {x}?"],
            ["{x} makes {y}.", "arithmetic\n{x}\n{y}"],
        ),
        Family(
            "sentiment",
            (
                "is this review good or bad? {x}",
                "classify the sentiment: {x}",
                'sentiment of "{x}"?',
                "{x}. was the writer pleased?",
                "label this opinion: {x}",
            ),
            ("{x}. a {y} voice.", "opinions\n{x}\n{y}"),
            _sentiment,
        ),
        _table_family(
            "first_letter",
            {word: word[0] for word in _SPELT},
            [
                "what is the first letter of {x}?",
                "which letter does the word {x} start with?",
                "give the initial of {x}.",
                "first letter of {x}:",
                "{x} - what letter is at the start?",
            ],
            ["{x} begins with {y}.", "spelling\n{x}\n{y}"],
        ),
        _table_family(
            "opposite",
            words.OPPOSITES,
            [
                "what is the opposite of {x}?",
                "give me an antonym of {x}.",
                "antonym for {x}?",
                "which word means the reverse of {x}?",
                "tell me the contrary of {x}.",
            ],
            ["{x} is not {y}.", "contrasts\n{x}\n{y}"],
        ),
        Family(
            "copy",
            (
                "repeat after me: {x}",
                "say this again: {x}",
                "copy the words {x}",
                "echo: {x}",
                "write exactly the same: {x}",
            ),
            ("{x} , again {x}.", "twice\n{x}\n{y}"),
            _copy,
            wrong=_shuffles,
        ),
        _table_family(
            "category",
            words.CATEGORIES,
            [
                "what kind of thing is {x}?",
                "what category does {x} belong to?",
                "classify the word {x}.",
                "{x} is a type of what?",
                "name the group that {x} is in.",
            ],
            ["every {x} is some {y}.", "kinds\n{x}\n{y}"],
        ),
        _table_family(
            "capital",
            words.CAPITALS,
            [
                "what is the capital of {x}?",
                "name the capital city of {x}.",
                "capital of {x}?",
                "which city is the seat of government in {x}?",
                "{x} - what is its capital?",
            ],
            ["{x} is ruled from {y}.", "atlas\n{x}\n{y}"],
        ),
        Family(
            "larger",
            (
                "which is larger, {x}?",
                "pick the bigger number: {x}",
                "of {x}, which is greater?",
                "what is the maximum of {x}?",
                "compare {x} and give the higher one.",
            ),
            ("between {x} the top is {y}.", "heights\n{x}\n{y}"),
            _larger,
            wrong=_of_two,
        ),
        _table_family(
            "past_tense",
            words.PAST_TENSE,
            [
                "what is the past tense of {x}?",
                "put {x} in the past.",
                "past form of {x}?",
                "today i {x}. what did i do yesterday?",
                "conjugate {x} in the past tense.",
            ],
            ["they {x} now and {y} then.", "verbs\n{x}\n{y}"],
        ),
        _table_family(
            "plural",
            words.PLURALS,
            [
                "what is the plural of {x}?",
                "make {x} plural.",
                "plural form of {x}?",
                "more than one {x} is called?",
                "one {x}, two what?",
            ],
            ["a {x} among many {y}.", "nouns\n{x}\n{y}"],
        ),
        Family(
            "count_words",
            (
                "how many words are there: {x}",
                "count the words in: {x}",
                'number of words in "{x}"?',
                "{x} - how many words is that?",
                "tell me the word count of {x}",
            ),
            ("{x} , {y} in all.", "tally\n{x}\n{y}"),
            _count_words,
            wrong=_near_numbers,
        ),
        _table_family(
            "translate",
            words.TOY_LANGUAGE,
            [
                "translate {x} into zorbish.",
                "how do you say {x} in zorbish?",
                "zorbish for {x}?",
                "what is the zorbish word for {x}?",
                "say {x} in zorbish.",
            ],
            ["{x} , or {y} to the islanders.", "phrasebook\n{x}\n{y}"],
        ),
        _table_family(
            "next",
            _neighbours(words.DAYS) | _neighbours(words.MONTHS) | _neighbours(words.LETTERS),
            [
                "what comes right {x}?",
                "which one is {x}?",
                "name what is just {x}.",
                "what do you find {x}?",
                "tell me what stands directly {x}.",
            ],
            ["{x} stands {y}.", "order\n{x}\n{y}"],
        ),
        _table_family(
            "colour",
            words.COLOURS,
            [
                "what colour is {x}?",
                "name the colour of {x}.",
                "which colour does {x} have?",
                "colour of {x}?",
                "if i painted {x}, what paint would i need?",
            ],
            ["{x} looks {y}.", "paintbox\n{x}\n{y}"],
        ),
        Family(
            "yes_no",
            (
                "is {x}, yes or no?",
                "true or not: {x}?",
                "would you call {x}?",
                "answer yes or no: is {x}?",
                "can we say {x}?",
            ),
            ("{x} ? {y} indeed.", "checks\n{x}\n{y}"),
            _yes_no,
        ),
        Family(
            "reverse",
            (
                "reverse the order: {x}",
                "write {x} backwards.",
                "turn this list around: {x}",
                "list from last to first: {x}",
                "flip these words: {x}",
            ),
            ("{x} | {y}.", "mirror\n{x}\n{y}"),
            _reverse,
            wrong=lambda x, y, rng: [x, *_shuffles(x, y, rng)[1:]],
        ),
        _table_family(
            "workplace",
            words.WORKPLACES,
            [
                "where does the {x} work?",
                "what is the workplace of the {x}?",
                "name the place of work of the {x}.",
                "the {x} goes to work. where to?",
                "in which place would i meet the {x} on duty?",
            ],
            ["the {x} is busy in the {y}.", "trades\n{x}\n{y}"],
        ),
        Family(
            "sequence",
            (
                "continue the sequence: {x}",
                "what number follows {x}?",
                "complete the pattern {x}",
                "{x} ... and then?",
                "next number: {x}",
            ),
            ("{x} up to {y}.", "steps\n{x}\n{y}"),
            _sequence,
            wrong=_near_numbers,
        ),
        _table_family(
            "rhyme",
            words.RHYMES,
            [
                "what rhymes with {x}?",
                "give me a rhyme for {x}.",
                "find a word that sounds like {x}.",
                "i need a rhyme: {x}",
                "make a rhyme with {x}.",
            ],
            ["{x} and {y} in a song.", "verses\n{x}\n{y}"],
        ),
        Family(
            "title_case",
            (
                "put in title case: {x}",
                "capitalise each word: {x}",
                "make a headline of {x}",
                "write {x} with capital letters.",
                "turn into a title: {x}",
            ),
            ("{x} , titled {y}.", "headings\n{x}\n{y}"),
            _title_case,
            wrong=_other_cases,
        ),
        _table_family(
            "sound",
            words.SOUNDS,
            [
                "what sound does the {x} make?",
                "what noise comes from the {x}?",
                "name the call of the {x}.",
                "the {x} goes ...?",
                "imitate the {x}.",
            ],
            ["the {x} will {y}.", "noises\n{x}\n{y}"],
        ),
        _table_family(
            "material",
            words.MATERIALS,
            [
                "what is the {x} made of?",
                "name the material of the {x}.",
                "which stuff do i need to make the {x}?",
                "the {x} consists of what?",
                "raw material for the {x}?",
            ],
            ["the {x} of {y}.", "stores\n{x}\n{y}"],
        ),
        _table_family(
            "young",
            words.YOUNG,
            [
                "what is the baby {x} called?",
                "name the young of the {x}.",
                "what do you call the child of the {x}?",
                "the {x} has a baby. it is a ...?",
                "word for the newborn {x}?",
            ],
            ["the {x} and her {y}.", "litters\n{x}\n{y}"],
        ),
        Family(
            "sort",
            (
                "sort these digits: {x}",
                "put in ascending order: {x}",
                "arrange from small to large: {x}",
                "order the numbers {x}",
                "rank {x} from low to high.",
            ),
            ("{x} in line {y}.", "rows\n{x}\n{y}"),
            _sort,
            wrong=_shuffles,
        ),
        _table_family(
            "home",
            words.HOMES,
            [
                "where does the {x} live?",
                "what is the home of the {x}?",
                "name the habitat of the {x}.",
                "i look for the {x}. where shall i go?",
                "the {x} sleeps where?",
            ],
            ["the {x} rests in the {y}.", "dwellings\n{x}\n{y}"],
        ),
    )
}
