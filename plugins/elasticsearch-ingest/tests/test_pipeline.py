"""The processor in the pipelines of real servers, which ask a real service."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
from conftest import HERE, Service
from servers import Server

DOCUMENTS = 20_000
PATIENT = {"wait": "60s", "timeout": "5m"}
# Within a form only what is masked differs: ra judge sees one line, and cannot know which words vary.
FORMS = (
    "disk {n} failed after 3 tries",
    "fan {n} is up",
    "connection refused by 10.0.0.{n}",
    "read {n} bytes from cache",
    "0 errors after {n} ms",
    "{n} errors while the index was rebuilt",
    "segment lost at 0x00{n:06x}",
    "ready",
)
# a request of README with its body
REQUEST = re.compile(r"^(PUT|POST) (_\S+)\n(\{.*?\})\n(?=\n|```)", re.MULTILINE | re.DOTALL)


def line(number: int, mark: str = "") -> str:
    """One of a few hundred messages of eight kinds."""
    return mark + FORMS[number % len(FORMS)].format(n=1 + number * 7919 % 50)


@cache
def judged(message: str) -> dict[str, Any]:
    """What ``ra judge`` says of a message, in the form of a document."""
    found = _detector().examine(message, explain=True)
    verdict = found.verdict.to_dict()
    fields = {name: verdict[name] for name in ("label", "score", "category", "template")}
    return {
        name: value for name, value in {**fields, "rationale": found.rationale}.items() if value is not None
    }


@cache
def _detector() -> Any:
    from ra_sdk import Detector

    return Detector(model="echo", store=":memory:")


def make(server: Server, name: str, **options: Any) -> None:
    """A pipeline with our processor."""
    server.put(f"/_ingest/pipeline/{name}", {"processors": [{"rationanomaly": options}]})


def simulated(server: Server, pipeline: Any, *documents: dict[str, Any]) -> list[Any]:
    """What comes of documents: their source, or the error."""
    docs = [
        {"_index": "any", "_id": str(number), "_source": document}
        for number, document in enumerate(documents)
    ]
    path = (
        f"/_ingest/pipeline/{pipeline}/_simulate"
        if isinstance(pipeline, str)
        else "/_ingest/pipeline/_simulate"
    )
    body = (
        {"docs": docs} if isinstance(pipeline, str) else {"docs": docs, "pipeline": {"processors": pipeline}}
    )
    return [
        found["doc"]["_source"] if "doc" in found else found["error"]
        for found in server.post(path, body)["docs"]
    ]


def index(server: Server, name: str, pipeline: str, documents: list[dict[str, Any]]) -> dict[str, Any]:
    """All documents in one request, each with its number ``n``."""
    lines = [
        json.dumps(part)
        for n, document in enumerate(documents)
        for part in ({"create": {}}, {**document, "n": n})
    ]
    return server.post(
        f"/{name}/_bulk?pipeline={pipeline}&refresh=true", "\n".join(lines) + "\n", timeout=900
    )


def indexed(server: Server, name: str) -> Iterator[dict[str, Any]]:
    """The sources of an index, by their number."""
    after: list[Any] = []
    while True:
        query = {"size": 5_000, "sort": [{"n": "asc"}], **({"search_after": after} if after else {})}
        hits = server.post(f"/{name}/_search", query, timeout=300)["hits"]["hits"]
        if not hits:
            return
        yield from (hit["_source"] for hit in hits)
        after = hits[-1]["sort"]


def counters(server: Server) -> dict[str, Any]:
    return server.get("/_rationanomaly/stats")


def test_the_plugin_is_there_and_counts(server: Server, service: Service) -> None:
    (node,) = server.get("/_nodes/plugins")["nodes"].values()
    assert "rationanomaly" in [plugin["name"] for plugin in node["plugins"]]
    before = counters(server)["documents"]
    make(server, "counted", **PATIENT)
    simulated(server, "counted", {"message": "a counted message"}, {"message": "a counted message"})
    after = counters(server)["documents"]
    assert after["total"] - before["total"] == 2
    assert after["decided"] - before["decided"] == 2
    (node,) = server.get("/_nodes/stats/ingest")["nodes"].values()
    assert "counted" in node["ingest"]["pipelines"], "the server's own counters"


def test_simulate_shows_verdicts(server: Server, service: Service) -> None:
    make(server, "shown", **PATIENT)
    messages = [line(number, "simulated ") for number in range(len(FORMS))]
    found = simulated(server, "shown", *({"message": message} for message in messages))
    assert [document["ra"] for document in found] == [judged(message) for message in messages]
    docs = [{"_source": {"message": messages[0]}}]
    verbose = server.post("/_ingest/pipeline/shown/_simulate?verbose=true", {"docs": docs})["docs"][0][
        "processor_results"
    ]
    assert verbose[0]["doc"]["_source"]["ra"] == judged(messages[0])


def test_what_is_new_passes_at_once_and_is_known_later(server: Server, service: Service) -> None:
    make(server, "hasty", timeout="60s")
    first = simulated(server, "hasty", {"message": "never seen before, failed"})[0]["ra"]
    assert first == {"label": "undecided", "reason": "pending", "template": "never seen before, failed"}
    end = time.monotonic() + 60
    while (later := simulated(server, "hasty", {"message": "never seen before, failed"})[0]["ra"])[
        "label"
    ] == "undecided":
        assert time.monotonic() < end
    assert later == judged("never seen before, failed")


def test_options_are_those_of_other_processors(server: Server, service: Service) -> None:
    options = {
        "field": "body.text",
        "target_field": "x.y",
        "properties": ["label", "score"],
        "tag": "mine",
        "description": "d",
        **PATIENT,
    }
    found = simulated(server, [{"rationanomaly": options}], {"body": {"text": "disk failed"}})[0]
    assert found == {"body": {"text": "disk failed"}, "x": {"y": {"label": "abnormal", "score": 0.9}}}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"properties": ["colour"]}, "colour"),
        ({"wait": "soon"}, "wait"),
        ({"wait": "2s", "timeout": "1s"}, "timeout"),
        ({"ignore_missing": "perhaps"}, "ignore_missing"),
        ({"unheard_of": 1}, "unheard_of"),
    ],
)
def test_a_bad_option_is_refused_when_the_pipeline_is_made(
    server: Server, options: dict[str, Any], named: str
) -> None:
    reply = server.ask("PUT", "/_ingest/pipeline/bad", {"processors": [{"rationanomaly": options}]})
    assert reply.status == 400
    assert named in json.dumps(reply.body)


@pytest.mark.parametrize(
    "document", [{"other": 1}, {"message": 5}, {"message": ["a"]}, {"message": {"a": "b"}}], ids=str
)
def test_a_message_that_is_none_fails_or_is_ignored(
    server: Server, service: Service, document: dict[str, Any]
) -> None:
    error = simulated(server, [{"rationanomaly": {}}], document)[0]
    assert error["type"] == "illegal_argument_exception"
    assert "message" in error["reason"]
    assert simulated(server, [{"rationanomaly": {"ignore_failure": True}}], document)[0] == document
    if "message" not in document:
        assert simulated(server, [{"rationanomaly": {"ignore_missing": True}}], document)[0] == document


def test_a_megabyte_is_judged_and_more_passes_undecided(server: Server, service: Service) -> None:
    message = "disk failed: " + "word " * 190_000
    long, longer = simulated(
        server, [{"rationanomaly": PATIENT}], {"message": message}, {"message": message * 2}
    )
    assert long["ra"] == judged(message)
    assert long["ra"]["label"] == "abnormal"
    assert longer["ra"] == {"label": "undecided", "reason": "too_long"}


def test_a_document_that_does_not_fit_the_mapping_harms_no_other(server: Server, service: Service) -> None:
    make(server, "mapped", **PATIENT)
    server.put(
        "/conflict", {"mappings": {"properties": {"ra": {"properties": {"category": {"type": "long"}}}}}}
    )
    items = index(
        server,
        "conflict",
        "mapped",
        [{"message": "all good"}, {"message": "disk failed"}, {"message": "all good"}],
    )["items"]
    assert [item["create"]["status"] for item in items] == [201, 400, 201]
    assert "ra.category" in items[1]["create"]["error"]["reason"]


def test_bulk_has_the_verdicts_of_ra_judge(server: Server, service: Service) -> None:
    make(server, "judging", **PATIENT)
    messages = [line(number) for number in range(DOCUMENTS)]
    answer = index(server, "bulk", "judging", [{"message": message} for message in messages])
    assert not answer["errors"]
    found = list(indexed(server, "bulk"))
    assert [document["message"] for document in found] == messages
    wrong = [
        (document["ra"], judged(document["message"]))
        for document in found
        if document["ra"] != judged(document["message"])
    ]
    assert not wrong, f"{len(wrong)} of {DOCUMENTS}, such as {wrong[:3]}"
    assert {document["ra"]["label"] for document in found} == {"normal", "abnormal"}


def test_a_dead_service_costs_verdicts_and_no_document(server: Server, service: Service) -> None:
    make(server, "dead")
    service.stop()
    messages = [line(number, "while it is dead ") for number in range(DOCUMENTS)]
    answer = index(server, "dead", "dead", [{"message": message} for message in messages])
    assert not answer["errors"]
    found = list(indexed(server, "dead"))
    assert [document["message"] for document in found] == messages
    assert {document["ra"]["label"] for document in found} == {"undecided"}
    assert {document["ra"]["reason"] for document in found} <= {"unreachable", "paused", "timeout"}
    assert counters(server)["breaker"]["opened"] > 0
    assert counters(server)["waiting"] == 0
    service.start()
    end = time.monotonic() + 60
    while (
        simulated(server, [{"rationanomaly": PATIENT}], {"message": "it is back"})[0]["ra"]["label"]
        == "undecided"
    ):
        assert time.monotonic() < end, "the service is not tried again"


def test_a_data_stream_goes_through_it(server: Server, service: Service) -> None:
    make(server, "streamed", **PATIENT)
    template = {
        "index_patterns": ["ours-*"],
        "data_stream": {},
        "template": {"settings": {"index.default_pipeline": "streamed"}},
    }
    server.put("/_index_template/ours", template)
    lines = [{"create": {}}, {"@timestamp": "2026-01-01T00:00:00Z", "message": "disk failed"}]
    answer = server.post("/ours-app/_bulk?refresh=true", "".join(json.dumps(part) + "\n" for part in lines))
    assert not answer["errors"]
    (hit,) = server.get("/ours-app/_search")["hits"]["hits"]
    assert hit["_source"]["ra"] == judged("disk failed")


def test_the_requests_of_the_readme_do_what_it_says(server: Server, service: Service) -> None:
    messages = [line(number, "written before ") for number in range(500)]
    index(server, "logs", "_none", [{"message": message} for message in messages])
    text = (HERE.parent / "README.md").read_text(encoding="utf-8")
    asked = {path: (method, json.loads(body)) for method, path, body in REQUEST.findall(text)}
    assert list(asked)[-1] == "_reindex"
    if server.kind == "elasticsearch":  # its distribution for tests has no reindex
        del asked["_reindex"]
    answers = {path: server.get(f"/{path}", body, method=method) for path, (method, body) in asked.items()}
    (shown,) = answers["_ingest/pipeline/logs/_simulate"]["docs"]
    assert shown["doc"]["_source"]["ra"]["template"] == "disk sda: I/O error"
    if server.kind == "opensearch":
        assert answers["_reindex"]["created"] == len(messages)
        server.post("/logs-judged/_refresh")
        found = [document["ra"] for document in indexed(server, "logs-judged")]
        assert found == [judged(message) for message in messages]


# Only OpenSearch: the modules that these need are not in the zip of Elasticsearch that can be had


@pytest.fixture
def whole(server: Server) -> Server:
    if server.kind != "opensearch":
        pytest.skip(
            "needs ingest-common, Painless and reindex, which Elasticsearch's zip for tests does not have"
        )
    return server


def test_it_works_beside_other_processors(whole: Server, service: Service) -> None:
    processors = [
        {"grok": {"field": "message", "patterns": ["%{LOGLEVEL:log.level} %{GREEDYDATA:text}"]}},
        {"rationanomaly": {"field": "text", "if": "ctx.log?.level != 'DEBUG'", **PATIENT}},
        {"set": {"field": "alert", "value": "{{ra.category}}", "if": "ctx.ra?.label == 'abnormal'"}},
    ]
    found = simulated(
        whole,
        processors,
        {"message": "ERROR disk failed"},
        {"message": "DEBUG disk failed"},
        {"message": "INFO all good"},
    )
    assert [document.get("ra", {}).get("label") for document in found] == ["abnormal", None, "normal"]
    assert [document.get("alert") for document in found] == ["system", None, None]


def test_it_works_inside_foreach(whole: Server, service: Service) -> None:
    inner = {
        "rationanomaly": {
            "field": "_ingest._value.text",
            "target_field": "_ingest._value.ra",
            "properties": ["label"],
            **PATIENT,
        }
    }
    document = {"events": [{"text": "disk failed"}, {"text": "all good"}]}
    (found,) = simulated(whole, [{"foreach": {"field": "events", "processor": inner}}], document)
    assert [event["ra"]["label"] for event in found["events"]] == ["abnormal", "normal"]


def test_reindex_judges_what_is_there_already(whole: Server, service: Service) -> None:
    make(whole, "again", **PATIENT)
    whole.put("/_ingest/pipeline/nothing", {"processors": []})
    messages = [line(number, "old ") for number in range(500)]
    index(whole, "old", "nothing", [{"message": message} for message in messages])
    body = {"source": {"index": "old"}, "dest": {"index": "judged", "pipeline": "again"}}
    assert whole.post("/_reindex?refresh=true", body, timeout=300)["created"] == 500
    assert [document["ra"] for document in indexed(whole, "judged")] == [
        judged(message) for message in messages
    ]
