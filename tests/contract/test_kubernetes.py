"""What infra/kubernetes renders: objects that Kubernetes takes, settings that OL0 takes, processes without rights."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from ol0.cli import app
from ol0.cli.services import OF_THE_STORE
from ol0.config import load_settings
from ol0.feedback.service import SOURCES
from ol0.observability.metrics import WATERMARK_AGE
from ol0.operator.setup.base_folder import BASE, SUITE
from ol0.supervisor.service_commands import SERVICES
from ol0.wire.topics import Topics

yaml = pytest.importorskip("yaml", reason="the extra `kubernetes` is not installed")
kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="the extra `kubernetes` is not installed")

Object = dict[str, Any]
ROOT: Final = Path(__file__).parents[2]
KUBERNETES: Final = ROOT / "infra" / "kubernetes"
FOLDERS: Final = ("base", "overlays/example")
OLDEST, NEWEST = "1.29", kubernetes_validate.latest_version()
OF_KEDA: Final = "ScaledObject"  # a resource of KEDA's: its schema is none of Kubernetes'
KUBECTL: Final = shutil.which("kubectl")


# Kustomize, as far as infra/kubernetes uses it. What it does not know, it refuses.

UNDERSTOOD: Final = {
    "apiVersion", "kind", "resources", "configMapGenerator", "components", "patches", "images", "namespace",
}  # fmt: skip
NAMED_BY: Final = {"containers": "name", "env": "name", "ports": "name", "volumeMounts": "mountPath", "volumes": "name"}


def render(folder: Path, objects: Sequence[Object] = ()) -> list[Object]:
    plan = read(folder / "kustomization.yaml")[0]
    assert plan.keys() <= UNDERSTOOD
    for entry in plan.get("resources", []):
        path = folder / entry
        objects = [*objects, *(render(path) if path.is_dir() else read(path))]
    for entry in plan.get("configMapGenerator", []):
        objects = with_config_map(folder, entry, objects)
    for entry in plan.get("components", []):
        objects = render(folder / entry, objects)
    for entry in plan.get("patches", []):
        objects = [patched(folder, entry, each) for each in objects]
    for each in objects:
        set_images(plan.get("images", []), each)
        set_namespace(plan.get("namespace"), each)
    return list(objects)


def read(path: Path) -> list[Object]:
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def with_config_map(folder: Path, entry: Object, objects: Sequence[Object]) -> list[Object]:
    """The map is made, or takes the place of one of its name. Its name gets no hash here."""
    assert entry.keys() <= {"name", "files", "behavior"}
    name, made = entry["name"], {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": entry["name"]}}
    others = [each for each in objects if (each["kind"], each["metadata"]["name"]) != ("ConfigMap", name)]
    assert (entry.get("behavior") == "replace") == (len(others) < len(objects))
    return [*others, made | {"data": {file: (folder / file).read_text(encoding="utf-8") for file in entry["files"]}}]


def patched(folder: Path, entry: Object, each: Object) -> Object:
    assert entry.keys() in ({"path", "target"}, {"patch", "target"})
    target = {"name": ".*", "kind": ".*"} | entry["target"]
    if not (re.fullmatch(target["kind"], each["kind"]) and re.fullmatch(target["name"], each["metadata"]["name"])):
        return each
    patch = read(folder / entry["path"])[0] if "path" in entry else yaml.safe_load(entry["patch"])
    del patch["metadata"]["name"]
    return merged(each, {key: value for key, value in patch.items() if key not in {"apiVersion", "kind"}})


def merged(old: Object, new: Object) -> Object:
    """Maps merge by key, and null takes a key out. Lists merge by the names of their elements, if these have any."""
    both = old | {key: merged_value(key, old.get(key), value) for key, value in new.items()}
    return {key: value for key, value in both.items() if value is not None}


def merged_value(key: str, old: object, new: object) -> object:
    if isinstance(new, dict):
        return merged(old if isinstance(old, dict) else {}, new)
    if isinstance(old, list) and isinstance(new, list) and key in NAMED_BY:
        return merged_list(NAMED_BY[key], old, new)
    return new


def merged_list(name: str, old: list[Object], new: list[Object]) -> list[Object]:
    before = {each[name]: each for each in old}
    first = [merged(before.pop(each[name], {}), each) for each in new]
    return [*first, *before.values()]


def set_images(images: Sequence[Object], each: Object) -> None:
    for container in containers(each):
        for image in images:
            if container["image"] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"


def set_namespace(namespace: str | None, each: Object) -> None:
    if namespace is not None and each["kind"] != "Namespace":
        each["metadata"]["namespace"] = namespace


@pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")
@pytest.mark.parametrize("folder", FOLDERS)
def test_the_reader_above_renders_what_kubectl_renders(folder: str) -> None:
    text = subprocess.check_output([str(KUBECTL), "kustomize", folder], cwd=KUBERNETES, text=True)
    expected = yaml.safe_load_all(re.sub(r"\bsettings-[a-z0-9]{10}\b", "settings", text))
    assert named(render(KUBERNETES / folder)) == named(expected)


# What is in the objects.


def named(objects: Iterator[Object] | Sequence[Object]) -> dict[str, Object]:
    pairs = [(f"{each['kind']}/{each['metadata']['name']}", each) for each in objects]
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def containers(each: Object) -> list[Object]:
    return list(pod_of(each)["containers"]) if each["kind"] in {"Deployment", "Job"} else []


def pod_of(each: Object) -> Object:
    pod: Object = each["spec"]["template"]["spec"]
    return pod


@pytest.fixture(params=FOLDERS)
def objects(request: pytest.FixtureRequest) -> dict[str, Object]:
    return named(render(KUBERNETES / request.param))


@pytest.fixture
def settings_file(objects: Mapping[str, Object], tmp_path: Path) -> Path:
    path = tmp_path / "ol0.toml"
    path.write_text(objects["ConfigMap/settings"]["data"]["ol0.toml"], encoding="utf-8")
    return path


@pytest.fixture
def deployments(objects: Mapping[str, Object]) -> dict[str, Object]:
    return {each["metadata"]["name"]: each for each in objects.values() if each["kind"] == "Deployment"}


@pytest.fixture
def processes(objects: Mapping[str, Object], deployments: Mapping[str, Object]) -> dict[str, Object]:
    """The services, and the Job that sets them up."""
    return {**deployments, "setup": objects["Job/setup"]}


def test_every_object_is_valid_in_the_oldest_and_in_the_newest_version(objects: Mapping[str, Object]) -> None:
    for each in objects.values():
        if each["kind"] != OF_KEDA:
            kubernetes_validate.validate(each, OLDEST, strict=True)
            kubernetes_validate.validate(each, NEWEST, strict=True)


def test_what_objects_refer_to_exists(objects: Mapping[str, Object], processes: Mapping[str, Object]) -> None:
    for process in processes.values():
        volumes = {volume["name"]: volume for volume in pod_of(process)["volumes"]}
        assert {mount["name"] for each in containers(process) for mount in each["volumeMounts"]} <= volumes.keys()
        assert f"ConfigMap/{volumes['settings']['configMap']['name']}" in objects
        assert f"PersistentVolumeClaim/{volumes['base']['persistentVolumeClaim']['claimName']}" in objects


def test_selectors_find_their_pods(objects: Mapping[str, Object], deployments: Mapping[str, Object]) -> None:
    for each in deployments.values():
        assert each["spec"]["selector"]["matchLabels"].items() <= labels_of(each).items()
    budget = objects["PodDisruptionBudget/feedback"]["spec"]["selector"]["matchLabels"]
    assert [name for name, each in deployments.items() if budget.items() <= labels_of(each).items()] == ["feedback"]


def labels_of(process: Object) -> dict[str, str]:
    return dict(process["spec"]["template"]["metadata"]["labels"])


def test_every_service_has_one_deployment_and_only_feedback_runs_several_times(
    deployments: Mapping[str, Object],
) -> None:
    assert sorted(deployments) == sorted(SERVICES)
    for name in set(SERVICES) - {"feedback"}:
        assert deployments[name]["spec"]["replicas"] == 1
        assert deployments[name]["spec"]["strategy"] == {"type": "Recreate"}


def test_commands_are_those_of_ol0(processes: Mapping[str, Object]) -> None:
    for name, words in commands(processes):
        assert words[0] == name or name == "setup"
        assert words[words.index("--config") + 1] == "/etc/ol0/ol0.toml"
        done = CliRunner().invoke(app, [*words, "--help"])
        assert done.exit_code == 0, done.output


def commands(processes: Mapping[str, Object]) -> Iterator[tuple[str, list[str]]]:
    """The words behind ``ol0``: of the image's entry point, and of what setup's shell is given."""
    for name, process in processes.items():
        (container,) = containers(process)
        if "command" not in container:
            yield name, container["args"]
            continue
        assert container["command"] == ["sh", "-ec"]
        for line in container["args"][0].splitlines():
            words = shlex.split(line)
            assert words[:3] == ["python", "-m", "ol0"]
            yield name, words[3:]


def test_ol0_takes_the_settings_of_every_process(settings_file: Path, processes: Mapping[str, Object]) -> None:
    words = [sys.executable, "-m", "ol0", "config", "check", "--offline", "--config", str(settings_file)]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OL0_")}
    for variables in {tuple(sorted(environment(process).items())) for process in processes.values()}:
        done = subprocess.run(words, env=inherited | dict(variables), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "\nok: lineage ol0 on " in done.stdout


def environment(process: Object) -> dict[str, str]:
    """The variables of a process, with the Secrets that operating.md makes."""
    (container,) = containers(process)
    return {entry["name"]: value_of(entry) for entry in container["env"]}


def value_of(entry: Object) -> str:
    if "value" in entry:
        return str(entry["value"])
    reference = entry["valueFrom"]["secretKeyRef"]
    return secrets()[reference["name"]][reference["key"]]


def secrets() -> dict[str, dict[str, str]]:
    text = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("kubectl") and "create secret" in line]
    return {words[words.index("generic") + 1]: dict(literals(words)) for words in lines}


def literals(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        if word.startswith("--from-literal="):
            name, _, value = word.removeprefix("--from-literal=").partition("=")
            yield name, value


def test_services_read_the_base_and_the_suite_that_setup_writes(
    settings_file: Path, processes: Mapping[str, Object]
) -> None:
    settings = load_settings(settings_file)
    warmup = next(words for _, words in commands(processes) if words[0] == "warmup")
    folder = Path(warmup[warmup.index("--out") + 1])
    assert (settings.serving.base, settings.safety.suite) == (folder / BASE, folder / SUITE)
    for name, process in processes.items():
        mount = next(each for each in containers(process)[0]["volumeMounts"] if each["name"] == "base")
        assert Path(mount["mountPath"]) == folder
        assert mount.get("readOnly", False) == (name != "setup")


def test_no_process_has_a_right_that_it_does_not_need(processes: Mapping[str, Object]) -> None:
    for process in processes.values():
        pod, (container,) = pod_of(process), containers(process)
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["requests"].keys() == container["resources"]["limits"].keys() == {"cpu", "memory"}


def test_processes_run_as_the_user_of_the_image(processes: Mapping[str, Object]) -> None:
    image = (ROOT / "infra" / "Dockerfile").read_text(encoding="utf-8")
    user = int(re.findall(r"^USER (\d+)$", image, re.MULTILINE)[0])
    for process in processes.values():
        context = pod_of(process)["securityContext"]
        assert {context["runAsUser"], context["runAsGroup"], context["fsGroup"]} == {user}


def test_probes_and_prometheus_ask_where_the_service_listens(deployments: Mapping[str, Object]) -> None:
    for each in deployments.values():
        (container,) = containers(each)
        listens = environment(each)
        port = int(listens["OL0_OBSERVABILITY__PORT"])
        assert listens["OL0_OBSERVABILITY__HOST"] == "0.0.0.0"  # noqa: S104 - the kubelet comes from outside
        assert container["ports"] == [{"name": "metrics", "containerPort": port}]
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "metrics"}
        assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "metrics"}
        assert each["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"] == str(port)


def test_only_what_uses_the_store_has_its_password_and_a_way_to_it(
    objects: Mapping[str, Object], processes: Mapping[str, Object]
) -> None:
    users, policy = {*OF_THE_STORE, "setup"}, objects["NetworkPolicy/ol0-redis"]
    assert {name for name, each in processes.items() if "OL0_REDIS__URL" in environment(each)} == users
    assert {name for name, each in processes.items() if policy_selects(policy, each)} == users


def policy_selects(policy: Object, process: Object) -> bool:
    selector, labels = policy["spec"]["podSelector"], labels_of(process)
    listed = all(labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))
    return listed and selector["matchLabels"].items() <= labels.items()


def test_processes_reach_names_kafka_and_the_store_and_are_reached_for_metrics_alone(
    objects: Mapping[str, Object], processes: Mapping[str, Object]
) -> None:
    policies = {each["metadata"]["name"]: each for each in objects.values() if each["kind"] == "NetworkPolicy"}
    assert policies.keys() == {"ol0", "ol0-kafka", "ol0-redis"}
    for process in processes.values():
        assert policy_selects(policies["ol0"], process)
        assert policy_selects(policies["ol0-kafka"], process)
    assert policies["ol0"]["spec"]["policyTypes"] == ["Ingress", "Egress"]  # what no rule allows is forbidden
    rules = [rule for each in policies.values() for rule in each["spec"]["egress"]]
    assert len(rules) == len(policies)
    assert all(rule["to"] and rule["ports"] for rule in rules)
    port = int(environment(processes["feedback"])["OL0_OBSERVABILITY__PORT"])
    assert [each["spec"].get("ingress") for each in policies.values() if "ingress" in each["spec"]] == [
        [{"ports": [{"port": port}]}]
    ]


def test_policies_allow_the_ports_of_the_servers_that_the_settings_name(
    objects: Mapping[str, Object], settings_file: Path
) -> None:
    servers = load_settings(settings_file).kafka.bootstrap_servers.split(",")
    assert {int(server.rpartition(":")[2]) for server in servers} == open_ports(objects["NetworkPolicy/ol0-kafka"])
    urls = re.findall(r":(\d+)/", secrets()["ol0-redis"]["OL0_REDIS__URL"])
    assert set(map(int, urls)) == open_ports(objects["NetworkPolicy/ol0-redis"])


def open_ports(policy: Object) -> set[int]:
    return {each["port"] for rule in policy["spec"]["egress"] for each in rule["ports"]}


@pytest.mark.parametrize("objects", ["overlays/example"], indirect=True)
def test_feedback_scales_by_event_time_up_to_the_partitions(objects: Mapping[str, Object], settings_file: Path) -> None:
    settings, scaled = load_settings(settings_file), objects["ScaledObject/feedback"]["spec"]
    specs = Topics(settings.kafka.topic_prefix, settings.kafka.partitions).specs
    assert f"Deployment/{scaled['scaleTargetRef']['name']}" in objects
    assert "replicas" not in objects["Deployment/feedback"]["spec"]  # an apply would set back what KEDA has set
    assert 1 <= scaled["minReplicaCount"] <= scaled["maxReplicaCount"]
    assert scaled["maxReplicaCount"] <= max(specs[name].partitions for name in SOURCES)
    trigger = scaled["triggers"][0]["metadata"]
    assert set(re.findall(r"\bol0_\w+", trigger["query"])) == {WATERMARK_AGE.name}
    assert float(trigger["threshold"]) > settings.streaming.allowed_lateness_s  # part of the age at rest
