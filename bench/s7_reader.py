"""The bare library that stands beside the S7 driver: python-snap7's client reads the same bytes, at the same
rhythm, and throws them away. One thread for each connection, as the library wants it.

`python -m bench.s7_reader PORT… --bytes 10000 --interval 1 --seconds 10` prints one JSON object with its own
CPU time in windows. Without --interval each connection reads as fast as it can, and `cost` is what counts:
microseconds of CPU a read.
"""

import argparse
import threading
import time
from typing import Final

import orjson
from snap7.client import Client

from bench.figure import WINDOWS

_BLOCK: Final = 1


class Reader(threading.Thread):
    """One connection. reads: how many were whole."""

    def __init__(self, port: int, nbytes: int, interval: float, offset: float) -> None:
        super().__init__(daemon=True)
        self.reads = 0
        self.stopped = False
        self._port, self._bytes, self._interval, self._offset = port, nbytes, interval, offset

    def run(self) -> None:
        client = Client()
        client.connect("127.0.0.1", 0, 1, self._port)
        due = time.monotonic() + self._offset
        while not self.stopped:
            if self._interval:
                time.sleep(max(0.0, due - time.monotonic()))
                due += self._interval
            assert len(client.db_read(_BLOCK, 0, self._bytes)) == self._bytes
            self.reads += 1
        client.disconnect()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("ports", type=int, nargs="+")
    parser.add_argument("--bytes", type=int, required=True)
    parser.add_argument("--interval", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, required=True)
    args = parser.parse_args()
    readers = [
        Reader(port, args.bytes, args.interval, args.interval * index / len(args.ports))
        for index, port in enumerate(args.ports)
    ]
    for reader in readers:
        reader.start()
    time.sleep(1 + args.interval)
    cpu, rate, cost = [], [], []
    for _ in range(WINDOWS):
        begin, spent, reads = time.monotonic(), time.process_time(), sum(reader.reads for reader in readers)
        time.sleep(args.seconds / WINDOWS)
        took, used = time.monotonic() - begin, time.process_time() - spent
        done = sum(reader.reads for reader in readers) - reads
        cpu.append(100 * used / took)
        rate.append(done / took)
        cost.append(1e6 * used / done if done else 0.0)
    for reader in readers:
        reader.stopped = True
    print(orjson.dumps({"cpu": cpu, "reads": rate, "cost": cost}).decode())


if __name__ == "__main__":
    main()
