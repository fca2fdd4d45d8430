"""Mining statements: what each language's log calls give, as which templates; the list; the command."""

from __future__ import annotations

import json
import re
import tarfile
import zipfile
from io import BytesIO

import pytest
from ra_sdk.errors import BadOption

from ra_training.calls import calls, language_of
from ra_training.cli import main
from ra_training.mine import SOURCES, mine, read_sources, statements
from ra_training.packages import Missing, Package, Registries, _newest, members
from ra_training.statements import templates, worth

CALLS = {  # language: source of one or more statements, and what they are
    "c": [
        ('syslog(LOG_ERR, "cannot open %s: %m", path);', [("ERROR", "cannot open <*>: <*>")]),
        ('syslog(LOG_MAIL | LOG_WARNING, "queue is %d%% full", n);', [("WARN", "queue is <pct> full")]),
        ('printk(KERN_CRIT "lid %d: heat " "over limit\\n", n);', [("FATAL", "lid <num>: heat over limit")]),
        ('pr_err("bad block %llu on %pM\\n", n, mac);', [("ERROR", "bad block <num> on <mac>")]),
        ('dev_warn_ratelimited(&p->dev, "no answer after %d ms\\n", n);', [("WARN", "no answer after <ms>")]),
        ('pool_warn_errno(r, "Failed to lock %s", n);', [("WARN", "Failed to lock <*>")]),
        (
            'ereport(FATAL, (errcode(ERR_X), errmsg("no room for \\"%s\\"", name), errhint("Free some of %d slots.", n)));',
            [("FATAL", 'no room for "<*>"'), ("FATAL", "Free some of <num> slots.")],
        ),
        ('elog(WARNING, "lost the page %u", n);', [("WARN", "lost the page <num>")]),
        ('serverLog(LL_WARNING,"Cannot save %s after %" PRIu64 " tries", f, n);', [("WARN", "Cannot save <*> after <num> tries")]),
        ('nm_log_warn(D, "process %" G_PID_FORMAT " is still here", pid);', [("WARN", "process <num> is still here")]),
        ('ngx_log_error(NGX_LOG_ALERT, c->log, 0, "worker %d exited on its own", pid);', [("FATAL", "worker <num> exited on its own")]),
        ('DEBUG(0, ("share %s is gone\\n", name)); DEBUG(10, ("share %s is here\\n", name));', [("ERROR", "share <*> is gone"), ("DEBUG", "share <*> is here")]),
        ('LOG(ERROR) << "cannot read " << path << ": code " << n;', [("ERROR", "cannot read <*>: code <*>")]),
        ('Log(LogCritical, "Api") << "No peer for \'" << name << "\'";', [("FATAL", "No peer for '<*>'")]),
        ('g_log<<Logger::Warning<<"Zone "<<z<<" is stale"<<endl;', [("WARN", "Zone <*> is stale")]),
        ('LOG_ERROR(log, "Part {} is broken", name);', [("ERROR", "Part <*> is broken")]),
        ('log_msg(m, "WARNING: the clock went back"); log_it("the clock is fine");', [("WARN", "WARNING: the clock went back"), ("INFO", "the clock is fine")]),
        ('/* log_error("not this one"); */ // log_error("nor this one")', []),
        ('set_error(e, "nothing is logged here"); snprintf(errbuf, 9, "nor is it here");', []),
        ('log_error("it has a ; and a ) and a /* inside");', [("ERROR", "it has a ; and a ) and a /* inside")]),
        ('log_error(x ? _("first of two words") : "second");', [("ERROR", "first of two words")]),
    ],
    "java": [
        ('log.error("Cannot reach {} of " + node + " in {} ms", a, b, e);', [("ERROR", "Cannot reach <*> of <*> in <ms>")]),
        ('LOGGER.log(Level.SEVERE, "Cannot bind the port " + port, e);', [("ERROR", "Cannot bind the port <*>")]),
        ('logger.warn(() -> format("[%s] shard has failed", id), e);', [("WARN", "[<*>] shard has failed")]),
        ('logger.atInfo().setCause(e).log("Cache was made anew");', [("INFO", "Cache was made anew")]),
        ('@LogMessage(level = WARN) @Message(id = 7, value = "Timer %s is late")', [("WARN", "Timer <*> is late")]),
        ('log.fatal(sm.getString("pool.dry", name));', [("FATAL", "Pool <*> is dry and can't grow")]),
        ('log.info("Took %s of %d".formatted(x, y));', [("INFO", "Took <*> of <num>")]),
        ('dialog.error("shown to a user only"); list.add("not a log line");', []),
    ],
    "scala": [('error(s"Leader of $topic is not known", e)', [("ERROR", "Leader of <*> is not known")])],
    "go": [
        ('klog.ErrorS(err, "Failed to start the pod", "pod", p)', [("ERROR", "Failed to start the pod")]),
        ('log.WithField("a", b).Warnf("cannot open %q: %v", a, err)', [("WARN", "cannot open <*>: <*>")]),
        ('log.Error().Err(err).Str("x", y).Msg("cannot reach the peer")', [("ERROR", "cannot reach the peer")]),
        ('level.Error(logger).Log("msg", "cannot load the rules")', [("ERROR", "cannot load the rules")]),
        ('s.logger.Error("disk is 100% full now", zap.String("a", "b"))', [("ERROR", "disk is 100% full now")]),
        ('slog.Warn("peer is slow today", "peer", p)', [("WARN", "peer is slow today")]),
        ('utilruntime.HandleError(fmt.Errorf("no key for object %v", o))', [("ERROR", "no key for object <*>")]),
        ('a.logger.Printf("[ERR] agent: failed to leave: %v", err)', [("ERROR", "[ERR] agent: failed to leave: <*>")]),
        ('t.Errorf("a test is not a log: %v", x); return fmt.Errorf("nor is an error %v", x)', []),
    ],
    "python": [
        ('log.warning("cannot open %s: %d", a, b)', [("WARN", "cannot open <*>: <num>")]),
        ('self._logger.error(f"cannot read {x}: {y!r} is 100% bad")', [("ERROR", "cannot read <*>: <*> is 100% bad")]),
        ('LOG.exception("no {} for {:>3}".format(a, b) + " at " "all")', [("ERROR", "no <*> for <*> at all")]),
        ('logging.critical(_("worker %(name)s is dead") % {"name": n})', [("FATAL", "worker <*> is dead")]),
        ('print("not a log line"); dialog.error("for the user only")', []),
        ('log.error("this file does not parse"', []),
    ],
    "javascript": [
        ("console.error(`Cannot load ${path}: ${err.message} today`);", [("ERROR", "Cannot load <*>: <*> today")]),
        ("this.logger.warn('peer %s is gone: ' + why, x);", [("WARN", "peer <*> is gone: <*>")]),
        ("res.error('sent to a client only');", []),
    ],
    "rust": [
        ('error!("failed to bind {}: {:?}", addr, e);', [("ERROR", "failed to bind <*>: <*>")]),
        ('tracing::warn!(target: "io", err = ?e, "slow read took {took:?}");', [("WARN", "slow read took <*>")]),
        ("log::info!(r#\"the \"best\" of {{all}}\"#);", [("INFO", 'the "best" of {all}')]),
    ],
    "csharp": [
        ('_logger.LogError(ex, "Cannot open {Path} for {Id}", p, i);', [("ERROR", "Cannot open <*> for <*>")]),
        ('Log.Warn($"value {x} is out of range");', [("WARN", "value <*> is out of range")]),
    ],
    "php": [
        ("$this->logger->error('Cannot open ' . $file . ' for writing');", [("ERROR", "Cannot open <*> for writing")]),
        ('Log::warning("User $name not found in {$x->y}");', [("WARN", "User <*> not found in <*>")]),
    ],
    "ruby": [
        ('Rails.logger.error "No job #{x} in the queue" if x', [("ERROR", "No job <*> in the queue")]),
        ('logger.warn { "job #{id} was lost" }', [("WARN", "job <*> was lost")]),
        ("@logger.fatal('cannot go on like this')", [("FATAL", "cannot go on like this")]),
    ],
    "erlang": [('?LOG_ERROR("Cannot start ~p: ~s", [X, Y])', [("ERROR", "Cannot start <*>: <*>")])],
}  # fmt: skip
BUNDLE = {"pool.dry": "Pool {0} is dry and can't grow"}


