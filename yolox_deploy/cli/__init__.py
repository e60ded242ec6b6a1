"""The command line, from its first moment on; `program` holds the commands."""

# Nothing heavy is imported here: until `main` runs, Ctrl-C ends Python with a traceback.
import os
import signal
import sys

INTERRUPTED = 130
NOTICE = "interrupted"


def main() -> None:
    """Run the command line, and exit. Ctrl-C ends it with code 130 and without a traceback."""
    heard = signal.getsignal(signal.SIGINT)
    if heard is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave_at_once)
    from yolox_deploy.cli.program import run

    try:
        signal.signal(signal.SIGINT, heard)
        run()
    except KeyboardInterrupt:
        print(NOTICE, file=sys.stderr)
        sys.exit(INTERRUPTED)


def _leave_at_once(_number: int, _frame: object) -> None:
    """For while modules are loaded: nothing has begun, and an exception in the middle of them may be lost."""
    os.write(2, f"{NOTICE}\n".encode())
    os._exit(INTERRUPTED)
