"""The fair queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.pool.scheduling import FairQueue

OWNERS = st.lists(st.sampled_from("abc"), max_size=20)


def filled(owners: list[str]) -> FairQueue[tuple[str, int]]:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for number, owner in enumerate(owners):
        queue.append(owner, (owner, number))
    return queue


@given(OWNERS)
def test_every_item_comes_out_once_and_each_owners_in_order(owners: list[str]) -> None:
    served = list(filled(owners).drain())
    assert sorted(number for _, number in served) == list(range(len(owners)))
    for owner in "abc":
        own = [number for name, number in served if name == owner]
        assert own == sorted(own)


@given(OWNERS)
def test_no_owner_is_served_twice_while_another_waits_for_the_first_time(owners: list[str]) -> None:
    served = [owner for owner, _ in filled(owners).drain()]
    for index, owner in enumerate(served[1:], start=1):
        if owner == served[index - 1]:
            assert set(served[index:]) == {owner}


@given(OWNERS)
def test_the_position_of_the_newest_item_is_how_many_come_before_it(owners: list[str]) -> None:
    for count in range(1, len(owners) + 1):
        queue = filled(owners[:count])
        position = queue.position(owners[count - 1])
        assert list(queue.drain())[position] == (owners[count - 1], count - 1)


@given(OWNERS, st.data())
def test_a_removed_item_is_gone_and_the_count_is_right(owners: list[str], data: st.DataObject) -> None:
    queue = filled(owners)
    if owners:
        number = data.draw(st.integers(0, len(owners) - 1))
        assert queue.remove(owners[number], (owners[number], number))
        assert not queue.remove(owners[number], (owners[number], number))
        assert len(queue) == len(owners) - 1
        assert (owners[number], number) not in list(queue.drain())
    assert len(queue) == 0


def test_what_is_put_back_is_next() -> None:
    queue = filled(["a", "a", "b"])
    first = queue.pop()
    queue.put_back("a", first)
    assert queue.peek() == first
    assert list(queue.drain()) == [("a", 0), ("b", 2), ("a", 1)]


def test_an_empty_queue_has_nothing() -> None:
    queue = filled([])
    assert (queue.peek(), len(queue), queue.waiting("a")) == (None, 0, 0)
    with pytest.raises(IndexError):
        queue.pop()