def mined(source, language):
    found = list(calls(source, language, BUNDLE))
    texts = templates([call.text for call in found], [call.style for call in found])
    return [(call.level, text) for call, text in zip(found, texts)]


@pytest.mark.parametrize(("language", "source", "expected"), [(language, *row) for language, rows in CALLS.items() for row in rows])
def test_log_calls(language, source, expected):
    assert mined(source, language) == expected


@pytest.mark.parametrize(
    ("text", "style", "expected"),
    [
        ("exit code %d", "printf", "exit code <*>"),  # the masks keep exit codes, so a statement leaves theirs open
        ("HTTP status %d from %s", "printf", "HTTP status <*> from <*>"),
        ("%d of %d replicas", "printf", "<num> of <num> replicas"),
        ("at 0x%lx, flags %#x, pointer %p", "printf", "at <hex>, flags <hex>, pointer <hex>"),
        ("%02x:%02x:%02x:%02x:%02x:%02x left", "printf", "<mac> left"),
        ("%d.%d.%d.%d is a twin", "printf", "<ip> is a twin"),
        ("cannot stat /var/lib/%s/state", "printf", "cannot stat <path>"),
        ("took {} ms, {}% of all", "brace", "took <ms>, <pct> of all"),
        ("first line\nsecond line", "plain", "first line"),
        ("100% of {x} and %d", "plain", "100% of {x} and %d"),
    ],
)
def test_values_are_masked_as_in_a_log(text, style, expected):
    assert templates([text], [style]) == [expected]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("cannot open file", True),
        ("<*>: <num> <*>", False),
        ("failed: <*>", False),
        ("got ECONNRESET", True),
        ("del_sigs:update_soa -> <*>", False),
        ("Usage: tool FILE and more words", False),
        ("word " * 80, False),
    ],
)
def test_worth(template, expected):
    assert worth(template) is expected


