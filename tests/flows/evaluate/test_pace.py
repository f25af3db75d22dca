"""How many requests an endpoint is sent at a time."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from flows.evaluate.pace import Pace


@pytest.mark.parametrize(
    ("together", "seconds", "room"),
    [(1, 1.0, 2), (4, 0.0, 8), (4, 10.0, 8), (4, 20.0, 6), (4, 40.0, 3), (4, 59.0, 2), (1, 59.0, 1), (16, 1.0, 16)],
)
def test_as_many_are_sent_as_fit_into_half_of_the_time(together: int, seconds: float, room: int) -> None:
    """Four together that took 20 of 60 seconds: six may take 30. Never more than twice as many, or than is allowed."""
    pace = Pace(16, 60.0)
    pace.room = together

    async def main() -> None:
        async with AsyncExitStack() as stack:
            learns = [await stack.enter_async_context(pace.turn()) for _ in range(together)]
            learns[-1](seconds)

    asyncio.run(main())

    assert pace.room == room


def test_what_times_out_halves_the_room() -> None:
    """And an answer widens it again, twice at most."""
    pace = Pace(16, 60.0)
    rooms = []

    async def main() -> None:
        for said in (0.1, 0.1, 0.1, None, None, 0.1):
            async with pace.turn() as learn:
                learn(said)
            rooms.append(pace.room)

    asyncio.run(main())

    assert rooms == [2, 4, 8, 1, 1, 2]


def test_whoever_is_cancelled_leaves_their_place() -> None:
    """While they wait, and in the moment in which they are let in."""
    pace = Pace(1, 60.0)

    async def main() -> None:
        async def hold() -> None:
            async with pace.turn():
                await asyncio.sleep(0.01)

        first, second, third = (asyncio.create_task(hold()) for _ in range(3))
        await asyncio.sleep(0)
        second.cancel()
        await first
        third.cancel()
        async with asyncio.timeout(5), pace.turn():
            pass

    asyncio.run(main())
