"""`python mqtt_counter.py PORT SECONDS`: publishes 1, 2, 3, … on the topic `count` with QoS 1.

One message each so many seconds. It connects again where the broker goes away, and publishes no number twice.
"""

import asyncio
import sys
from itertools import count

import aiomqtt


async def publish(port: int, seconds: float) -> None:
    numbers = count(1)
    while True:
        try:
            async with aiomqtt.Client("127.0.0.1", port, timeout=2) as client:
                while True:
                    await client.publish("count", str(next(numbers)), qos=1)
                    await asyncio.sleep(seconds)
        except aiomqtt.MqttError:
            await asyncio.sleep(0.2)


if __name__ == "__main__":
    asyncio.run(publish(int(sys.argv[1]), float(sys.argv[2])))
