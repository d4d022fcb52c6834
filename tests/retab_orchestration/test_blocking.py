import asyncio

import pytest

from retab_orchestration._blocking import iterate_blocking, run_blocking


async def answer():
    return 42


async def numbers(closed):
    try:
        for number in range(3):
            yield await answer() + number
    finally:
        closed.append(True)


def test_a_coroutine_that_never_suspends_runs_to_its_end():
    assert run_blocking(answer()) == 42


def test_a_coroutine_that_suspends_is_refused_and_closed():
    closed = []

    async def waits():
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    with pytest.raises(RuntimeError, match="not a blocking runtime"):
        run_blocking(waits())
    assert closed == [True]


def test_an_error_passes_through():
    async def fails():
        raise KeyError("x")

    with pytest.raises(KeyError):
        run_blocking(fails())


def test_an_iteration_ends_with_the_generator_and_closes_it():
    closed = []

    assert list(iterate_blocking(numbers(closed))) == [42, 43, 44]
    assert closed == [True]


def test_an_iteration_that_is_left_early_closes_the_generator():
    closed = []
    iteration = iterate_blocking(numbers(closed))

    assert next(iteration) == 42
    iteration.close()

    assert closed == [True]
