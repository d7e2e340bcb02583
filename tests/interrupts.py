"""Ctrl-C for a test's children, whatever started the tests."""

import signal


def hears_ctrl_c() -> None:
    """For `preexec_fn`: a shell starts what runs in its background with Ctrl-C ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
