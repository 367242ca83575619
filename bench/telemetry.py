"""Stands in for ThingsBoard's platform behind a broker: answers a gateway's question for its limits, without
which it sends nothing, and counts the values that it publishes. Run by the Python of the peer's virtualenv,
which has paho.

`python telemetry.py PORT` prints the number of values that have come so far, twice a second.
"""

import json
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion  # type: ignore[import-not-found, import-untyped, unused-ignore]

_TELEMETRY = "v1/gateway/telemetry"
_QUESTIONS = "v1/devices/me/rpc/request/"
_ANSWERS = "v1/devices/me/rpc/response/"
_LIMITS = {"rateLimits": {}, "gatewayRateLimits": {}, "maxInflightMessages": 100, "maxPayloadSize": 65_536}
_SECONDS = 0.5


def main() -> None:
    count = 0

    def came(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        nonlocal count
        document = json.loads(message.payload)
        if message.topic == _TELEMETRY:
            count += sum(len(entry["values"]) for entries in document.values() for entry in entries)
        elif document.get("method") == "getSessionLimits":
            client.publish(_ANSWERS + message.topic.removeprefix(_QUESTIONS), json.dumps(_LIMITS), 1)

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_message = came
    client.on_connect = _subscribe
    client.connect("127.0.0.1", int(sys.argv[1]))
    client.loop_start()
    pause = threading.Event()
    while not pause.wait(_SECONDS):
        print(count, flush=True)


def _subscribe(client: mqtt.Client, *_: object) -> None:
    client.subscribe([(_TELEMETRY, 1), (_QUESTIONS + "+", 1)])


if __name__ == "__main__":
    main()
