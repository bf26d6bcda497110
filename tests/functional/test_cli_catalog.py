"""What the command line tells of catalogs, and of the recipes in them."""

from __future__ import annotations

import re

import pytest
from fakes.command_line import run_cli
from fakes.team_catalog import NAMED, write_team


@pytest.fixture
def team(tmp_path):
    """A catalog with one named image."""
    write_team(tmp_path / "team")
    return str(tmp_path / "team")


class TestExtras:
    def test_lists_every_recipe_with_its_summary(self):
        ended = run_cli("extras")
        assert re.search(r"^faiss +Similarity search and clustering of dense vectors$", ended.out, re.MULTILINE)
        assert {"faiss", "pyg"} <= {one["name"] for one in run_cli("extras", "--json").document}

    def test_one_recipe_with_all_its_variants(self):
        ended = run_cli("extras", "FAISS")
        assert ended.out.startswith("name: faiss\nsummary: Similarity search")
        assert re.search(r"processor gpu; .*cuda >=12\.1.*faiss-gpu-cu12=={version}", ended.out)
        document = run_cli("extras", "faiss", "--json").document
        assert document["variants"][0]["when"]["processor"][0] == "cpu"
        assert document["variants"][0]["pip"]["packages"] == ["faiss-cpu=={version}"]

    def test_where_a_recipe_has_nothing_its_reason_is_shown(self):
        assert re.search(
            r"processor cpu/.* nothing: flash-attn computes on NVIDIA GPUs only", run_cli("extras", "flash-attn").out
        )

    def test_what_would_be_installed_on_an_image(self):
        ended = run_cli("extras", "--framework", "pytorch", "--version", "2.3")
        assert re.search(r"^faiss +pip: faiss-cpu==1\.12\.0$", ended.out, re.MULTILINE)
        assert re.search(r"^xformers +nothing: xformers has kernels for NVIDIA GPUs only", ended.out, re.MULTILINE)

    def test_what_one_would_install_as_a_document(self):
        which = ("--framework", "pytorch", "--version", "2.3", "--processor", "gpu")
        (faiss,) = run_cli("extras", "faiss", *which, "--json").document
        assert faiss["steps"][0]["packages"] == ["faiss-gpu-cu12==1.12.0"]
        assert faiss["nothing_because"] is None

    def test_unknown_recipe_is_told_with_the_nearest(self):
        ended = run_cli("extras", "lightgbn")
        assert ended.code == 2
        assert ended.err == "error: there is no recipe 'lightgbn' in the catalog\n  -> did you mean lightgbm?\n"

    def test_image_that_does_not_exist_is_an_error_and_not_a_reason(self):
        ended = run_cli("extras", "faiss", "--framework", "pytorch", "--version", "9.9")
        assert ended.code == 2
        assert "the catalog has no pytorch training image for 9.9" in ended.err

    def test_options_without_a_framework_are_told(self):
        ended = run_cli("extras", "faiss", "--processor", "gpu")
        assert (ended.code, "need --framework" in ended.err) == (2, True)


class TestCatalog:
    def test_list_shows_where_entries_come_from(self, team):
        ended = run_cli("catalog", "list", "--catalog", team, "--origin")
        assert re.search(rf"^image +shop +{re.escape(team)} +\S*images/shop\.yaml$", ended.out, re.MULTILINE)
        assert re.search(r"^framework +pytorch +sagemaker_custom ", ended.out, re.MULTILINE)

    def test_list_without_origins(self):
        assert re.search(r"^recipe +faiss$", run_cli("catalog", "list").out, re.MULTILINE)

    def test_list_as_a_document(self, team):
        listed = run_cli("catalog", "list", "--catalog", team, "--json").document
        (shop,) = [entry for entry in listed if entry["name"] == "shop"]
        assert (shop["kind"], shop["layer"], shop["overrides"]) == ("image", team, [])

    def test_good_catalogs_have_no_problems(self, team):
        ended = run_cli("catalog", "validate", team)
        assert (ended.code, ended.out, ended.err) == (0, "", "no problems\n")

    def test_every_problem_is_told(self, team, tmp_path):
        (tmp_path / "team/images/shop.yaml").write_text(NAMED.replace("framework:", "framwork:").replace("gpu", "gpus"))
        ended = run_cli("catalog", "validate", team)
        assert ended.code == 3
        assert "did you mean 'framework'?" in ended.out
        assert "processors[0]" in ended.out

    def test_problems_as_a_document(self, team, tmp_path):
        (tmp_path / "team/images/shop.yaml").write_text(NAMED.replace("[faiss]", "[fais]"))
        ended = run_cli("catalog", "validate", team, "--json")
        assert ended.code == 3
        assert "fais" in ended.document["problems"][0]["message"]

    def test_configured_catalogs_are_checked_when_none_is_named(self, team, tmp_path, monkeypatch):
        monkeypatch.setenv("SAGEMAKER_CUSTOM_CATALOG", team)
        assert run_cli("catalog", "validate").code == 0
        (tmp_path / "team/images/shop.yaml").write_text(NAMED.replace("framework:", "framwork:"))
        assert run_cli("catalog", "validate").code == 3

    def test_schema_of_one_kind_and_of_all(self):
        schemas = run_cli("catalog", "schema").document
        assert run_cli("catalog", "schema", "recipe").document == schemas["recipe"]
        assert schemas["recipe"]["$schema"].startswith("https://json-schema.org/")

    def test_schema_of_no_kind_is_told(self):
        ended = run_cli("catalog", "schema", "recipy")
        assert (ended.code, ended.err) == (
            2,
            "error: there is no kind of document 'recipy'\n  -> did you mean recipe?\n",
        )

    def test_refresh_writes_only_when_told_where(self):
        ended = run_cli("catalog", "refresh", "--from", "sdk", "--write")
        assert ended.code == 2
        assert "--into FOLDER" in ended.err

    def test_refresh_shows_first_and_writes_when_told_to(self, tmp_path):
        arguments = ("catalog", "refresh", "knn", "--from", "sdk", "--region", "us-east-1", "--into", str(tmp_path))
        shown = run_cli(*arguments)
        assert re.match(r"knn: \d+ added\n\+ knn:1 ", shown.out)
        assert shown.err == "nothing is written; --into FOLDER --write does\n"
        assert list(tmp_path.iterdir()) == []
        written = run_cli(*arguments, "--write", "--json").document
        assert written["written"] == [str(tmp_path / "frameworks/knn.json")]
        assert written["frameworks"][0]["added"][0]["repository"] == "knn"
        again = run_cli(*arguments, "--catalog", str(tmp_path))
        assert (again.out, again.err) == ("no change: knn\n", "")
