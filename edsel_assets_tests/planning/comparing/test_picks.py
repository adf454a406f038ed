import random

from edsel_assets.planning.comparing.picks import Moved, compare


def test_what_joined_left_and_moved() -> None:
    (change,) = compare({"": ["a", "b", "c"]}, {"": ["c", "b", "d", "e"]})
    assert change.only_a == ((0, "a"),)
    assert change.only_b == ((2, "d"), (3, "e"))
    assert change.moved == (Moved("c", 2, 0),)
    assert change.both == 2
    assert not change.same
    assert compare({"": ["a", "b"]}, {"": ["a", "b"]})[0].same


def test_a_list_that_one_side_does_not_have_is_empty_there() -> None:
    first, second = compare({"": ["a"], "replicate 1": ["b"]}, {"": ["a"]})
    assert first.same
    assert (second.group, second.only_a, second.both) == ("replicate 1", ((0, "b"),), 0)


def test_a_prompt_drawn_twice_counts_once_at_its_first_rank() -> None:
    (change,) = compare({"": ["a", "b", "a"]}, {"": ["b", "a"]})
    assert change.moved == (Moved("a", 0, 1), Moved("b", 1, 0))
    assert (change.only_a, change.only_b, change.both) == ((), (), 2)


def test_it_is_what_plain_loops_find() -> None:
    draw = random.Random(0)
    for _ in range(200):
        a, b = (draw.sample(range(12), draw.randint(0, 10)) for _ in "ab")
        (change,) = compare({"": [str(x) for x in a]}, {"": [str(x) for x in b]})
        assert [int(key) for _, key in change.only_a] == [x for x in a if x not in b]
        assert [int(key) for _, key in change.only_b] == [x for x in b if x not in a]
        assert [int(m.prompt_id) for m in change.moved] == [
            x for x in a if x in b and a.index(x) != b.index(x)
        ]
        assert change.both == len(set(a) & set(b))
        assert change.same == (a == b)
