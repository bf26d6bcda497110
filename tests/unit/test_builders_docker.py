"""The order of effects of a build, and what is left when one of them fails."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone

import pytest
from fakes.example_plan import BASE, BASE_HOST, ECR_HOST, FINGERPRINT, example_plan
from fakes.fake_engine import FakeEngine, FakeRoute
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.builders.docker import DockerBuilder
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.store import EngineStore, RegistryStore
from sagemaker_custom.errors import (
    BaseImageError,
    BuildError,
    CredentialsError,
    DiskFullError,
    EngineUnavailableError,
    RegistryUnavailableError,
    TagConflictError,
    VerificationError,
)
from sagemaker_custom.oci import DOCKER_MANIFEST, OCI_INDEX
from sagemaker_custom.plan import STAND_IN_LABEL, PipIndexes
from sagemaker_custom.reference import RegistryCredentials, digest_of

_BASE_NAME = f"{BASE_HOST}/{BASE.repository}:{BASE.tag}"
_REPOSITORY = "sagemaker-custom-pytorch"
_VERIFY = "python -c 'import tiny'"


class Bench:
    """A builder of fakes."""

    def __init__(self, folder):
        self.registry = FakeRegistry()
        self.registry.put_image(BASE.repository, BASE.tag)
        self.engine = FakeEngine(self.registry)
        self.route = FakeRoute(self.engine)
        self.log_dir = folder / "logs"
        self.ca_bundle = None
        self.login = None
        self.endpoint_for = lambda host: f"https://{host}"

    def build(self, plan, *, fresh=False, registry=None):
        client = registry or self.registry.client()
        builder = DockerBuilder(
            self.engine,
            registry=client,
            endpoints=Endpoints(endpoint_for=self.endpoint_for, credentials=lambda host: self.login),
            choose_route=self._choose_route,
            ensure_repository=lambda reference: self.engine.effects.append(f"repository {reference.repository}"),
            remove_tag=self.registry.client().remove_tag,
            log_dir=self.log_dir,
            version="1.2.3",
            token=lambda: "0a1b2c3d",
            clock=lambda: datetime(2026, 11, 21, 10, 15, tzinfo=timezone.utc),
            ca_bundle=self.ca_bundle,
        )
        return builder.build(plan, fresh=fresh)

    def _choose_route(self):
        self.engine.version()
        return self.route

    @property
    def final_tags(self):
        return [tag for tag in self.registry.tags(_REPOSITORY) if not tag.startswith("staging-")]

    @property
    def log(self):
        return "\n".join(path.read_text(encoding="utf-8") for path in self.log_dir.iterdir())

    def leaves_nothing(self, plan):
        named = [tag for image in self.engine.images.values() for tag in image.tags]
        return not self.registry.tags(_REPOSITORY) and set(named) <= {_BASE_NAME} and str(plan.reference) not in named


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


class TestOrder:
    def test_a_registry_image_is_named_last(self, bench):
        plan = example_plan()

        assert bench.build(plan) == plan.reference

        staging = f"{ECR_HOST}/{_REPOSITORY}:staging-{FINGERPRINT[:12]}-0a1b2c3d"
        base_digest = bench.registry.tags(BASE.repository)[BASE.tag]
        assert bench.engine.effects == [
            f"pull {BASE_HOST}/{BASE.repository}@{base_digest}",
            f"tag {_BASE_NAME}",
            "version",
            "build",
            f"run {_VERIFY}",
            "label",
            f"repository {_REPOSITORY}",
            f"tag {staging}",
            f"push {staging}",
            f"untag {staging}",
        ]
        assert list(bench.registry.tags(_REPOSITORY)) == [plan.reference.tag]

    def test_a_local_image_touches_no_network(self, bench):
        plan = example_plan(local=True)
        bench.engine.add(_BASE_NAME)

        assert bench.build(plan) == plan.reference

        assert bench.engine.effects == ["version", "build", f"run {_VERIFY}", "label", f"tag {plan.reference}"]
        assert bench.registry.calls == []

    def test_a_local_image_pulls_a_base_that_is_not_there(self, bench):
        bench.build(example_plan(local=True))

        assert bench.engine.effects[0].startswith(f"pull {BASE_HOST}/{BASE.repository}@sha256:")

    def test_a_base_that_the_engine_has_by_digest_is_not_pulled(self, bench):
        bench.build(example_plan())
        bench.engine.effects.clear()

        bench.build(example_plan(fingerprint="f" * 64))

        assert not [effect for effect in bench.engine.effects if effect.startswith("pull")]

    @pytest.mark.parametrize(("layers", "fits"), [(("a", "b", "c"), True), (("a", "x", "c"), False), (("a",), False)])
    def test_an_image_on_another_base_than_was_meant_is_refused(self, bench, layers, fits):
        """The base is named by its tag in the Dockerfile, and another process may give that to another image."""
        plan = example_plan()
        bench.engine.layers = {"pulled": ("a", "b"), "built": layers}
        if fits:
            assert bench.build(plan) == plan.reference
            return
        with pytest.raises(BuildError, match="had another image under") as caught:
            bench.build(plan)
        assert "build again" in caught.value.hint
        assert bench.leaves_nothing(plan)

    def test_a_tag_that_moved_pulls_the_new_base(self, bench):
        bench.build(example_plan())
        bench.registry.put_image(BASE.repository, BASE.tag, layers=(b"patched",))
        bench.engine.effects.clear()

        bench.build(example_plan(fingerprint="f" * 64))

        assert (
            bench.engine.effects[0]
            == f"pull {BASE_HOST}/{BASE.repository}@{bench.registry.tags(BASE.repository)[BASE.tag]}"
        )

    def test_a_mapped_registry_is_reached_at_its_endpoint(self, bench):
        bench.endpoint_for = lambda host: "http://127.0.0.1:5000/proxied"
        bench.registry.put_image(f"proxied/{BASE.repository}", BASE.tag)
        bench.login = RegistryCredentials(username="AWS", password="t")
        plan = example_plan(local=True)

        bench.build(plan)

        assert bench.engine.effects[0].startswith(f"pull 127.0.0.1:5000/proxied/{BASE.repository}@")
        assert bench.engine.effects[1] == f"tag {_BASE_NAME}"
        assert bench.route.requests[0].dockerfile(True).startswith(f"FROM {_BASE_NAME}\n")
        assert bench.engine.logins == [bench.login]

    def test_fresh_uses_no_cache(self, bench):
        bench.engine.add(_BASE_NAME)

        bench.build(example_plan(local=True), fresh=True)

        assert bench.route.requests[0].no_cache
        assert not any(effect.startswith("pull ") for effect in bench.engine.effects)

    def test_stand_in_under_the_bases_name_is_not_taken_for_it(self, bench):
        bench.engine.add(_BASE_NAME, **{STAND_IN_LABEL: "true"})

        bench.build(example_plan(local=True))

        assert bench.engine.effects[0].startswith(f"pull {BASE_HOST}/{BASE.repository}@")

    def test_extended_stand_in_is_taken_only_where_the_settings_say_so(self, bench):
        plan = example_plan(local=True)
        bench.engine.add(str(plan.reference), **{STAND_IN_LABEL: "true"})

        assert EngineStore(bench.engine).find(plan.reference) is None
        assert EngineStore(bench.engine, accept_stand_ins=True).find(plan.reference) is not None

    def test_base_that_cannot_be_pulled_for_want_of_credentials_says_whose_it_is(self, bench):
        class NoCredentials:
            def find(self, reference):
                raise CredentialsError("no AWS credentials were found")

        with pytest.raises(BaseImageError) as caught:
            bench.build(example_plan(local=True), registry=NoCredentials())

        assert "has to be pulled: no AWS credentials were found" in str(caught.value)
        assert "give AWS credentials for this once" in str(caught.value)


class TestLabels:
    def test_what_the_image_says_about_itself(self, bench):
        plan = example_plan(local=True)
        bench.build(plan)

        labels = EngineStore(bench.engine).find(plan.reference).labels

        assert labels == {
            **plan.labels,
            "sagemaker-custom.base-digest": bench.registry.tags(BASE.repository)[BASE.tag],
            "sagemaker-custom.lock": '{"installed":{"tiny":"1.0"},"removed":["pip"]}',
            "sagemaker-custom.builder": "docker-buildkit",
            "sagemaker-custom.version": "1.2.3",
            "sagemaker-custom.verified": "run",
            "sagemaker-custom.starts-scripts": "yes",
        }

    def test_an_oci_index_becomes_a_docker_manifest(self, bench):
        bench.engine.media_type = OCI_INDEX
        plan = example_plan()

        bench.build(plan)

        assert bench.registry.client().manifest(plan.reference).media_type == DOCKER_MANIFEST
        found = RegistryStore(bench.registry.client()).find(plan.reference)
        assert found.labels["sagemaker-custom.fingerprint"] == FINGERPRINT


class TestStartOfScripts:
    """What the SDK v3 needs of an image to start a script in it."""

    BASE_IMAGE = digest_of(_BASE_NAME.encode())
    BUILT = digest_of(b"built")

    @pytest.fixture
    def plan(self, bench):
        bench.engine.add(_BASE_NAME)
        return example_plan(local=True)

    def label(self, bench, plan):
        return EngineStore(bench.engine).find(plan.reference).labels.get("sagemaker-custom.starts-scripts")

    @pytest.mark.parametrize("wanted", [False, True])
    def test_what_the_extras_took_is_an_error_on_either_sdk(self, bench, plan, wanted):
        bench.engine.lacks = {self.BUILT: ("tar", "pip3"), self.BASE_IMAGE: ("tar",)}
        with pytest.raises(VerificationError, match="the built image has lost pip3, which its base has") as caught:
            bench.build(replace(plan, starts_script=wanted))
        assert "report it against the recipe" in caught.value.hint
        assert "the whole log is in" in caught.value.hint
        assert bench.leaves_nothing(plan)

    def test_what_the_base_never_had_is_an_error_where_a_script_shall_start(self, bench, plan):
        bench.engine.lacks = dict.fromkeys((self.BUILT, self.BASE_IMAGE), ("/bin/bash", "tar"))
        with pytest.raises(VerificationError, match="lacks /bin/bash and tar") as caught:
            bench.build(replace(plan, starts_script=True))
        assert 'add extras=["apt:bash", "apt:tar"]' in caught.value.hint
        assert bench.leaves_nothing(plan)

    def test_elsewhere_the_image_says_so(self, bench, plan):
        bench.engine.lacks = dict.fromkeys((self.BUILT, self.BASE_IMAGE), ("/bin/bash", "tar"))
        bench.build(plan)
        assert self.label(bench, plan) == "lacks /bin/bash tar"
        assert "the image lacks /bin/bash and tar: the SDK v3 starts no script in it" in bench.log

    def test_an_image_that_serves_is_not_asked(self, bench, plan):
        bench.engine.lacks = {self.BUILT: ("tar",)}
        plan = replace(plan, base=replace(plan.base, image_scope="inference"))
        bench.build(plan)
        assert self.label(bench, plan) is None

    def test_the_tag_is_the_same_either_way(self, plan):
        assert replace(plan, starts_script=True).document == plan.document


class TestFailures:
    @pytest.mark.parametrize("local", [True, False])
    def test_a_verify_command_that_fails(self, bench, local):
        plan = example_plan(local=local)
        bench.engine.exit_codes[_VERIFY] = 1
        bench.engine.output[_VERIFY] = ["Traceback", "\x1b[31mImportError: libtiny.so.1\x1b[0m"]

        with pytest.raises(VerificationError) as caught:
            bench.build(plan)

        message = str(caught.value)
        assert f"does not pass '{_VERIFY}' (exit code 1)" in message
        assert "\nImportError: libtiny.so.1" in message
        assert f"the whole log is in {caught.value.log_path}" in message
        assert bench.leaves_nothing(plan)
        assert not [effect for effect in bench.engine.effects if effect.startswith(("push", "label"))]

    def test_a_verify_command_that_hangs(self, bench):
        bench.engine.fail("run", TimeoutError("still running after 900 s"))

        with pytest.raises(VerificationError, match="still running after 900 s"):
            bench.build(example_plan())

    def test_a_step_that_fails(self, bench):
        plan = example_plan()
        bench.route.lines = [f"line {number}" for number in range(100)]
        bench.route.error = BuildError("'docker build' ended with exit code 1")

        with pytest.raises(BuildError, match="exit code 1; the last lines of the log:\nline 70\n") as caught:
            bench.build(plan)

        assert caught.value.log_path in caught.value.hint
        assert "line 0\n" in bench.log
        assert bench.leaves_nothing(plan)

    @pytest.mark.parametrize("effect", ["run", "label", "tag 123", "push"])
    def test_ctrl_c_leaves_nothing(self, bench, effect):
        plan = example_plan()
        bench.engine.fail(effect, KeyboardInterrupt())

        with pytest.raises(KeyboardInterrupt):
            bench.build(plan)

        assert bench.leaves_nothing(plan)

    def test_a_push_that_is_interrupted(self, bench):
        plan = example_plan()
        bench.engine.fail("push", RegistryUnavailableError("the Docker Engine could not push: EOF", hint="try again"))

        with pytest.raises(RegistryUnavailableError, match="could not push"):
            bench.build(plan)

        assert bench.leaves_nothing(plan)

    def test_a_registry_that_cannot_remove_tags_keeps_only_the_staging_tag(self, bench):
        bench.registry.removes_tags = False
        bench.engine.fail("push")

        with pytest.raises(RegistryUnavailableError):
            bench.build(example_plan())

        assert bench.final_tags == []

    def test_a_cleanup_that_fails_hides_nothing(self, bench, caplog):
        bench.engine.fail("push", DiskFullError("no space left"))
        bench.engine.fail("untag", EngineUnavailableError("the engine is gone"))

        with pytest.raises(DiskFullError, match="no space left"):
            bench.build(example_plan())

        assert "could not be cleaned up: the engine is gone" in caplog.text

    def test_a_base_that_does_not_exist(self, bench):
        bench.registry = FakeRegistry()

        with pytest.raises(BaseImageError, match=f"the base image {_BASE_NAME} does not exist") as caught:
            bench.build(example_plan())

        assert "choose another framework_version" in caught.value.hint
        assert bench.engine.effects == []

    def test_a_base_without_access(self, bench):
        bench.registry.fail(403, times=9, path=BASE.repository, code="DENIED", message="not authorized")

        with pytest.raises(BaseImageError, match="account 763104351884, region us-east-1") as caught:
            bench.build(example_plan())

        for action in ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"):
            assert action in caught.value.hint

    def test_a_stopped_engine(self, bench):
        bench.engine.fail("version", EngineUnavailableError("the Docker Engine is not running"))

        with pytest.raises(EngineUnavailableError, match="is not running"):
            bench.build(example_plan())

    def test_a_tag_with_another_fingerprint(self, bench):
        plan = example_plan()
        bench.registry.put_image(_REPOSITORY, plan.reference.tag, labels={"sagemaker-custom.fingerprint": "other"})
        before = bench.registry.tags(_REPOSITORY)

        with pytest.raises(TagConflictError, match=f"fingerprint other, not {FINGERPRINT}"):
            bench.build(plan)

        assert bench.registry.tags(_REPOSITORY) == before


class TestSecrets:
    def test_credentials_reach_the_route_and_nothing_else(self, bench):
        plan = example_plan(
            local=True, pip_indexes=PipIndexes(index_url="https://me:p%40ss-word@pypi.example.com/simple")
        )
        bench.route.lines = [
            "Looking in indexes: https://me:p%40ss-word@pypi.example.com/simple",
            "trying p@ss-word now",
        ]

        bench.build(plan)

        request = bench.route.requests[0]
        assert request.netrc == "machine pypi.example.com login me password p@ss-word\n"
        shown = [
            request.dockerfile(True),
            repr(request),
            bench.log,
            str(EngineStore(bench.engine).find(plan.reference)),
        ]
        shown += [repr(context) for context in bench.engine.contexts]
        assert "trying *** now" in bench.log
        for text in shown:
            assert "p@ss-word" not in text
            assert "p%40ss-word" not in text

    def test_the_ca_bundle_is_handed_over(self, bench, tmp_path):
        (tmp_path / "ca.pem").write_bytes(b"PEM")
        bench.ca_bundle = str(tmp_path / "ca.pem")

        bench.build(example_plan(local=True))

        assert bench.route.requests[0].ca_bundle == b"PEM"
        assert "id=ca_bundle" in bench.route.requests[0].dockerfile(True)
