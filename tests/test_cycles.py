"""When Python searches for cycles."""

import gc
import weakref

import pytest

from normscope import cycles


class Loop:
    def __init__(self):
        self.self = self


def lost_loop():
    """A cycle that nobody holds any more, seen from outside."""
    return weakref.ref(Loop())


def test_no_search_meanwhile():
    assert gc.isenabled()
    with cycles.not_searched_for():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_no_search_stays_so():
    gc.disable()
    try:
        with cycles.not_searched_for():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_is_there_is_passed_over_until_the_end():
    gc.collect()
    before = lost_loop()
    with cycles.searched_for_in_what_is_new():
        during = lost_loop()
        gc.collect()
        assert during() is None
        assert before() is not None
    gc.collect()
    assert before() is None


def test_what_somebody_else_has_frozen_stays_so():
    gc.freeze()
    try:
        frozen = gc.get_freeze_count()
        with cycles.searched_for_in_what_is_new():
            assert gc.get_freeze_count() == frozen
        assert gc.get_freeze_count() == frozen
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("within", [cycles.not_searched_for, cycles.searched_for_in_what_is_new])
def test_an_error_ends_it(within):
    with pytest.raises(KeyError), within():
        raise KeyError
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0