@pytest.mark.parametrize(("file", "expected"), [("a/b.c", "c"), ("B.JAVA", "java"), ("x.tsx", "javascript"), ("README", None), ("a.b/c", None)])
def test_language_of(file, expected):
    assert language_of(file) == expected


def test_lines_are_those_of_the_file():
    assert [call.line for call in calls('/* a\n b */\n\nlog_error("on line four");\nlog_error(\n"on five");', "c")] == [4, 5]


HELD_OUT = (  # what models are tested on: the systems of Loghub, and those of the dev and test splits
    "hadoop spark zookeeper openstack bgl hpc thunderbird windows android healthapp httpd openssh proxifier macos"
    " django gunicorn argocd flux helm terraform jenkins gitlab linux-hardware nginx ingress-nginx dotnet maven gradle mongodb rabbitmq minio ceph"
    " vmware proxmox libvirt openvpn strongswan wireguard mosquitto openmpi ucx libfabric warewulf xcat docker moby coredns prometheus grafana loki pam sudo"
).split()


def test_held_out_families_stay_held_out():
    held = SOURCES.read_text("utf-8").partition("]")[0]
    assert [family for family in HELD_OUT if f'"{family}"' not in held] == []


def test_the_list_is_sound():
    packages = read_sources()
    assert len({package.label for package in packages}) == len(packages) > 200
    assert len({package.system for package in packages}) > 80
    names = {part for package in packages for part in re.split(r"[-/:.]", f"{package.system}/{re.sub('^github.com/[^/]+/', '', package.name)}".lower())}
    assert names & set(HELD_OUT) == set()


def test_of_the_kernel_no_hardware_drivers_are_mined():
    (kernel,) = (package for package in read_sources() if package.system == "linux")
    assert "drivers/scsi" in kernel.only
    held = ("drivers/usb", "drivers/edac", "drivers/acpi", "drivers/hwmon", "drivers/pci", "drivers/thermal", "arch/x86/kernel/cpu/mce")
    assert [folder for folder in held if folder.startswith(kernel.only)] == []


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('held_out = ["a"]\npackages = [{ system = "a", from = "pypi:b" }]', "held out"),
        ('held_out = ["a"]\npackages = [{ system = "b", from = "go:example.org/a" }]', "held out"),
        ('packages = [{ system = "b", from = "cpan:a" }]', "package 1: needs"),
        ("packages = [", "not valid TOML"),
    ],
)
def test_a_list_that_is_wrong_is_refused(tmp_path, text, error):
    (tmp_path / "list.toml").write_text(text, "utf-8")
    with pytest.raises(BadOption, match=error):
        read_sources(tmp_path / "list.toml")


