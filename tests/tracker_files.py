"""What trackers wrote, read back with their own libraries: the same values, whichever it was."""

import json
import os
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before MLflow is imported

from mlflow.tracking import MlflowClient
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.metadata import (
    SESSION_START_INFO_TAG,
    parse_session_start_info_plugin_data,
)
from tensorboard.util.tensor_util import make_ndarray
from wandb.proto.wandb_internal_pb2 import Record


@dataclass
class Run:
    """One run: what it began with, its curves as (step, value), what it ended with, its files."""

    parameters: dict = field(default_factory=dict)
    curves: dict = field(default_factory=dict)
    said: dict = field(default_factory=dict)
    files: dict = field(default_factory=dict)
    times: tuple = ()  # of each epoch, in seconds since 1970, where the tracker lets us say it
    group: str | None = None
    ended_well: bool | None = None


def tensorboard_runs(place):
    return {path.name: tensorboard_run(path) for path in place.iterdir()}


def tensorboard_run(folder):
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    events.Reload()
    run = Run()
    for tag in events.Tags()["tensors"]:
        plugin = events.SummaryMetadata(tag).plugin_data
        found = [(each.step, make_ndarray(each.tensor_proto)) for each in events.Tensors(tag)]
        if plugin.plugin_name == "scalars":
            run.curves[tag] = [(step, float(value)) for step, value in found]
            if tag == "test_accuracy_percent":
                run.times = tuple(each.wall_time for each in events.Tensors(tag))
        elif plugin.plugin_name == "text":
            run.said[tag] = found[-1][1].item().decode()
        elif tag == SESSION_START_INFO_TAG:
            start = parse_session_start_info_plugin_data(plugin.content)
            values = {name: getattr(value, value.WhichOneof("kind"))
                      for name, value in start.hparams.items()}  # fmt: skip
            run.said |= {name: values.pop(name) for name in ("status", "reason")}
            run.parameters = values
    return run


def mlflow_runs(place):
    client = MlflowClient(f"sqlite:///{place / 'mlflow.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name != "Default"]
    found = client.search_runs([experiment.experiment_id])
    runs = {run.data.tags["normscope.trial"]: mlflow_run(client, run) for run in found}
    assert len(runs) == len(found)
    for run in runs.values():
        run.group = experiment.name
    return runs


def mlflow_run(client, run):
    histories = {
        name: client.get_metric_history(run.info.run_id, name) for name in run.data.metrics
    }
    ends = {"normscope.status": "status", "normscope.reason": "reason"}
    folder = Path(run.info.artifact_uri.removeprefix("file://"))
    accuracy = histories.get("test_accuracy_percent", [])
    return Run(
        parameters=run.data.params,
        curves={n: [(m.step, m.value) for m in found] for n, found in histories.items()},
        said={ends.get(name, name): text for name, text in run.data.tags.items()},
        files={f.path: (folder / f.path).read_bytes()
               for f in client.list_artifacts(run.info.run_id)},
        times=tuple(metric.timestamp / 1000 for metric in accuracy),
        ended_well={"FINISHED": True}.get(run.info.status, False),
    )  # fmt: skip


def wandb_runs(place):
    """Runs by the name that people see; what the same run wrote later is added to it."""
    runs = {}
    for path in sorted(place.glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime):
        records = whole(path)
        (head,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
        assert head.run_id == path.stem.removeprefix("run-")
        run = runs.setdefault(head.display_name, Run(group=head.run_group))
        for record in records:
            read_wandb_record(record, run)
    return runs


def read_wandb_record(record, run):
    for item in (*record.run.config.update, *record.config.update):
        run.parameters[item.key or ".".join(item.nested_key)] = json.loads(item.value_json)
    row = {(item.key or ".".join(item.nested_key)): json.loads(item.value_json)
           for item in record.history.item}  # fmt: skip
    for name, value in row.items():
        if not name.startswith("_") and name != "epoch":
            curve = dict(run.curves.get(name, ()))
            assert curve.get(row["epoch"], value) == value  # where a trial went on, in another file
            run.curves[name] = [*{**curve, row["epoch"]: value}.items()]
    for item in record.summary.update:
        run.said[".".join([item.key, *item.nested_key]).strip(".")] = json.loads(item.value_json)
    if record.WhichOneof("record_type") == "exit":
        run.ended_well = record.exit.exit_code == 0
    for entry in record.artifact.manifest.contents:
        run.files[entry.path] = Path(entry.local_path).read_bytes()


def whole(path):
    """The messages of a run that has ended, of which W&B's own process writes the last later."""
    deadline = time.monotonic() + 30
    while True:
        records = wandb_records(path)
        if any(record.WhichOneof("record_type") == "exit" for record in records):
            return records
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def wandb_records(path):
    """The messages of a file of W&B: a head of 7 bytes, then the format of LevelDB's log.

    Source: https://github.com/google/leveldb/blob/main/doc/log_format.md: blocks of 32 KiB hold
    records with a check sum (4 bytes), a length (2) and a kind (1: whole, 2: first, 3: middle,
    4: last); less than 7 bytes at the end of a block are empty.
    """
    content, place, message, records = path.read_bytes(), 7, b"", []
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:
            place += 32768 - place % 32768
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        message += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            records.append(Record.FromString(message))
            message = b""
    return records


RUNS = {"tensorboard": tensorboard_runs, "mlflow": mlflow_runs, "wandb": wandb_runs}
