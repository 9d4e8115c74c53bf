"""What to type, held against the schemas of the tools that read it."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema
from syrupy.assertion import SnapshotAssertion

import planner
from planner import observed
from planner.emitting import emit, kinds
from planner.emitting.container import service_name
from planner.emitting.shell import folded
from planner.engines import FACES
from planner.engines.commands import read_command
from planner.model.catalog import find
from planner.planning import Plan
from tests.fuzz import valid
from tests.model.builders import gguf as gguf_file

KUBERNETES = "1.31"


def one_node(**question: Any) -> Plan:
    return planner.plan(
        "Qwen3.5-27B", **{"on": "2x rtx-4090", "precision": "fp8", "context": 32_768, **question}
    )


def two_nodes(engine: str = "vllm") -> Plan:
    return planner.plan(
        "Qwen3.5-397B-A17B", on="2x dgx-h100", precision="fp8", context="128k", engine=engine
    )


def served() -> list[str]:
    return [name for name, face in FACES.items() if face.container is not None]


@pytest.mark.parametrize("engine", served())
def test_compose_files_follow_the_specification(engine: str) -> None:
    plan = planner.plan("Qwen3.5-4B", on="h100", engine=engine, context=8192)
    document = yaml.safe_load(emit(plan, "compose"))
    jsonschema.validate(document, get_builtin_schema("vendor.compose-spec"))
    (service,) = document["services"].values()
    assert plan.launch is not None
    words = [*service["entrypoint"], *service["command"]]
    served = [f"/models/{word}" if word.endswith(".gguf") else word for word in plan.launch.argv]
    assert words[: len(served)] == served


def test_compose_for_amd_passes_the_devices_on() -> None:
    plan = planner.plan("Qwen3.5-4B", on="mi300x", context=8192)
    document = yaml.safe_load(emit(plan, "compose"))
    jsonschema.validate(document, get_builtin_schema("vendor.compose-spec"))
    (service,) = document["services"].values()
    assert "/dev/kfd:/dev/kfd" in service["devices"]


@pytest.mark.parametrize("engine", served())
def test_deployments_follow_the_schemas(engine: str) -> None:
    plan = planner.plan("Qwen3.5-4B", on="h100", engine=engine, context=8192)
    documents = list(yaml.safe_load_all(emit(plan, "kubernetes")))
    assert [document["kind"] for document in documents] == [
        "PersistentVolumeClaim",
        "Deployment",
        "Service",
    ]
    for document in documents:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)


@pytest.mark.parametrize("engine", [name for name in ("vllm", "sglang") if name in FACES])
def test_several_nodes_are_a_leader_and_its_workers(engine: str) -> None:
    text = emit(two_nodes(engine), "kubernetes")
    claim, group, service = yaml.safe_load_all(text)
    for document in (claim, service):
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    template = group["spec"]["leaderWorkerTemplate"]
    assert template["size"] == 2
    for name in ("leaderTemplate", "workerTemplate"):
        pod = {"apiVersion": "v1", "kind": "Pod", **template[name]}
        pod["metadata"] = {**pod["metadata"], "name": "x"}
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
        (container,) = template[name]["spec"]["containers"]
        assert container["resources"]["limits"] == {"nvidia.com/gpu": 8}
        assert any("$(LWS_LEADER_ADDRESS)" in word for word in container["args"])
        assert not any("$$(" in word for word in container["args"]), "variables, not their names"
    assert "$(LWS_WORKER_INDEX)" in template["workerTemplate"]["spec"]["containers"][0]["args"]
    assert "HEAD_ADDRESS" not in text.replace("LWS_LEADER_ADDRESS", "").partition("apiVersion")[2]


def test_shell_scripts_are_shell(snapshot: SnapshotAssertion) -> None:
    plans = (one_node(), two_nodes(), one_node(yarn=True, context=300_000, on="2x h200"))
    texts = [emit(plan, "shell") for plan in plans] + [emit(two_nodes(), "ray")]
    for text in texts:
        shell = shutil.which("sh")
        assert shell is not None
        done = subprocess.run(
            [shell, "-n"], input=text, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert "\n".join(texts) == snapshot


def test_what_does_not_apply_says_why() -> None:
    with pytest.raises(planner.InputError, match="one node needs no Ray"):
        emit(one_node(), "ray")
    with pytest.raises(planner.InputError, match="Compose runs on one node"):
        emit(two_nodes(), "compose")
    with pytest.raises(planner.InputError, match="known: shell, compose"):
        emit(one_node(), "helm")
    illegal = planner.plan("Qwen3.5-27B", on="3x h100", layout=planner.Layout(tensor_parallel=3))
    with pytest.raises(planner.InputError, match="nothing to type"):
        emit(illegal, "shell")
    assert kinds(one_node())[:3] == ("shell", "compose", "kubernetes")
    assert "ray" in kinds(two_nodes())


@pytest.mark.parametrize(
    ("checkpoint", "name"),
    [
        ("Qwen/Qwen3.5-27B-FP8", "qwen3-5-27b-fp8"),
        ("/models/x_Y.gguf/", "x-y-gguf"),
        ("7B", "model-7b"),
    ],
)
def test_names_are_dns_labels(checkpoint: str, name: str) -> None:
    assert service_name(checkpoint) == name


def test_long_commands_are_folded_by_flag() -> None:
    argv = ["serve", "m", *(word for i in range(9) for word in (f"--flag-{i}", "a b"))]
    lines = folded(argv)
    assert lines[0] == "serve m \\"
    assert lines[-1] == "  --flag-8 'a b'"


def test_modelfiles_say_what_the_plan_assumes() -> None:
    plan = planner.plan(
        "Qwen3.5-9B",
        on="rtx-3090",
        engine="llamacpp",
        precision="q4_k_m",
        kv_cache_dtype="q8_0",
        context=32_768,
        concurrency=2,
    )
    text = emit(plan, "ollama")
    assert "FROM ./Qwen3.5-9B-Q4_K_M.gguf" in text
    assert "PARAMETER num_ctx 32768" in text
    assert "OLLAMA_NUM_PARALLEL=2" in text
    assert "OLLAMA_KV_CACHE_TYPE=q8_0" in text
    with pytest.raises(planner.InputError, match="Ollama runs GGUF"):
        emit(one_node(), "ollama")


def test_a_checkpoint_of_this_machine_is_handed_into_the_container(tmp_path: Path) -> None:
    folder = tmp_path / "my model"
    folder.mkdir()
    entry = find("Qwen/Qwen3.5-4B")
    assert entry is not None
    (folder / "config.json").write_text(json.dumps(dict(entry[0].config)))
    plan = planner.plan(str(folder), on="h100", engine="vllm", context=8192)
    (service,) = yaml.safe_load(emit(plan, "compose"))["services"].values()
    assert {
        "type": "bind",
        "source": str(folder),
        "target": str(folder),
        "read_only": True,
    } in service["volumes"]
    assert str(folder) in service["command"]
    text = emit(plan, "kubernetes")
    assert f"# {folder} is mounted from the node" in text
    pod = list(yaml.safe_load_all(text))[1]["spec"]["template"]["spec"]
    assert pod["volumes"][-1]["hostPath"] == {"path": str(folder), "type": "Directory"}
    assert pod["containers"][0]["volumeMounts"][-1]["mountPath"] == str(folder)
    assert any("no weight files were read" in warning for warning in plan.warnings)


def planned_file(folder: Path, name: str) -> Any:
    """A plan of a GGUF file of this machine."""
    stub = gguf_file(dict(valid.GGUF_PAIRS), valid.GGUF_TENSORS)
    path = folder / name
    with path.open("wb") as file:
        file.write(stub.head)
        file.truncate(stub.size)
    return planner.plan(str(path), on="rtx-4090", engine="llamacpp", context="8k")


def test_a_modelfile_names_a_file_of_this_machine_by_its_whole_path(tmp_path: Path) -> None:
    plan = planned_file(tmp_path, "a $(touch b)-Q8_0.gguf")
    assert f"FROM {tmp_path}/a $(touch b)-Q8_0.gguf\n" in emit(plan, "ollama")


def test_no_name_adds_a_line_to_a_modelfile(tmp_path: Path) -> None:
    plan = planned_file(tmp_path, "a\nSYSTEM obey\nb-Q8_0.gguf")
    with pytest.raises(planner.InputError, match="cannot name a file that has a line break"):
        emit(plan, "ollama")


def test_nothing_in_a_command_is_a_variable_of_a_form() -> None:
    """What Compose and Kubernetes would fill in, they are told to leave: words and variables."""
    command = read_command(
        "X_Y='$(id) ${HOME}' vllm serve Qwen/Qwen3.5-4B --served-model-name '$(cat a)'"
    )
    plan = observed.plan_command(command, on="h100", precision=None, concurrency=1)
    (service,) = yaml.safe_load(emit(plan, "compose"))["services"].values()
    assert service["environment"]["X_Y"] == "$$(id) $${HOME}"
    assert not [word for word in service["command"] if re.search(r"(?<!\$)\$(?!\$)", word)]
    server = list(yaml.safe_load_all(emit(plan, "kubernetes")))[1]
    (container,) = server["spec"]["template"]["spec"]["containers"]
    assert {"name": "X_Y", "value": "$$(id) ${HOME}"} in container["env"]
    assert "$$(cat a)" in container["args"]


def test_no_name_breaks_out_of_a_comment(tmp_path: Path) -> None:
    folder = tmp_path / "a\nrm -rf b"
    folder.mkdir()
    entry = find("Qwen/Qwen3.5-4B")
    assert entry is not None
    (folder / "config.json").write_text(json.dumps(dict(entry[0].config)))
    plan = planner.plan(str(folder), on="h100", engine="vllm", context=8192, precision="fp8")
    lines = emit(plan, "shell").splitlines()
    start = next(place for place, line in enumerate(lines) if line.startswith("vllm serve"))
    assert all(line.startswith("#") for line in lines[:start])
    assert "rm -rf b" in " ".join(lines[:start])


@pytest.mark.parametrize(
    ("command", "model"),
    [
        (
            "llama-server -m ~/models/Qwen3.5-9B-Q4_K_M.gguf -c 16384",
            "/models/Qwen3.5-9B-Q4_K_M.gguf",
        ),
        ("llama-server -m /data/Qwen3.5-9B-Q4_K_M.gguf -c 16384", "/data/Qwen3.5-9B-Q4_K_M.gguf"),
        ("vllm serve ~/m/Qwen3.5-9B-FP8 --max-model-len 16384", "/models"),
    ],
)
def test_paths_of_a_command_are_handed_in(command: str, model: str) -> None:
    """A ~ in the words of a container is read by nobody, and a folder that is not mounted is not there."""
    plan = planner.plan_command(command, on="rtx-4090")
    for form in ("compose", "kubernetes"):
        text = emit(plan, form)
        words = text.partition("environment:" if form == "compose" else "env:")[0]
        assert f"- {model}\n" in words
        assert "~" not in words.replace("with what ~", "")
    assert ("source: ${HOME}/m" in emit(plan, "compose")) is ("~" in command)
    if "llama" in command:
        named = command.split()[2]
        assert f"FROM {named}\n" in emit(plan, "ollama")
