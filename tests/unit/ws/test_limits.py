"""How fast frames may come: of one connection, of one user."""

from __future__ import annotations

from server.ws.limits import UserPace


def taken(pace: UserPace, user_id: str, now: float, count: int) -> int:
    """How many of so many frames pass."""
    return sum(not pace.take(user_id, now) for _ in range(count))


def test_a_user_has_his_burst_once_and_then_his_rate() -> None:
    pace = UserPace(2.0, 6)
    assert taken(pace, "sita", 100.0, 10) == 6
    assert taken(pace, "ram", 100.0, 10) == 6
    assert taken(pace, "sita", 101.0, 10) == 2
    assert 0.0 < pace.take("sita", 101.0) <= 0.5


def test_who_has_gone_and_comes_back_has_no_new_burst() -> None:
    pace = UserPace(2.0, 6)
    assert taken(pace, "sita", 100.0, 6) == 6
    pace.left("sita", 100.0)
    pace.forget_left(100.5)
    assert taken(pace, "sita", 100.5, 10) == 1


def test_who_owes_nothing_is_forgotten() -> None:
    pace = UserPace(2.0, 6)
    for user_id in ("sita", "ram", "hari"):
        taken(pace, user_id, 100.0, 6)
    pace.left("sita", 100.0)
    pace.forget("ram", 100.0)
    pace.forget_left(100.0)
    assert len(pace) == 3
    pace.forget("ram", 104.0)
    pace.forget_left(104.0)
    pace.left("hari", 104.0)
    assert len(pace) == 0
    pace.forget("nobody", 104.0)
    pace.left("nobody", 104.0)
    assert len(pace) == 0


def test_who_is_back_when_it_is_time_to_forget_him_keeps_what_he_owes() -> None:
    pace = UserPace(2.0, 6)
    taken(pace, "sita", 100.0, 6)
    pace.left("sita", 100.0)
    assert taken(pace, "sita", 102.0, 10) == 4
    pace.forget_left(103.5)
    assert taken(pace, "sita", 103.5, 10) == 3


def test_not_more_are_remembered_than_memory_is_meant_for() -> None:
    pace = UserPace(0.001, 1)
    for number in range(60_000):
        pace.take(f"user {number}", 100.0)
        pace.left(f"user {number}", 100.0)
    assert len(pace) == 50_000
