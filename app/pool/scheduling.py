"""The bounded queue that takes from each owner in turn (pure)."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class FairQueue(Generic[Item]):
    """First in, first out for each owner; the owners take turns.

    An owner who was just served goes behind the others, so a hundred jobs of one owner delay another's
    single job by one job, not by a hundred.
    """

    def __init__(self) -> None:
        self._owners: OrderedDict[str, deque[Item]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def waiting(self, owner: str) -> int:
        return len(self._owners.get(owner, ()))

    def append(self, owner: str, item: Item) -> None:
        self._owners.setdefault(owner, deque()).append(item)
        self._count += 1

    def put_back(self, owner: str, item: Item) -> None:
        """Returns an item to the very front: it was taken but never begun."""
        self._owners.setdefault(owner, deque()).appendleft(item)
        self._owners.move_to_end(owner, last=False)
        self._count += 1

    def peek(self) -> Item | None:
        return next((items[0] for items in self._owners.values()), None)

    def pop(self) -> Item:
        """The next item. Raises IndexError when empty."""
        if not self._owners:
            raise IndexError("the queue is empty")
        owner, items = next(iter(self._owners.items()))
        item = items.popleft()
        self._owners.move_to_end(owner)
        self._drop_if_empty(owner)
        self._count -= 1
        return item

    def remove(self, owner: str, item: Item) -> bool:
        """Takes one item out of the middle; False when it is not here."""
        items = self._owners.get(owner)
        if items is None or item not in items:
            return False
        items.remove(item)
        self._drop_if_empty(owner)
        self._count -= 1
        return True

    def position(self, owner: str) -> int:
        """How many items are served before the newest one of this owner."""
        own = self.waiting(owner)
        owners = list(self._owners)
        turn = owners.index(owner)
        ahead = own - 1
        for index, other in enumerate(owners):
            if other != owner:
                rounds = own if index < turn else own - 1
                ahead += min(len(self._owners[other]), rounds)
        return ahead

    def drain(self) -> Iterator[Item]:
        """Empties the queue in the order of service."""
        while self._owners:
            yield self.pop()

    def _drop_if_empty(self, owner: str) -> None:
        if not self._owners[owner]:
            del self._owners[owner]
