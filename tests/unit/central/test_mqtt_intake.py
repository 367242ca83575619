"""The queue between broker and workers: bounded by number and bytes, and fair."""

from central_sync.mqtt.intake import PER_DEVICE_BYTES, Intake


def taken(intake: Intake[str], count: int) -> list[str]:
    found = []
    for _ in range(count):
        entry = intake.take()
        assert entry is not None
        found.append(entry[1])
        intake.done(entry[0])
    return found


def test_devices_take_turns_however_much_one_of_them_sends() -> None:
    intake: Intake[str] = Intake(per_device=10)
    for number in range(10):
        assert intake.put("loud", f"loud {number}", 1) == ""
    assert intake.put("calm", "calm", 1) == ""
    assert taken(intake, 3) == ["loud 0", "calm", "loud 1"]


def test_one_device_fills_its_own_place_and_no_others() -> None:
    intake: Intake[str] = Intake(per_device=2)
    assert [intake.put("loud", "x", 1) for _ in range(4)] == ["", "", "flood", "flood"]
    assert intake.put("calm", "y", 1) == ""
    assert len(intake) == 3


def test_one_device_has_so_many_bytes_and_no_more() -> None:
    intake: Intake[str] = Intake()
    assert intake.put("loud", "x", PER_DEVICE_BYTES - 1) == ""
    assert intake.put("loud", "x", 2) == "flood"
    assert intake.put("loud", "x", 1) == ""


def test_what_is_held_in_all_is_bounded_and_given_free_again() -> None:
    intake: Intake[str] = Intake(max_bytes=100)
    assert intake.put("a", "x", 60) == ""
    assert intake.put("b", "y", 60) == "full"
    assert taken(intake, 1) == ["x"]
    assert intake.put("b", "y", 60) == ""


def test_of_one_device_a_few_are_in_hand_and_the_others_wait() -> None:
    intake: Intake[str] = Intake(in_hand=2)
    for number in range(4):
        intake.put("loud", f"loud {number}", 1)
    assert [intake.take(), intake.take(), intake.take()] == [("loud", "loud 0"), ("loud", "loud 1"), None]
    intake.put("calm", "calm", 1)
    assert intake.take() == ("calm", "calm")
    intake.done("loud")
    assert intake.take() == ("loud", "loud 2")
    assert intake.take() is None


def test_what_comes_while_a_device_has_enough_in_hand_waits_too() -> None:
    intake: Intake[str] = Intake(in_hand=1)
    intake.put("a", "first", 1)
    assert intake.take() == ("a", "first")
    intake.put("a", "second", 1)
    assert intake.take() is None
    intake.done("a")
    assert intake.take() == ("a", "second")


def test_nothing_is_kept_of_a_device_that_has_nothing_left() -> None:
    intake: Intake[str] = Intake()
    intake.put("a", "x", 5)
    taken(intake, 1)
    assert (len(intake), intake.take(), intake._in_hand, intake._stopped, intake._bytes) == (
        0,
        None,
        {},
        {},
        0,
    )
