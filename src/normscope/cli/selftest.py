"""The command `normscope selftest`: whether the installation works on this machine."""

from normscope.cli.options import Debug, errors_in_one_line, say_that_it_starts
from normscope.errors import RunError
from normscope.words import counted


def selftest(debug: Debug = False) -> None:
    """Check that training, results and report work on this machine; half a minute, no data needed.

    Ends with 0 if all is well, and with 3 if not.
    """
    with errors_in_one_line(debug):
        say_that_it_starts(as_json=False)
        from normscope.cli.show import tell
        from normscope.study.selftest import selftest as check

        wrong = 0
        for outcome in check():
            mark, found = ("ok    ", "") if outcome.holds else ("FAILED", f": {outcome.wrong}")
            tell(f"{mark}  {outcome.seconds:4.1f} s  {outcome.name}{found}")
            wrong += not outcome.holds
        if wrong:
            raise RunError(
                f"{counted(wrong, 'check')} failed; tell us, with what `normscope doctor` shows"
            )
