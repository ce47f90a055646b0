"""The rules: what the procedure has, what a file may say, what stops the start."""

import json
import tomllib
from pathlib import Path

import pytest
from pydantic import ValidationError

from models.approvals import Condition
from service.approvals.rules import DEFAULT_RULES, RulesError, load_rules
from service.cli.main import settings_sentence
from service.settings import LocalSettings

RULES = """
[[rules]]
name = "elsewhere"
when = "other-jurisdiction"
role = "JD-005"
approvers = 2

[[rules]]
name = "elsewhere-too"
when = "other-jurisdiction"
role = "JD-001"
alternate = "JD-004"

[[rules]]
name = "special"
when = "special-category"
role = "JD-004"

[[rules]]
name = "profile"
when = "profile"
role = "JD-004"
"""


def test_the_procedures_rules() -> None:
    """SP-04: JD-005 for a jurisdiction; JD-001 stands in, and for JD-001 the JD-005."""
    told = {rule.when: (rule.role, rule.approvers, rule.alternate) for rule in DEFAULT_RULES.rules}
    assert told == {
        Condition.other_jurisdiction: ("JD-005", 1, "JD-001"),
        Condition.special_category: ("JD-001", 1, "JD-005"),
        Condition.profile: ("JD-004", 1, "JD-001"),
    }


def test_the_rules_in_the_guide_can_be_used(tmp_path: Path) -> None:
    guide = Path(__file__).resolve().parents[3] / "docs" / "procedure.md"
    file = tmp_path / "rules.toml"
    file.write_text(guide.read_text().split("```toml\n")[1].split("```")[0])
    assert [rule.approvers for rule in load_rules(file).rules] == [2, 1, 1]


@pytest.mark.parametrize("suffix", [".toml", ".json", ""])
def test_rules_come_from_a_file(tmp_path: Path, suffix: str) -> None:
    """Several rules may be about one condition."""
    file = tmp_path / f"rules{suffix}"
    file.write_text(json.dumps(tomllib.loads(RULES)) if suffix == ".json" else RULES)
    settings = LocalSettings(data_directory=tmp_path, approval_rules_file=file)
    found = settings.approval_rules.when(Condition.other_jurisdiction)
    assert [(rule.name, rule.approvers) for rule in found] == [
        ("elsewhere", 2),
        ("elsewhere-too", 1),
    ]
    assert LocalSettings(data_directory=tmp_path).approval_rules == DEFAULT_RULES


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('when = "profile"', 'when = "special-category"'), "no rule is about profile"),
        (('name = "special"', 'name = "profile"'), "two rules have the name profile"),
        (('alternate = "JD-004"', ""), "rules.1: the alternate has to be another role than JD-001"),
        (('"JD-005"', '"JD-009"'), "rules.0.role"),
        (("approvers = 2", "approvers = 0"), "rules.0.approvers"),
        (('"elsewhere"', '"Else where"'), "rules.0.name"),
        (("approvers = 2", "how_many = 2"), "rules.0.how_many"),
        (("[[rules]]", "[[rule]]"), "rules"),
        (('"JD-005"', '"JD-005'), "TOML or JSON"),
    ],
)
def test_rules_that_cannot_be_used_stop_the_start(
    tmp_path: Path, change: tuple[str, str], said: str
) -> None:
    """SP-04: no condition is left without a rule; the setting is named, and what is wrong."""
    file = tmp_path / "rules.toml"
    file.write_text(RULES.replace(*change))
    with pytest.raises(RulesError, match=said):
        load_rules(file)
    with pytest.raises(ValidationError) as caught:
        LocalSettings(data_directory=tmp_path, approval_rules_file=file)
    sentence = settings_sentence(caught.value)
    assert sentence.startswith("HANDOVER_APPROVAL_RULES_FILE cannot be")
    assert said in sentence


@pytest.mark.parametrize("content", [b"", b"[]", b"null", b"\xff", b"rules = 1"])
def test_files_without_rules_are_refused(tmp_path: Path, content: bytes) -> None:
    for suffix in (".toml", ".json"):
        file = tmp_path / f"rules{suffix}"
        file.write_bytes(content)
        with pytest.raises(RulesError):
            load_rules(file)
