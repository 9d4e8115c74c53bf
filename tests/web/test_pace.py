"""What one session may take of the server's own processor."""

from planner.web.pace import SAVED, SHARE, of_session


def test_who_thinks_waits_for_nothing_and_who_does_not_gets_a_share() -> None:
    credit = of_session()
    now = credit.since
    for _ in range(1_000):  # a click a second
        assert credit.wait(now) == 0.0
        credit.spend(0.05)
        now += 1.0
    spent = 0.0
    start = now
    for _ in range(1_000):  # as fast as the page comes
        now += credit.wait(now)
        credit.spend(0.05)
        spent, now = spent + 0.05, now + 0.05
    assert spent <= SAVED + SHARE * (now - start) + 0.05
    assert spent > SHARE * (now - start)
