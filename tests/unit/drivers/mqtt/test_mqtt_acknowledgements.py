"""When a broker may be told: MQTT 5.0, 4.6, and never before what it sent is in frames."""

from edge_agent.drivers.mqtt.acknowledgements import Acknowledgements


def test_a_message_is_acknowledged_once_all_that_hold_it_have_it_in_frames() -> None:
    made = Acknowledgements()
    made.came(7, ["a", "b"])
    made.handed("a")
    made.taken("a")
    assert made.due() == []
    made.handed("b")
    assert made.due() == []
    made.taken("b")
    assert made.due() == [7]
    assert made.due() == []


def test_what_came_after_the_reading_waits_for_the_next() -> None:
    made = Acknowledgements()
    made.came(1, ["a"])
    made.handed("a")
    made.came(2, ["a"])
    made.taken("a")
    assert made.due() == [1]
    made.handed("a")
    made.taken("a")
    assert made.due() == [2]


def test_a_reading_that_never_became_frames_goes_with_the_next() -> None:
    made = Acknowledgements()
    made.came(1, ["a"])
    made.handed("a")
    made.came(2, ["a"])
    made.handed("a")
    assert made.due() == []
    made.taken("a")
    assert made.due() == [1, 2]


def test_the_order_is_that_of_the_messages() -> None:
    made = Acknowledgements()
    made.came(1, ["slow"])
    made.came(2, ["fast"])
    made.came(3, [])
    made.handed("fast")
    made.taken("fast")
    assert made.due() == []
    made.handed("slow")
    made.taken("slow")
    assert made.due() == [1, 2, 3]


def test_what_is_held_for_groups_to_come_goes_over_to_them() -> None:
    made = Acknowledgements()
    made.came(1, ["held"])
    made.moved("held", "a")
    made.dropped("held")
    assert made.due() == []
    made.handed("a")
    made.taken("a")
    assert made.due() == [1]


def test_it_presses_before_a_broker_of_twenty_on_the_way_waits() -> None:
    made = Acknowledgements()
    for mid in range(1, 20):
        made.came(mid, ["a"])
    assert made.is_pressing
    made.handed("a")
    made.taken("a")
    assert made.due() == list(range(1, 20))
    assert not made.is_pressing
