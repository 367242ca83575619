"""Opens and sets up a serial port, and names what is wrong with it in words that help."""

import asyncio
import contextlib
import errno
import fcntl
import termios
from pathlib import Path
from typing import Any

from edge_agent.contracts.errors import NotConnected
from edge_agent.drivers.modbus.transports import Parity, SerialTransport


async def open_port(settings: SerialTransport) -> Any:
    """A `serial.Serial` whose descriptor does not block and which nobody else may use.

    Raises NotConnected with the reason. Opening may wait for a USB adapter, so a thread does it.
    """
    loop = asyncio.get_running_loop()
    opening = loop.run_in_executor(None, _open, settings)
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_unwanted)
        raise


def close_port(port: Any) -> None:
    """Gives the port back to others; may be gone already."""
    with contextlib.suppress(OSError):
        fcntl.ioctl(port.fd, termios.TIOCNXCL)
    with contextlib.suppress(OSError):
        port.close()


def _close_unwanted(opening: "asyncio.Future[Any]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        close_port(opening.result())


def _open(settings: SerialTransport) -> Any:
    import serial  # type: ignore[import-untyped]
    from serial.rs485 import RS485Settings  # type: ignore[import-untyped]

    parity = {
        Parity.NONE: serial.PARITY_NONE, Parity.EVEN: serial.PARITY_EVEN, Parity.ODD: serial.PARITY_ODD,
    }[settings.parity]  # fmt: skip
    if Path(settings.port).resolve().is_relative_to("/dev/pts"):
        parity = serial.PARITY_NONE  # a pseudo-terminal has no parity bit, and glibc fails to set one
    port = None
    try:
        port = serial.Serial(
            settings.port, settings.baud, bytesize=settings.data_bits, parity=parity,
            stopbits=settings.stop_bits_used, timeout=0, write_timeout=0, exclusive=True,
        )  # fmt: skip
        # The lock is among those who ask for it; this one keeps out everybody but root.
        fcntl.ioctl(port.fd, termios.TIOCEXCL)
        if settings.rs485:
            port.rs485_mode = RS485Settings()
        _tell_nothing_from_the_end(port.fd)
    except (serial.SerialException, OSError, ValueError, termios.error) as error:
        if port is not None:
            close_port(port)
        raise NotConnected(f"cannot open {settings.port}: {_reason(error, settings)}") from error
    return port


def _tell_nothing_from_the_end(descriptor: int) -> None:
    """A read where nothing has come is to fail, so that an empty one means that the port is gone."""
    attributes = termios.tcgetattr(descriptor)
    attributes[6][termios.VMIN] = 1
    termios.tcsetattr(descriptor, termios.TCSANOW, attributes)


def _reason(error: Exception, settings: SerialTransport) -> str:
    number = getattr(error, "errno", None)
    if number is None and isinstance(error.__context__, termios.error):
        number = error.__context__.args[0]  # pyserial tells it in its text alone
    if number in (errno.EAGAIN, errno.EBUSY):
        return "another process or connection uses it"
    if number == errno.ENOENT:
        return "there is no such port: is the adapter plugged in?"
    if number in (errno.EACCES, errno.EPERM):
        return "no permission: the agent's user must be in the port's group, which is often dialout"
    if settings.rs485 and "RS485" in str(error):
        return "its driver knows no RS-485 mode: set rs485: false"
    if number in (errno.ENOTTY, errno.EINVAL):
        return f"it is no serial port, or does not take {settings.baud} baud with this parity"
    return str(error)
