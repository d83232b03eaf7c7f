"""The long table of readings, on a few whose place is known."""

import numpy as np
from report_fakes import make_analysis

from normscope.analysis.probed import probe_table
from normscope.experiment import Probes, Series


def test_every_number_has_its_layer_and_all_its_positions():
    values = np.arange(2.0 * 2 * 2 * 3).reshape(2, 2, 2, 3)
    names = (("a", "b"), ("0", "1"), ("x", "y", "z"))
    gram = Series(np.array([0.0, 15.0]), values, ("norm", "image", "other image"), names)
    alone = Series(np.array([15.0]), np.array([7.5]))
    analysis = make_analysis(
        ("bn",), 1, probes=lambda trial: Probes({"similarity.gram": gram, "eval-gap.some": alone})
    )
    table = probe_table(analysis.all_results, analysis.probes)
    row = table[(table.epoch == 15) & (table.layer == "b") & (table.position == "1,y")]
    assert row.value.tolist() == [values[1, 1, 1, 1]]
    assert len(table) == values.size + 1
    (single,) = table[table.probe == "eval-gap"].itertuples()
    assert (single.measure, single.layer, single.position, single.value) == ("some", "", "", 7.5)
