"""What docs/cluster.md tells users to write: the script for Slurm, the manifest for Kubernetes."""

import os
import re
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

import normscope

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"


def block_with(words):
    """The one piece of code of the page that has these words in it."""
    blocks = re.findall(r"(?:^(?: {4}.*)?\n)+", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    (found,) = [block for block in blocks if words in block]
    return dedent(found).strip() + "\n"


# -- Slurm -----------------------------------------------------------------------------------------

NODES = ["n1", "n2", "n3", "n4"]
STAND_INS = {
    "scontrol": '[ "$*" = "show hostnames n[1-4]" ] && printf "%s\\n" n1 n2 n3 n4',
    # The command, once for each task; the node is the one of -w for the only task that has it.
    "srun": """
tasks=1
while [ "${1#-}" != "$1" ]; do
    case "$1" in
        --ntasks=*) tasks=${1#--ntasks=};;
        --nodes=*) ;;
        -w) node=$2; shift;;
        *) exit 9;;
    esac
    shift
done
for task in $(seq "$tasks"); do NODE=${node:-n$task} "$@"; done
""",
    "hostname": '[ "$NODE" = n1 ] && echo "10.0.0.1 fe80::1"',
    "ray": 'printf "%s\\n" "$NODE $RAY_AUTH_MODE $RAY_AUTH_TOKEN" "$@" > "$NOTES/$NODE"',
}


@pytest.fixture
def slurm(tmp_path):
    """The environment of a job on four nodes, with stand-ins for the programs that it calls."""
    (programs := tmp_path / "bin").mkdir()
    for name, text in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    (home := tmp_path / "home" / "ns" / "bin").mkdir(parents=True)
    (home / "activate").touch()
    (notes := tmp_path / "notes").mkdir()
    return {
        **os.environ,
        "HOME": str(tmp_path / "home"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "NOTES": str(notes),
        "SLURM_JOB_ID": "1234567",
        "SLURM_JOB_NODELIST": "n[1-4]",
        "SLURM_JOB_NUM_NODES": "4",
        "SLURM_CPUS_PER_TASK": "16",
    }


def test_the_script_for_slurm_starts_one_ray_and_one_command_on_all_nodes(slurm, tmp_path):
    script = tmp_path / "job.sh"
    script.write_text(block_with("#SBATCH"), encoding="utf-8")
    subprocess.run(["bash", "-n", script], check=True)
    subprocess.run(["bash", script], env=slurm, check=True)
    told = {note.name: note.read_text().splitlines() for note in (tmp_path / "notes").iterdir()}
    assert sorted(told) == NODES
    (tokens,) = {line.split(maxsplit=1)[1] for line, *_ in told.values()}
    assert re.fullmatch("token [0-9a-f]{64}", tokens)
    (words,) = {tuple(words) for _, *words in told.values()}  # the same on each
    start, command = words[: words.index("--")], words[words.index("--") + 1 :]
    assert start == (
        "symmetric-run", "--address", "10.0.0.1:24567", "--min-nodes", "4", "--num-cpus=16",
        "--include-dashboard=false",
    )  # fmt: skip
    assert command[:2] == ("normscope", "compare")
    assert command[command.index("--address") + 1] == "10.0.0.1:24567"
    assert command[command.index("--out") + 1] == f"{tmp_path}/home/runs/ten-seeds"


def test_the_command_of_the_script_for_slurm_is_one_that_normscope_takes(slurm, monkeypatch):
    taken = {}

    def noting(experiment, **options):
        taken.update(options)
        raise normscope.UsageError("enough")

    monkeypatch.setattr("normscope.study.checks.check", noting)
    script = block_with("#SBATCH").replace("\\\n", " ")
    (line,) = [line for line in script.splitlines() if "ray symmetric-run" in line]
    words = line.partition(" -- ")[2].split()
    words = [word.strip('"').replace("$address:$port", "10.0.0.1:24567") for word in words]
    monkeypatch.setattr("sys.argv", words)
    from normscope.cli import main

    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert taken["executor"] == normscope.OnRay("10.0.0.1:24567")


# -- Kubernetes ------------------------------------------------------------------------------------

# The fields of a RayCluster, ray.io/v1, by KubeRay 1.5: those of its reference that are not of
# Kubernetes itself.
CLUSTER = {
    "authOptions", "autoscalerOptions", "enableInTreeAutoscaling", "gcsFaultToleranceOptions",
    "headGroupSpec", "headServiceAnnotations", "managedBy", "rayVersion", "suspend",
    "upgradeStrategy", "workerGroupSpecs",
}  # fmt: skip
GROUP = {"labels", "rayStartParams", "resources", "template"}
HEAD = GROUP | {"enableIngress", "headService", "serviceType"}
WORKERS = GROUP | {
    "groupName", "idleTimeoutSeconds", "maxReplicas", "minReplicas", "numOfHosts", "replicas",
    "scaleStrategy", "suspend",
}  # fmt: skip


@pytest.fixture
def manifest():
    """The documents of the manifest, by their kind."""
    yaml = pytest.importorskip("yaml")
    return {each["kind"]: each for each in yaml.safe_load_all(block_with("kind: RayCluster"))}


def test_the_manifest_has_fields_that_kuberay_knows(manifest):
    assert list(manifest) == ["PersistentVolumeClaim", "RayCluster"]
    cluster = manifest["RayCluster"]
    assert cluster["apiVersion"] == "ray.io/v1"
    spec = cluster["spec"]
    assert set(spec) <= CLUSTER
    assert set(spec["headGroupSpec"]) <= HEAD
    (workers,) = spec["workerGroupSpecs"]
    assert set(workers) <= WORKERS
    assert workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    for group in (spec["headGroupSpec"], workers):
        params = group["rayStartParams"].values()
        assert all(isinstance(value, str) for value in params)  # others KubeRay refuses


def test_the_manifest_asks_for_a_token_one_version_of_ray_and_a_volume_that_there_is(manifest):
    spec = manifest["RayCluster"]["spec"]
    assert spec["authOptions"] == {"mode": "token"}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    images = {container["image"] for pod in pods for container in pod["containers"]}
    assert images == {f"registry.example.org/normscope:{spec['rayVersion']}"}
    image = block_with("FROM rayproject")
    assert f"rayproject/ray:{spec['rayVersion']}-py311" in image
    assert f"ray=={spec['rayVersion']}" in image
    (volume,), (container,) = pods[0]["volumes"], pods[0]["containers"]
    (mount,) = container["volumeMounts"]
    assert mount["name"] == volume["name"]
    claim = manifest["PersistentVolumeClaim"]["metadata"]["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim
    assert f"--out {mount['mountPath']}/" in PAGE.read_text(encoding="utf-8")


def test_a_worker_of_the_manifest_has_room_for_a_trial(manifest):
    """Ray takes the number of CPUs from the limits; none is on the head, where nothing trains."""
    spec = manifest["RayCluster"]["spec"]
    (workers,) = spec["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert float(container["resources"]["limits"]["cpu"]) >= normscope.OnRay().cpus_per_trial
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
