"""Environment, file and overrides become settings."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.errors import SettingsError
from sagemaker_custom.settings import RegistryEndpoint, Settings

SECRET = "hunter2"


def from_file(tmp_path, text, env=None):
    file = tmp_path / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return Settings.load(env=env or {}, file=file)


def test_defaults_need_no_environment():
    settings = Settings.load(env={})
    assert (settings.account, settings.region, settings.builder) == (None, None, "auto")
    assert settings.repository_prefix == "sagemaker-custom"
    assert settings.endpoint_for("123456789012.dkr.ecr.us-east-1.amazonaws.com").startswith("https://1234")


def test_later_sources_win(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("account: '111111111111'\nregion: eu-west-1\nbuilder: docker\n")
    env = {"SAGEMAKER_CUSTOM_REGION": "eu-west-2", "SAGEMAKER_CUSTOM_BUILDER": "auto"}
    settings = Settings.load(env=env, file=file, overrides={"builder": "docker"})
    assert (settings.account, settings.region, settings.builder) == ("111111111111", "eu-west-2", "docker")


def test_file_is_found_by_its_variable_and_in_the_configuration_folder(tmp_path, monkeypatch):
    named = tmp_path / "named.yaml"
    named.write_text("region: ap-south-1")
    assert Settings.load(env={"SAGEMAKER_CUSTOM_CONFIG": str(named)}).region == "ap-south-1"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    from platformdirs import user_config_path

    usual = user_config_path("sagemaker-custom", appauthor=False) / "config.yaml"
    usual.parent.mkdir(parents=True, exist_ok=True)
    usual.write_text("region: sa-east-1")
    assert Settings.load(env={}).region == "sa-east-1"


def test_every_kind_of_value_is_read_from_a_file(tmp_path):
    settings = from_file(
        tmp_path,
        """
