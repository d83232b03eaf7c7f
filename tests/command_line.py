"""What the tests of commands share: a small experiment, and how an error looks."""

SMALL = ["--epochs", "1", "--train-limit", "192", "--test-limit", "100", "--norms", "bn,gn",
         "--workers", "1"]  # fmt: skip


def one_line(done, code):
    """The one message of a command that ended with `code`."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("normscope: ")
    return done.stderr
