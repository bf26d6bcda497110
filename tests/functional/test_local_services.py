"""What a container of local mode is told, in Docker Compose's language."""

from __future__ import annotations

import pytest

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.local_services import LocalOptions, ServiceSpec, compose_service, reachable_url


def service(**values):
    return compose_service(
        ServiceSpec(
            **{
                "image": "team:1",
                "command": "train",
                "alias": "algo-1",
                "mounts": ("/tmp/x:/opt/ml/model",),
                "environment": {},
                "container_config": {},
                **values,
            }
        )
    )


class TestValues:
    def test_dollars_reach_the_container_in_all_that_the_user_gives(self):
        made = service(
            command="process",
            environment={"PASSWORD": "pa$word${HOME}", "COUNT": 3},
            entrypoint=("sh", "-c", "echo $HOME"),
            arguments=("$1",),
            mounts=("/data/a$b:/opt/ml/input",),
        )
        assert made["environment"] == ["PASSWORD=pa$$word$${HOME}", "COUNT=3"]
        assert made["entrypoint"] == ["sh", "-c", "echo $$HOME", "$$1"]
        assert made["volumes"] == ["/data/a$$b:/opt/ml/input"]

    def test_configuration_in_composes_own_language_is_left_to_compose(self):
        assert service(container_config={"user": "${UID}"})["user"] == "${UID}"

    def test_aws_keys_are_named_without_their_values(self):
        made = service(environment={"AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_ACCESS_KEY_ID": "AKIA", "X": "1"})
        assert made["environment"] == ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "X=1"]
        assert "s3cret" not in str(made)
        assert "AKIA" not in str(made)


class TestProgram:
    def test_training_and_serving_are_commands(self):
        assert service()["command"] == "train"
        assert service(command="serve")["command"] == "serve"

    def test_arguments_alone_take_the_place_of_the_command(self):
        assert service(arguments=("--epochs", "3"))["command"] == ["--epochs", "3"]

    def test_processing_without_entrypoint_hands_its_arguments_to_the_images(self):
        made = service(command="process", arguments=("--day", "1"))
        assert made["command"] == ["--day", "1"]
        assert "entrypoint" not in made

    def test_processing_with_nothing_runs_what_the_image_runs(self):
        assert not {"command", "entrypoint"} & set(service(command="process"))


class TestSharedMemory:
    @pytest.mark.parametrize(
        ("config", "option", "size"),
        [
            ({}, None, "2g"),
            ({}, "512m", "512m"),
            ({"shm_size": "8g"}, None, "8g"),
            ({"shm_size": "8g"}, "512m", "512m"),
        ],
    )
    @pytest.mark.parametrize("command", ["train", "process", "serve"])
    def test_is_larger_than_dockers_and_the_users_to_choose(self, config, option, size, command):
        assert service(container_config=config, shm_size=option, command=command)["shm_size"] == size

    def test_of_the_host_needs_no_size(self):
        assert "shm_size" not in service(container_config={"ipc": "host"})

    def test_that_is_no_size_is_told(self):
        with pytest.raises(UsageError) as caught:
            LocalOptions(shm_size="2 gigs")
        assert str(caught.value) == "shm_size='2 gigs' is not a size\n  -> write it as in '512m' or '2g'"


class TestNetwork:
    def test_only_serving_publishes_a_port(self):
        assert service(command="serve", serving_port=9000)["ports"] == ["9000:8080"]
        assert "ports" not in service()

    def test_other_containers_know_it_by_name(self):
        assert service()["networks"] == {"sagemaker-local": {"aliases": ["algo-1"]}}

    @pytest.mark.parametrize("networks", [["team"], {"team": None}])
    def test_networks_of_the_user_are_joined_too(self, networks):
        made = service(container_config={"networks": networks})
        assert made["networks"] == {"team": None, "sagemaker-local": {"aliases": ["algo-1"]}}

    def test_studio_has_one_network_for_everything(self):
        made = service(command="serve", in_studio=True)
        assert made["network_mode"] == "sagemaker"
        assert not {"ports", "networks"} & set(made)

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
    def test_s3_on_this_machine_is_called_as_a_container_can(self, host):
        made = service(environment={"AWS_ENDPOINT_URL_S3": f"http://{host}:9000/x"})
        assert made["environment"] == ["AWS_ENDPOINT_URL_S3=http://host.docker.internal:9000/x"]
        assert made["extra_hosts"] == ["host.docker.internal:host-gateway"]

    def test_hosts_of_the_user_stay(self):
        config = {"extra_hosts": {"db": "10.0.0.1"}}
        made = service(environment={"AWS_ENDPOINT_URL_S3": "http://localhost:9000"}, container_config=config)
        assert made["extra_hosts"] == ["db:10.0.0.1", "host.docker.internal:host-gateway"]

    def test_s3_elsewhere_is_called_as_it_is(self):
        assert reachable_url("https://s3.example.com") == "https://s3.example.com"
        assert "extra_hosts" not in service(environment={"AWS_ENDPOINT_URL_S3": "https://s3.example.com"})


def test_gpus_are_asked_for_as_the_engine_hands_them_out():
    device = {"driver": "cdi", "device_ids": ["nvidia.com/gpu=all"]}
    made = service(gpu_device=device)
    assert made["deploy"] == {"resources": {"reservations": {"devices": [device]}}}
    assert "deploy" not in service()


@pytest.mark.parametrize("options", [{"endpoint_timeout_s": 0}, {"serving_port": 70000}, {"serving_port": -1}])
def test_options_that_cannot_work_are_told(options):
    [(name, value)] = options.items()
    with pytest.raises(UsageError, match=f"{name}={value}"):
        LocalOptions(**options)
