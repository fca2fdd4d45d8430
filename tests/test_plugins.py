"""Plugins: who is asked, who is skipped and why, and that a plugin's fault carries its name. Installed ones are real distributions on a path."""

import ast
import sys
import textwrap
from pathlib import Path

import pytest

from ra_sdk import hookimpl, hookspecs, plugin
from ra_sdk.errors import BadOption, ModelError, SinkError, SourceError, UnknownScheme
from ra_sdk.plugins import PluginSet, PluginWarning
from ra_sdk.sinks.jsonl import JsonlSink
from ra_sdk.sources.files import FileSource

GOOD = """
    from ra_sdk import hookimpl

    class Sized:
        name, identity, live = "good:", "good:", False
        def __iter__(self): return iter(["one"])
        def acknowledge(self, checkpoint): pass
        def close(self): pass

    @hookimpl
    def ra_sdk_open_source(url):
        return Sized() if url.startswith("good:") else None
"""
BROKEN = {  # what is wrong with a plugin -> its module, and what is said of it
    "it cannot be imported": ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    "it has a fault": ("1 / 0", "ZeroDivisionError: division by zero"),
    "it ends the program": ("raise SystemExit(3)", "SystemExit: 3"),
    "it does not parse": ("def", "SyntaxError"),
    "it marks nothing": ("def ra_sdk_open_source(url): return None", "hookimpl"),
    "it has a hook that is none": ("from ra_sdk import hookimpl\n@hookimpl\ndef ra_sdk_open_sauce(url): return None", "unknown hook 'ra_sdk_open_sauce'"),
    "its hook takes what is not given": ("from ra_sdk import hookimpl\n@hookimpl\ndef ra_sdk_open_source(uri): return None", "uri"),
    "it wraps": ("from ra_sdk import hookimpl\n@hookimpl(wrapper=True)\ndef ra_sdk_open_source(url): return (yield)", "wraps"),
}


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Puts a distribution with an entry point where importlib.metadata finds it."""
    monkeypatch.syspath_prepend(tmp_path)

    def put(name, code, distribution=None):
        module = f"plugin_{name}_{tmp_path.name.translate(str.maketrans('-', '_'))}"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(code))
        distribution = distribution or f"ra-{name}"
        info = tmp_path / f"{distribution.replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[ra_sdk]\n{name} = {module}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    return put


def listed(plugins):
    return {plugin.name: plugin for plugin in plugins.listing()}


def test_built_in_ones_come_through_the_same_hooks():
    found = listed(PluginSet())
    assert {plugin.distribution for plugin in found.values()} == {"ra-sdk"}
    assert sorted(hook for plugin in found.values() for hook in plugin.hooks) == sorted(
        name for name in dir(hookspecs) if name.startswith("ra_sdk_") and name not in ("ra_sdk_open_listener", "ra_sdk_masks", "ra_sdk_knowledge")
    )
    assert all(plugin.version and plugin.error is None for plugin in found.values())


def test_an_installed_plugin_is_found_listed_and_asked(install):
    install("good", GOOD)
    plugins = PluginSet()
    assert listed(plugins)["good"] == ("good", "ra-good", "1.2", ("ra_sdk_open_source",), None)
    assert list(plugins.open_source("good:x", {})) == ["one"]


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_is_named_and_skipped_and_the_others_work(install, what, tmp_path):
    code, said = BROKEN[what]
    install("bad", code)
    install("good", GOOD)
    with pytest.warns(PluginWarning) as caught:
        plugins = PluginSet()
    (message,) = [str(warning.message) for warning in caught]
    assert message.startswith("plugin 'bad' of ra-bad 1.2 is skipped: ")
    assert said in message
    assert "RA_PLUGINS" in message
    assert "\n" not in message
    assert said in listed(plugins)["bad"].error
    assert listed(plugins)["bad"].hooks == ()
    assert list(plugins.open_source("good:x", {})) == ["one"]
    (tmp_path / "app.log").write_text("x\n")
    plugins.open_source(tmp_path / "app.log", {}).close()
    with pytest.raises(UnknownScheme, match="plugin 'bad' is skipped: "):
        plugins.open_source("bad:x", {})


def test_two_plugins_of_one_name_do_not_push_each_other_out(install):
    install("good", GOOD)
    install("sources", GOOD)
    with pytest.warns(PluginWarning, match="plugin 'sources' of ra-sources 1.2 is skipped: .*another plugin has this name"):
        plugins = PluginSet()
    source = plugins.open_source(__file__, {})
    source.close()
    assert isinstance(source, FileSource)


@pytest.mark.parametrize(("allowed", "expected"), [(None, {"good", "fine"}), ("", set()), ("fine", {"fine"}), (" fine , good", {"good", "fine"})])
def test_ra_plugins_limits_them(install, monkeypatch, allowed, expected):
    install("good", GOOD)
    install("fine", GOOD.replace("good", "fine"))
    if allowed is not None:
        monkeypatch.setenv("RA_PLUGINS", allowed)
    assert {plugin.name for plugin in PluginSet().listing() if plugin.distribution != "ra-sdk"} == expected


def test_a_plugin_that_is_left_out_is_not_even_imported(install, monkeypatch):
    install("bad", "1 / 0")
    monkeypatch.setenv("RA_PLUGINS", "")
    assert "bad" not in listed(PluginSet())


def test_ra_plugins_with_a_name_that_is_not_installed(monkeypatch):
    monkeypatch.setenv("RA_PLUGINS", "god")
    with pytest.warns(PluginWarning, match="names god, which is not installed"):
        PluginSet()


class Given:
    """A plugin that a caller has in hand."""

    def __init__(self, result):
        self.result = result

    def answer(self):
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    @hookimpl
    def ra_sdk_open_source(self, url, options):
        return self.answer() if url.startswith("mine:") else None

    @hookimpl
    def ra_sdk_open_sink(self, url):
        return self.answer() if url.startswith("mine:") else None

    @hookimpl
    def ra_sdk_open_reasoner(self, model):
        return self.answer() if model == "mine" else None

    @hookimpl
    def ra_sdk_formats(self):
        return self.answer()


@pytest.mark.parametrize(
    ("door", "error"), [("open_source", SourceError), ("open_sink", SinkError), ("open_reasoner", ModelError)], ids=lambda value: str(value)
)
def test_what_a_plugin_does_wrong_is_reported_with_its_name(door, error):
    name = "mine" if door == "open_reasoner" else "mine:x"
    for result, said in ((KeyError("host"), r"KeyError\('host'\)"), (object(), "has no name")):
        with pytest.raises(error, match=f"'{name}' cannot be opened: .*plugin 'Given-0'.*{said}.*report it to its authors"):
            getattr(PluginSet([Given(result)]), door)(name, {})
    own = error("the world's fault")
    with pytest.raises(error) as caught:
        getattr(PluginSet([Given(own)]), door)(name, {})
    assert caught.value is own


def test_a_given_plugin_is_asked_first():
    class Taker:
        @hookimpl
        def ra_sdk_open_sink(self, url, options):
            return sink if url.startswith("jsonl:") else None

    sink = JsonlSink(sys.stderr.buffer)
    assert PluginSet([Taker()]).open_sink("jsonl:/x/y", {}) is sink
    assert listed(PluginSet([Taker()]))["Taker-0"].distribution == "(given)"


def test_formats_of_plugins_come_before_the_built_in_ones():
    (plain,) = [form for form in PluginSet().formats() if form.name == "plain"]
    names = [form.name for form in PluginSet([Given([plain])]).formats()]
    assert (names[0], names[-1], names.count("plain")) == ("plain", "plain", 2)
    assert names[1:] == [form.name for form in PluginSet([Given(None)]).formats()]


@pytest.mark.parametrize(("result", "said"), [(KeyError("x"), "KeyError"), (["json"], "has no name"), (42, "not iterable")])
def test_formats_that_are_none_are_left_out(result, said):
    plugins = PluginSet([Given(result)])
    with pytest.warns(PluginWarning, match=f"formats of plugin 'Given-0' are left out: .*{said}"):
        found = plugins.formats()
    assert [form.name for form in found] == [form.name for form in PluginSet().formats()]


@pytest.mark.parametrize(
    ("door", "url", "said"),
    [
        ("open_source", "stdn:", "did you mean stdin:?"),
        ("open_source", "nosuch://host/x", "known are file:, stdin:, good:;"),
        ("open_source", "god:x", "did you mean good:?"),
        ("open_sink", "json:out", "did you mean jsonl:?"),
        ("open_sink", "out.jsonl", "known are jsonl:;"),
        ("open_sink", "", "known are jsonl:;"),
    ],
)
def test_a_scheme_that_nobody_knows(install, door, url, said):
    install("good", GOOD)
    with pytest.raises(UnknownScheme) as caught:
        getattr(PluginSet(), door)(url, {})
    assert said in str(caught.value)
    assert repr(url) in str(caught.value)


def test_a_path_is_a_path_whatever_it_looks_like(tmp_path, monkeypatch):
    from pathlib import Path

    monkeypatch.chdir(tmp_path)
    for name in ("nosuch:thing", "-", "file:x"):
        Path(name).write_text(f"{name}\n")
        source = PluginSet().open_source(Path(name), {})
        assert [piece.data for piece in source] == [f"{name}\n".encode()]
        source.close()


def test_reasoners_may_be_objects():
    class Bare:
        def judge(self, templates, mode="direct"):
            return []

    found = PluginSet().open_reasoner(Bare(), {})
    assert found.name == found.digest
    assert "Bare" in found.name
    assert found.judge([]) == []
    with pytest.raises(BadOption, match="has no judge"):
        PluginSet().open_reasoner(42, {})
    assert PluginSet().open_reasoner("echo", {}).name.startswith("echo")


class Breaking:
    """A source and a sink that open well and fail at work."""

    def __init__(self, fault, where):
        self.fault, self.where, self.wrote = fault, where, 0

    def fail(self, place):
        if self.where == place:
            raise self.fault

    @hookimpl
    def ra_sdk_open_source(self, url):
        return self.Source(self) if url.startswith("mine:") else None

    @hookimpl
    def ra_sdk_open_sink(self, url):
        kind = {"mine:": self.Sink, "prepares:": self.Prepares}.get(url.split(":")[0] + ":")
        return kind(self) if kind else None

    class Source:
        name, identity, live = "mine:x", "mine:x", False

        def __init__(self, plugin):
            self.plugin = plugin

        def __iter__(self):
            yield "disk failed"
            self.plugin.fail("iterates")
            yield "all good"

        def acknowledge(self, checkpoint):
            pass

        def close(self):
            self.plugin.fail("closes")

    class Sink:
        name = "mine:out"

        def __init__(self, plugin):
            self.plugin = plugin

        def write(self, detections):
            self.plugin.wrote += len(detections)
            self.plugin.fail("writes")

        def close(self):
            pass

    class Prepares(Sink):
        def prepare(self, detections):
            self.plugin.fail("prepares")
            return detections

        def write_prepared(self, prepared):
            self.write(prepared)


@pytest.mark.parametrize("where", ["iterates", "closes", "writes", "prepares"])
@pytest.mark.parametrize("fault", [KeyError("host"), ConnectionResetError(104, "Connection reset by peer"), SinkError("its own"), SourceError("its own")])
def test_what_a_plugin_does_wrong_at_work_has_its_name(where, fault):
    from ra_sdk import Detector

    plugin = Breaking(fault, where)
    error = SinkError if where in ("writes", "prepares") else SourceError
    said = "cannot be written: " if error is SinkError else "cannot be read: "
    said = {
        KeyError: said + r"plugin 'Breaking-0' failed with KeyError\('host'\); report it",
        ConnectionResetError: said + r".*reset by peer \(plugin 'Breaking-0'\)",
    }
    with Detector(model="echo", store=":memory:", plugins=[plugin]) as detector:
        with pytest.raises((error, type(fault)), match=said.get(type(fault), "its own")) as caught:
            detector.write("mine:x", "prepares:out" if where == "prepares" else "mine:out")
        assert caught.value is fault or (isinstance(caught.value, error) and caught.value.__cause__ is fault)
        if where == "iterates" and type(fault) is KeyError:
            found = detector.detect("mine:x")
            with pytest.raises(SourceError, match="plugin 'Breaking-0'"):
                list(found)


def test_what_a_caller_gives_fails_as_it_does():
    from ra_sdk import Detector

    plugin = Breaking(KeyError("host"), "iterates")
    with Detector(model="echo", store=":memory:") as detector, pytest.raises(KeyError):
        list(detector.detect(plugin.Source(plugin)))


def test_sinks_of_plugins_still_prepare():
    from ra_sdk import Detector
    from ra_sdk.hookspecs import Preparing

    plugin = Breaking(None, "nowhere")
    with Detector(model="echo", store=":memory:", plugins=[plugin]) as detector:
        sink = detector.plugins.open_sink("prepares:out", {})
        assert isinstance(detector.plugins.watched(sink), Preparing)
        assert not isinstance(detector.plugins.watched(detector.plugins.open_sink("mine:out", {})), Preparing)
        detector.write("mine:x", "prepares:out")
    assert plugin.wrote == 2


def test_a_plugin_for_another_api_is_left_out():
    class Plugin:
        RA_SDK_API = 2

        @hookimpl
        def ra_sdk_open_source(self, url):
            return None

    with pytest.warns(PluginWarning, match="written for API 2, and this version has 1"):
        assert [listed for listed in PluginSet([Plugin()]).listing() if listed.error]


def test_the_public_surface_of_plugins_is_whole():
    surface = ast.parse(Path(plugin.__file__).read_text(encoding="utf-8"))
    typed = {name.asname for node in ast.walk(surface) if isinstance(node, ast.ImportFrom) for name in node.names if name.asname}
    assert typed == set(plugin.__all__) - {"API"}
    assert all(getattr(plugin, name) is not None for name in plugin.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        plugin.nothing  # noqa: B018