account: 123456789012
scan_on_push: false
registry_timeout_s: 2.5
registry_attempts: 3
pip_extra_index_urls: [https://a.example/simple, https://b.example/simple]
registry_endpoints:
  "*.dkr.ecr.*.amazonaws.com": http://localhost:5000/
""",
    )
    assert settings.account == "123456789012"
    assert settings.scan_on_push is False
    assert (settings.registry_timeout_s, settings.registry_attempts) == (2.5, 3)
    assert settings.pip_extra_index_urls == ("https://a.example/simple", "https://b.example/simple")
    assert settings.endpoint_for("123456789012.dkr.ecr.us-east-1.amazonaws.com") == "http://localhost:5000"
    assert settings.endpoint_for("public.ecr.aws") == "https://public.ecr.aws"


def test_every_kind_of_value_is_read_from_the_environment():
    settings = Settings.load(
        env={
            "SAGEMAKER_CUSTOM_SCAN_ON_PUSH": "No",
            "SAGEMAKER_CUSTOM_PIP_EXTRA_INDEX_URLS": "https://a.example https://b.example",
            "SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": "a.example=http://x:1?q=2 *.b.example=https://y",
            "SAGEMAKER_CUSTOM_REGION": "",
        }
    )
    assert settings.scan_on_push is False
    assert settings.region is None
    assert settings.pip_extra_index_urls == ("https://a.example", "https://b.example")
    assert settings.registry_endpoints == (
        RegistryEndpoint(pattern="a.example", url="http://x:1?q=2"),
        RegistryEndpoint(pattern="*.b.example", url="https://y"),
    )


def test_first_pattern_that_matches_counts():
    settings = Settings.load(env={"SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": "a.*=http://first *=http://second"})
    assert settings.endpoint_for("a.example") == "http://first"
    assert settings.endpoint_for("b.example") == "http://second"


def test_ca_bundle_is_taken_from_the_usual_variables(tmp_path):
    bundle = tmp_path / "ca.pem"
    bundle.write_text("pem")
    env = {"PIP_CERT": str(tmp_path / "gone.pem"), "REQUESTS_CA_BUNDLE": str(tmp_path), "SSL_CERT_FILE": str(bundle)}
    assert Settings.load(env=env).ca_bundle == str(bundle)
    own = tmp_path / "own.pem"
    own.write_text("pem")
    assert Settings.load(env=env | {"SAGEMAKER_CUSTOM_CA_BUNDLE": str(own)}).ca_bundle == str(own)
    assert Settings.load(env={"PIP_CERT": str(tmp_path / "gone.pem")}).ca_bundle is None


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"repository_prefix": "custom"},
            "repository_prefix 'custom' cannot be used\n  -> it has to contain 'sagemaker'",
        ),
        ({"repository_prefix": "sagemaker_x"}, "repository_prefix 'sagemaker_x' cannot be used"),
        ({"repository_prefix": "sagemaker.x"}, "repository_prefix 'sagemaker.x' cannot be used"),
        ({"repository_prefix": "My-sagemaker"}, "repository_prefix 'My-sagemaker' cannot be used"),
        ({"repository_prefix": "sagemaker-"}, "repository_prefix 'sagemaker-' cannot be used"),
        ({"repository_prefix": "sagemaker"}, "would make repositories look like AWS's own to the SDK"),
        ({"repository_prefix": "team/sagemaker"}, "would make repositories look like AWS's own to the SDK"),
        ({"repository_prefix": "sagemaker-rl"}, "would make repositories look like AWS's own to the SDK"),
        ({"account": "12345"}, "account '12345' is not an AWS account id\n  -> write its 12 digits"),
        ({"account": "١٢٣٤٥٦٧٨٩٠١٢"}, "is not an AWS account id"),
        (
            {"lease_bucket": "s3:/team"},
            "lease_bucket 's3:/team' cannot be used\n  -> write BUCKET or s3://BUCKET/PREFIX",
        ),
        (
            {"lease_s": 1.0},
            "lease_s 1 cannot be used\n  -> write between 5 and 3600 seconds: S3 is written four times in it",
        ),
        ({"lease_bucket": "Team"}, "lease_bucket 'Team' cannot be used\n  -> write BUCKET or s3://BUCKET/PREFIX"),
        ({"ca_bundle": "/nowhere/ca.pem"}, "ca_bundle '/nowhere/ca.pem' is not a file\n  -> name a PEM file"),
        ({"codebuild_ca_bundle": "/nowhere/ca.pem"}, "codebuild_ca_bundle '/nowhere/ca.pem' is not a file"),
        ({"codebuild_cache": "S3"}, "codebuild_cache 'S3' cannot be used\n  -> write one of NO_CACHE, LOCAL"),
        (
            {"codebuild_project": "arn:aws:codebuild:x"},
            "is not the name of a project\n  -> write its name",
        ),
        ({"codebuild_timeout_minutes": 3}, "codebuild_timeout_minutes 3 cannot be used\n  -> write 5 to 2160"),
        ({"codebuild_vpc_id": "vpc-1"}, "belong together\n  -> set all three, or none"),
        ({"codebuild_subnets": ("subnet-1",)}, "belong together\n  -> set all three, or none"),
    ],
)
def test_values_that_cannot_work_are_refused(values, message):
    with pytest.raises(SettingsError) as caught:
        Settings(**values)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("acount: '1'", "there is no setting 'acount'\n  -> did you mean 'account'?"),
        ("zzz: 1", "there is no setting 'zzz'\n  -> the settings are accept_stand_ins, account, builder"),
        ("- account", "has to map setting names to values"),
        ("scan_on_push: maybe", "config.yaml: scan_on_push cannot be 'maybe': it has to be true or false"),
        ("registry_attempts: 0", "config.yaml: registry_attempts cannot be 0: it has to be at least 1"),
        ("registry_attempts: x", "config.yaml: registry_attempts cannot be 'x'"),
        ("registry_timeout_s: -1", "registry_timeout_s cannot be -1: it has to be a number of seconds above 0"),
        ("registry_timeout_s: .nan", "registry_timeout_s cannot be nan: it has to be a number of seconds above 0"),
        ("registry_endpoints: [a]", "registry_endpoints cannot be ['a']: it has to map host patterns to URLs"),
        ("registry_endpoints: a.example", "registry_endpoints cannot be 'a.example': '' has to begin with https://"),
        ("registry_endpoints: {a: 'ftp://b'}", "'ftp://b' has to begin with https:// or http://"),
        ("region: [a]", "config.yaml: region cannot be ['a']: it has to be a text"),
        ("region: true", "config.yaml: region cannot be True: it has to be a text"),
    ],
)
def test_bad_files_say_where(tmp_path, text, message):
    with pytest.raises(SettingsError) as caught:
        from_file(tmp_path, text)
    assert message in str(caught.value)


def test_bad_variables_are_named():
    with pytest.raises(SettingsError, match=r"SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS cannot be 'many'"):
        Settings.load(env={"SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS": "many"})


def test_unknown_override_is_named():
    with pytest.raises(SettingsError, match=r"overrides: there is no setting 'acount'"):
        Settings.load(env={}, overrides={"acount": "1"})


def test_named_file_that_is_missing(tmp_path):
    with pytest.raises(SettingsError, match=r"configuration file .*gone.yaml does not exist"):
        Settings.load(env={"SAGEMAKER_CUSTOM_CONFIG": str(tmp_path / "gone.yaml")})


def test_file_that_is_no_text(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"cannot be read"):
        Settings.load(env={}, file=file)


@pytest.mark.parametrize(
    "text",
    [
        f"pip_index_url: https://me:{SECRET}@pypi.example: x",
        f"pip_index_url: {{https://me:{SECRET}@pypi.example: 1}}",
        f"pip_extra_index_urls: {{a: 'https://me:{SECRET}@pypi.example'}}",
        f"pip_index_url: 'https://me:{SECRET}@pypi.example",
    ],
)
def test_no_error_shows_a_password(tmp_path, text):
    with pytest.raises(SettingsError) as caught:
        from_file(tmp_path, text)
    assert SECRET not in str(caught.value)
    assert "config.yaml" in str(caught.value)


def test_repr_shows_no_password():
    url = f"https://me:{SECRET}@pypi.example/simple"
    settings = Settings(pip_index_url=url, pip_extra_index_urls=(url,))
    assert SECRET not in repr(settings)
    assert settings.pip_index_url == url


def test_a_name_that_no_file_can_have_is_not_a_file():
    with pytest.raises(SettingsError, match=r"ca_bundle '0+' is not a file"):
        Settings.load({"SAGEMAKER_CUSTOM_CA_BUNDLE": "0" * 5000})


@given(st.sampled_from([item.name for item in fields(Settings)]), st.text(min_size=1))
def test_any_variable_is_read_or_a_clear_error(name, value):
    with suppress(SettingsError):
        assert Settings.load(env={f"SAGEMAKER_CUSTOM_{name.upper()}": value})


def test_variable_that_is_no_setting_is_told_with_the_nearest():
    with pytest.raises(SettingsError) as caught:
        Settings.load(env={"SAGEMAKER_CUSTOM_ACOUNT": "123456789012"})
    assert str(caught.value) == "SAGEMAKER_CUSTOM_ACOUNT: there is no setting 'acount'\n  -> did you mean 'account'?"


def test_codebuild_is_set_up_by_a_project_or_a_role():
    assert not Settings().has_codebuild
    assert Settings(codebuild_project="images").has_codebuild
    assert Settings(codebuild_service_role="codebuild").has_codebuild


class TestScan:
    @pytest.mark.parametrize(("written", "scan"), [("off", "off"), ("report", "report"), ("block:HIGH", "block:HIGH")])
    def test_is_read_from_a_file_with_and_without_quotes(self, tmp_path, written, scan):
        assert from_file(tmp_path, f"scan: {written}").scan == scan
        assert from_file(tmp_path, f"scan: '{written}'").scan == scan

    def test_names_that_do_not_count_are_words_of_a_variable(self):
        env = {"SAGEMAKER_CUSTOM_SCAN": "block:LOW", "SAGEMAKER_CUSTOM_SCAN_IGNORE": "CVE-2024-1 CVE-2024-2"}
        settings = Settings.load(env=env)
        assert (settings.scan, settings.scan_ignore) == ("block:LOW", ("CVE-2024-1", "CVE-2024-2"))

    @pytest.mark.parametrize("scan", ["on", "block", "block:high", "block:UNDEFINED", ""])
    def test_anything_else_is_refused_with_what_there_is(self, scan):
        with pytest.raises(SettingsError, match=f"scan '{scan}' cannot be used") as refused:
            Settings(scan=scan)
        assert refused.value.hint == ("write one of off, report, block:CRITICAL, block:HIGH, block:MEDIUM, block:LOW")
