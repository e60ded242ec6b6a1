"""The command line, from its first moment on; `program` holds the commands."""

# Nothing heavy is imported here: until `main` runs, Ctrl-C ends Python with a traceback.
import os
import signal
import sys

INTERRUPTED = 130
NOTICE = "interrupted"


def main() -> None:
    """Run the command line, and exit. Ctrl-C ends it with code 130 and without a traceback.

    While Python shuts down, where it would print one, Ctrl-C is left to the system.
    """
    heard = signal.getsignal(signal.SIGINT)
    is_heard = heard is signal.default_int_handler  # not where it is ignored, as of a job in the background
    if is_heard:
        signal.signal(signal.SIGINT, _leave_at_once)
    from yolox_deploy.cli.program import run

    try:
        signal.signal(signal.SIGINT, heard)
        run()
    except KeyboardInterrupt:
        print(NOTICE, file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        if is_heard:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _leave_at_once(_number: int, _frame: object) -> None:
    """For while modules are loaded: nothing has begun, and an exception in the middle of them may be lost."""
    os.write(2, f"{NOTICE}\n".encode())
    os._exit(INTERRUPTED)
