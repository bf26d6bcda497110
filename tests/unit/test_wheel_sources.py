"""Where packages are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagemaker_custom.errors import SettingsError
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.wheels.pip_configuration import (
    PipConfiguration,
    configuration_files,
    read_pip_configuration,
)
from sagemaker_custom.wheels.sources import Sources

COMPANY = PipConfiguration(
    index_url="https://me:secret@pip.example.com/simple",
    extra_index_urls=("https://more.example.com/simple",),
    find_links=("/wheels",),
    trusted_hosts=("pip.example.com",),
)
STEP = PipStep(packages=("a",))


class TestPipConfiguration:
    def test_later_files_count_more_and_install_counts_more_than_global(self, tmp_path):
        first, second = tmp_path / "first.conf", tmp_path / "second.conf"
        first.write_text(
            "[install]\nindex-url = https://install.example.com\n[global]\nfind_links = /a /b\ncert = /ca.pem\n"
        )
        second.write_text(
            "[global]\nindex-url = https://global.example.com\nextra-index-url =\n  https://1\n  https://2\n"
        )
        found = read_pip_configuration({}, [first, second, tmp_path / "missing.conf"])
        assert found == PipConfiguration(
            index_url="https://install.example.com",
            extra_index_urls=("https://1", "https://2"),
            find_links=("/a", "/b"),
            cert="/ca.pem",
        )

    def test_variables_count_most_unless_they_are_empty(self, tmp_path):
        file = tmp_path / "pip.conf"
        file.write_text("[install]\nindex-url = https://file.example.com\ncert = /ca.pem\n")
        environment = {"PIP_INDEX_URL": "https://variable.example.com", "PIP_CERT": "", "PIP_NO_INDEX": "1"}
        found = read_pip_configuration(environment, [file])
        assert (found.index_url, found.cert, found.no_index) == ("https://variable.example.com", "/ca.pem", True)

    @pytest.mark.parametrize("text", ["0", "false", "no"])
    def test_no_index_may_be_off(self, text):
        assert not read_pip_configuration({"PIP_NO_INDEX": text}, []).no_index

    def test_a_file_that_pip_could_not_read(self, tmp_path):
        file = tmp_path / "pip.conf"
        file.write_text("index-url = x\n")
        with pytest.raises(SettingsError, match=r"pip.conf' cannot be read"):
            read_pip_configuration({}, [file])

    def test_a_file_that_is_named_counts_most(self):
        assert configuration_files({"PIP_CONFIG_FILE": "/company/pip.conf"})[-1] == Path("/company/pip.conf")

    def test_no_file_counts_where_that_is_asked(self):
        assert configuration_files({"PIP_CONFIG_FILE": "/dev/null"}) == ()

    def test_credentials_are_not_shown(self):
        assert "secret" not in repr(COMPANY)


class TestSources:
    def test_pip_is_asked_where_nothing_else_is_named(self):
        found = Sources.of(STEP, PipIndexes(), COMPANY)
        assert (found.index_url, found.extra_index_urls, found.find_links) == (
            COMPANY.index_url,
            COMPANY.extra_index_urls,
            COMPANY.find_links,
        )

    def test_settings_count_more_than_pip(self):
        found = Sources.of(STEP, PipIndexes(index_url="https://ours.example.com"), COMPANY)
        assert (found.index_url, found.extra_index_urls, found.find_links) == ("https://ours.example.com", (), ())

    def test_a_step_counts_most_and_keeps_the_extra_indexes(self):
        step = PipStep(packages=("a",), index_url="https://step", extra_index_urls=("https://more",))
        indexes = PipIndexes(index_url="https://ours.example.com", extra_index_urls=("https://extra",))
        found = Sources.of(step, indexes, COMPANY)
        assert (found.index_url, found.extra_index_urls) == ("https://step", ("https://more", "https://extra"))

    def test_links_of_a_step_come_besides_those_of_pip(self):
        step = PipStep(packages=("a",), find_links=("https://data.example.com/torch-2.3.html",))
        found = Sources.of(step, PipIndexes(), COMPANY)
        assert (found.index_url, found.find_links) == (
            COMPANY.index_url,
            ("https://data.example.com/torch-2.3.html", "/wheels"),
        )

    def test_uv_is_told_by_variables(self):
        found = Sources.of(STEP, PipIndexes(), COMPANY).variables(
            {"UV_INDEX_URL": "https://uv.example.com", "UV_RESOLUTION": "lowest", "UV_INDEX_X_PASSWORD": "p"}, "/ca.pem"
        )
        assert found == {
            "UV_INDEX": "https://me:secret@pip.example.com/simple",
            "UV_DEFAULT_INDEX": "https://more.example.com/simple",
            "UV_FIND_LINKS": "file:///wheels",
            "UV_INSECURE_HOST": "pip.example.com",
            "UV_INDEX_X_PASSWORD": "p",
            "SSL_CERT_FILE": "/ca.pem",
        }

    def test_uvs_own_index_counts_where_nothing_is_configured(self):
        environment = {"UV_INDEX_URL": "https://uv.example.com"}
        assert Sources().variables(environment, None) == environment

    def test_extra_indexes_leave_the_default_one(self):
        found = Sources(extra_index_urls=("https://1", "https://2")).variables({"UV_DEFAULT_INDEX": "https://d"}, None)
        assert found == {"UV_INDEX": "https://1 https://2", "UV_DEFAULT_INDEX": "https://d"}

    def test_a_comma_does_not_end_a_link(self):
        assert Sources(find_links=("/a,b", "https://c,d")).variables({}, None) == {
            "UV_FIND_LINKS": "file:///a%2Cb,https://c%2Cd"
        }

    def test_the_index_of_a_file(self):
        one = Sources(index_url="https://me:secret@one.example.com/simple")
        assert one.index_of("https://files.example.com/a.whl") == "https://one.example.com/simple"
        two = Sources(index_url=one.index_url, extra_index_urls=("https://two.example.com/simple",))
        assert two.index_of("https://two.example.com/files/a.whl") == "https://two.example.com/simple"
        assert two.index_of("https://files.example.com/a.whl") is None
        same = Sources(index_url="https://one.example.com/a", extra_index_urls=("https://one.example.com/b",))
        assert same.index_of("https://one.example.com/files/a.whl") is None
        assert Sources().index_of("https://files.example.com/a.whl") is None

    def test_credentials_go_to_their_host_alone(self):
        sources = Sources(index_url="https://me:p%40ss@pip.example.com/simple")
        login = sources.login_for("https://pip.example.com/files/a.whl")
        assert (login.username, login.password) == ("me", "p@ss")
        assert sources.login_for("https://pip.example.com.evil.com/a.whl") is None
        assert sources.login_for("https://pip.example.com:8443/a.whl") is None
        assert sources.with_credentials("https://pip.example.com/a") == "https://me:p%40ss@pip.example.com/a"
        assert sources.with_credentials("https://other.example.com/a") == "https://other.example.com/a"

    def test_credentials_are_not_shown(self):
        sources = Sources.of(STEP, PipIndexes(), COMPANY)
        assert "secret" not in repr(sources)
        assert "secret" not in repr(sources.login_for("https://pip.example.com"))
