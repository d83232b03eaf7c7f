"""``python -m normscope``: the same as the command `normscope`."""

from normscope.cli import main

main()