def _jar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as jar:
        for name, text in files.items():
            jar.writestr(name, text)


@pytest.fixture
def maven(tmp_path):
    """A Maven repository in a directory: its newest version has no sources."""
    home = tmp_path / "maven/org/acme/pool"
    home.mkdir(parents=True)
    (home / "maven-metadata.xml").write_text("<versions><version>1.2.0</version><version>1.10.0</version><version>2.0-beta</version></versions>")
    files = {
        "META-INF/LICENSE": "Apache License",
        "org/acme/Pool.java": 'class P {{\nlog.error("Pool {} is empty");\nlog.error("Pool {} is empty");\nlog.debug("Pool {} is fine today");}}',
        "org/acme/LocalStrings.properties": "dry.run=Pool {0} \\\n  ran dry",
        "org/acme/Keyed.java": 'log.warn(sm.getString("dry.run", x));',
        "org/acme/test/Other.java": 'log.error("this is a test");',
    }
    _jar(home / "1.10.0/pool-1.10.0-sources.jar", files)
    return (tmp_path / "maven").as_uri()


def test_the_command(tmp_path, maven, capsys):
    (tmp_path / "list.toml").write_text(
        'packages = [{ system = "acme", scope = "pool", from = "maven:org.acme:pool" }, { system = "acme", from = "maven:org.acme:gone" }]'
    )
    command = ["mine", "--out", str(tmp_path / "out.jsonl"), "--sources", str(tmp_path / "list.toml"), "--cache", str(tmp_path / "cache"), "--maven", maven]
    assert main([*command, "--levels", "warn,error"]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert [(row["level"], row["text"], row["line"]) for row in rows] == [("ERROR", "Pool <*> is empty", 2), ("WARN", "Pool <*> ran dry", 1)]
    assert rows[0] == {
        "system": "acme", "project": "pool", "language": "java", "file": "org/acme/Pool.java", "line": 2, "level": "ERROR",
        "text": "Pool <*> is empty", "source": "maven:pool-1.10.0-sources.jar", "licence": "Apache-2.0",
    }  # fmt: skip
    told = capsys.readouterr()
    assert "2 statements of 1 systems" in told.out
    assert "1 packages could not be had: maven:org.acme:gone" in told.out
    assert "warning: maven:org.acme:gone" in told.err


def test_an_archive_is_fetched_once(tmp_path, maven):
    package = Package("maven", "org.acme:pool", "acme")
    first = Registries(tmp_path / "cache", maven=maven).archive(package)
    assert Registries(tmp_path / "cache", maven="file:///nowhere").archive(package) == first
    assert first.name == "pool-1.10.0-sources.jar"


def test_list_prints_what_would_be_mined(capsys):
    assert main(["mine", "--list", "--system", "redis"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("redis\tdebian:redis")


def test_an_unknown_system_is_refused(capsys):
    assert main(["mine", "--list", "--system", "nosuch"]) == 1
    assert "'nosuch' is not in" in capsys.readouterr().err


def _tar(path, files):
    with tarfile.open(path, "w:xz") as tar:
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(text)
            tar.addfile(entry, BytesIO(text.encode()))


def test_only_the_folders_that_are_named(tmp_path):
    path = tmp_path / "k-1.tar.xz"
    _tar(path, {f"k-1/{folder}/a.c": f'pr_err("the {folder} has failed");' for folder in ("fs", "sound", "fs/old")})
    package = Package("debian", "k", "k", only=("fs",), without=("fs/old",))
    assert [row["text"] for row in statements(package, path)] == ["the fs has failed"]


def test_a_broken_archive_is_missing(tmp_path):
    (tmp_path / "a.tar.xz").write_bytes(b"not an archive")
    with pytest.raises(Missing, match="not a whole archive"):
        list(members(tmp_path / "a.tar.xz", bool))
    done = mine([Package("crates", "a", "a")], Registries(tmp_path / "cache"), tmp_path / "out.jsonl")
    assert done.missing == ["crates:a"]


def test_the_newest_releases_come_first():
    assert _newest(["1.9.0", "1.10.0", "2.0.0-rc1", "v1.11.0"]) == ["v1.11.0", "1.10.0", "1.9.0"]
