"""The page for people who come from Megvii's YOLOX says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from yolox_deploy.errors import UsageError
from yolox_deploy.migrate.exp_file import DEFAULTS
from yolox_deploy.migrate.text import commands, to_toml
from yolox_deploy.migrate.translate import migrate
from yolox_deploy.settings import field_types
from yolox_deploy.training.config import TrainConfig
from yolox_deploy.training.recipes import recipe
from yolox_deploy.training.renamed import MEGVII_SETTINGS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "migrating.md").read_text(encoding="utf-8")
ARCHITECTURE = {"architecture.depth", "architecture.width", "architecture.activation"}


def test_the_table_of_settings_is_that_of_the_code() -> None:
    table = PAGE.partition("## Settings")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (?:–|`([\w.]+)`) \| ?(.*?) ?\|$", table, re.MULTILINE)
    assert rows == [(name, new or "", word) for name, (new, word) in MEGVII_SETTINGS.items()]


def test_every_name_here_is_a_setting_and_every_name_there_is_in_the_table() -> None:
    new = {renamed.new for renamed in MEGVII_SETTINGS.values() if renamed.new}
    assert new <= field_types(TrainConfig).keys() | ARCHITECTURE
    assert DEFAULTS.keys() - {"dataset"} <= MEGVII_SETTINGS.keys()


@pytest.mark.parametrize("name", [name for name, (new, _) in MEGVII_SETTINGS.items() if new != name])
def test_each_name_of_theirs_is_answered(name: str) -> None:
    with pytest.raises(UsageError, match=f"no setting called '{name}'; the authors' {name} (is|has no)"):
        recipe("yolox_s", Path("data"), **{name: 1})


def test_what_the_page_shows_is_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exp = Path("parts.py")
    exp.write_text(PAGE.partition("cat > parts.py <<'EOF'\n")[2].partition("EOF\n")[0])
    migration = migrate(exp)
    assert f"```toml\n{to_toml(migration)}```" in PAGE
    told = "".join(f"# - {item.told(exp)}\n" for item in migration.leftovers)
    assert f"```text\n{told}```" in PAGE
    for what, lines in commands(migration, "parts.toml").items():
        assert "authors" in what or f"\n# {what}\n" + "\n".join(lines) in PAGE
