"""`python -m tests.crash.other_boot FILE MODULE ARGUMENTS…`: runs a program as if the machine had booted.

In a mount namespace of its own FILE, with a boot id, lies over the kernel's. It becomes the program: the
process id stays. Needs root.
"""

import os
import sys
from typing import Final

BOOT_ID: Final = "/proc/sys/kernel/random/boot_id"
_SCRIPT: Final = 'mount --bind "$1" "$2" && shift 2 && exec "$@"'


def main() -> None:
    file, module, *arguments = sys.argv[1:]
    program = [sys.executable, "-m", module, *arguments]
    os.execvp("unshare", ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", file, BOOT_ID, *program])


if __name__ == "__main__":
    main()
