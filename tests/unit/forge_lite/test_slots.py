"""Who gets which slot: never more than there are, and in turns between users."""

import random
from pathlib import Path

import pytest
from dap_pipelines.slots import Slots, Turns, Wish, misfit, most_at_once
from dap_pipelines.values import Host

PLAIN = Host("plain", ("big",), 2)
GPU = Host("gpu1", ("big", "gpu"), 1, gpus=1)
OTHER = Host("other", (), 3)


def wish(number: int, user: str = "ada", *tags: str) -> Wish:
    return Wish(number, number, "analysis", user, f"job-{number}", tags, 0)


def slots(*hosts: Host) -> Slots:
    made = Slots(hosts)
    made.up = {host.name for host in hosts}
    return made


def asked(made: Slots, *wishes: Wish) -> dict[int, str]:
    """Add jobs; which of them run where then."""
    made.waiting.extend(wishes)
    made.grant()
    return {each.number: host.name for each, host in made.running.items()}


def test_the_user_with_the_fewest_running_comes_first_then_the_oldest() -> None:
    running = [wish(1), wish(2), wish(3, "bob")]
    waiting = [wish(4), wish(5, "bob"), wish(6, "eve"), wish(7, "bob"), wish(8, "eve")]
    order = [each.number for each in Turns().order(waiting, running)]
    #  ada 2, bob 1, eve 0: eve; bob and eve have 1; all have 2.
    assert order == [6, 5, 8, 4, 7]


def test_one_slot_goes_round_however_long_a_users_queue_is() -> None:
    made = slots(Host("one", (), 1))
    made.waiting = [wish(number) for number in range(1, 6)]
    started = []
    for _ in range(5):
        [(each, _)] = made.grant()
        started.append(each.number)
        if each.number == 1:
            made.waiting += [wish(6, "bob"), wish(7, "bob"), wish(8, "eve")]
        made.drop(each)
    assert started == [1, 6, 8, 2, 7]


@pytest.mark.parametrize("seed", range(20))
def test_no_slot_is_given_twice_and_nobody_starves(seed: int) -> None:
    """Random jobs of random length; the first of a user who has none running is soon started."""
    chance = random.Random(seed)
    hosts = (PLAIN, GPU, OTHER)
    made = slots(*hosts)
    users = ["ada", "bob", "eve"]
    # One asks far more than others do.
    weights = [20, 2, 1]
    passed: dict[Wish, int] = {}
    number = 0
    for _ in range(400):
        if chance.random() < 0.6:
            number += 1
            [user] = chance.choices(users, weights)
            tags = chance.choice([(), (), ("big",), ("gpu",), ("other",)])
            made.waiting.append(wish(number, user, *tags))
        elif made.running:
            made.drop(chance.choice(list(made.running)))
        before = list(made.waiting)
        given = made.grant()
        for host in hosts:
            assert sum(place is host for place in made.running.values()) <= host.slots
            assert made.free(host) >= 0
        assert all(host.fits(each.tags) for each, host in given)
        # How often others were put where a waiting job fits, while its user had none running.
        started = {each for each, _ in given}
        busy = {each.user for each in made.running}
        for waits in before:
            if waits in started or waits.user in busy:
                passed.pop(waits, None)
                continue
            passed[waits] = passed.get(waits, 0) + sum(h.fits(waits.tags) for _, h in given)
            assert passed[waits] <= len(users)
        # Whoever still waits could not have been served.
        free = [host for host in hosts if made.free(host)]
        assert not any(host.fits(each.tags) for host in free for each in made.waiting)


def test_a_job_that_few_hosts_fit_holds_up_nobody() -> None:
    made = slots(PLAIN, GPU)
    assert asked(made, wish(1, "ada", "gpu"), wish(2, "ada", "gpu"), wish(3)) == {
        1: "gpu1",
        3: "plain",
    }
    assert made.reason(made.waiting[0]) == "a free slot of gpu1"


def test_hosts_with_gpus_are_kept_for_who_asks_for_them() -> None:
    made = slots(GPU, PLAIN)
    assert asked(made, wish(1), wish(2)) == {1: "plain", 2: "plain"}
    assert asked(made, wish(3)) == {1: "plain", 2: "plain", 3: "gpu1"}


def test_jobs_go_where_most_is_left() -> None:
    made = slots(PLAIN, OTHER)
    assert list(asked(made, wish(1), wish(2), wish(3)).values()) == ["plain", "other", "other"]


def test_a_lost_host_gets_nothing_until_it_is_back() -> None:
    made = slots(PLAIN, OTHER)
    first, second = wish(1, "ada", "plain"), wish(2, "ada", "plain")
    asked(made, first, second)
    assert made.lose("plain") == [first, second]
    assert asked(made, wish(3, "ada", "big")) == {}
    assert made.reason(made.waiting[0]) == "plain to be back"
    assert asked(made, wish(4)) == {4: "other"}
    made.up.add("plain")
    assert asked(made) == {3: "plain", 4: "other"}


def test_a_job_that_ends_is_forgotten_wherever_it_is() -> None:
    made = slots(Host("one", (), 1))
    first, second = wish(1), wish(2)
    asked(made, first, second)
    made.drop(second)
    made.drop(first)
    made.drop(first)
    assert (made.waiting, made.running) == ([], {})


@pytest.mark.parametrize("tags", [[], ["gpu"], ["gpu", "big"], ["gpu1"], ["plain", "big"]])
def test_a_host_fits_that_has_all_tags_or_is_called_so(tags: list[str]) -> None:
    assert misfit([PLAIN, GPU], "train", tags) == ""


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        (["gpus"], "no host has the label gpus;"),
        (["gpu", "plain"], "no host has all of the labels gpu, plain;"),
    ],
)
def test_tags_that_no_host_has_name_job_tag_and_what_there_is(tags: list[str], said: str) -> None:
    reason = misfit([PLAIN, GPU], "train", tags)
    assert reason.startswith(f"job train: tags: {said}")
    assert reason.endswith("hosts and their labels are: plain, big; gpu1, big, gpu")


def test_without_hosts_nothing_runs() -> None:
    assert "no host runs jobs" in misfit([], "train", [])


@pytest.mark.parametrize(
    ("slots", "memory", "most"),
    [(2, "2147483648", 4), (40, "2147483648", 9), (40, "max", 42), (1, "100000000", 1)],
)
def test_as_many_pipelines_are_under_way_as_memory_allows(
    slots: int, memory: str, most: int, tmp_path: Path
) -> None:
    (tmp_path / "max").write_text(f"{memory}\n")
    assert most_at_once(slots, [tmp_path / "max", tmp_path / "none"]) == most
