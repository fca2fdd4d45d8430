"""A user's own masks: from the configuration directory and from plugins, with errors that name the entry."""

import pytest

from ra_sdk import Detector, hookimpl
from ra_sdk.errors import BadOption
from ra_sdk.plugins import PluginWarning


@pytest.fixture
def masks_toml(tmp_path, monkeypatch):
    monkeypatch.setenv("RA_CONFIG_DIR", str(tmp_path))
    return tmp_path / "masks.toml"


def templates(bodies, **options):
    with Detector(model="echo", store=":memory:", format="plain", **options) as detector:
        return {detection.template for detection in detector.detect(bodies)}


class Plugin:
    @hookimpl
    def ra_sdk_masks(self):
        return [("tenant [a-z]+", "tenant <id>")]


ORDERS = ["order GOLD:ab failed", "order GOLD:cd failed"]


def test_masks_of_the_configuration_are_applied_first(masks_toml):
    assert templates(ORDERS) != {"order <id> failed"}
    masks_toml.write_text("[[mask]]\npattern = 'GOLD:[a-z]+'\nreplacement = '<id>'\n")
    assert templates(ORDERS) == {"order <id> failed"}
    with Detector(model="echo", store=":memory:") as detector:
        assert detector.judge(ORDERS[0]).template == "order <id> failed"


def test_a_replacement_is_any_text_unless_given(masks_toml):
    masks_toml.write_text("[[mask]]\npattern = 'GOLD:[a-z]+'\n")
    assert templates(ORDERS) == {"order <*> failed"}


def test_masks_of_plugins_are_applied():
    assert templates(["tenant alpha left", "tenant beta left"], plugins=[Plugin()]) == {"tenant <id> left"}


class Broken:
    @hookimpl
    def ra_sdk_masks(self):
        return [("[", "<id>")]


def test_masks_of_a_plugin_that_cannot_be_used_are_left_out():
    with pytest.warns(PluginWarning, match=r"the masks of plugin 'Broken-0' are left out: .*mask 1: `pattern` must be"):
        assert templates(["tenant alpha left"], plugins=[Broken()]) == {"tenant alpha left"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[mask]]\npattern = '(?<=a)b'\n", r"masks.toml, mask 1: `pattern` must be a Rust regular expression"),
        ("[[mask]]\npattern = 'a'\n[[mask]]\npattern = '['\n", r"masks.toml, mask 2: `pattern` must be"),
        ("[[mask]]\npattern = 'a*'\n", "mask 1: `pattern` must not match the empty text, got 'a\\*'"),
        ("[[mask]]\npattern = 3\n", "mask 1: `pattern` and `replacement` must be texts, got 3"),
        ("[[mask]]\nname = 'a'\n", "mask 1: must be a table with `pattern`"),
        ("mask = 1\n", r"masks.toml: must hold \[\[mask\]\] entries"),
        ("[[mask", r"masks.toml: is not valid TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_entry(masks_toml, text, said):
    masks_toml.write_text(text)
    with pytest.raises(BadOption, match=said):
        templates(ORDERS)
