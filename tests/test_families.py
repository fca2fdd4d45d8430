"""Families of formats: what general formats make of named products' lines, headers inside of syslog, W3C's fields, requests, long records."""

import json
from datetime import datetime, timezone

import polars as pl
import pytest

from ra_sdk.formats import builtin_formats
from ra_sdk.formats.reading import Reader
from ra_sdk.formats.requests import described
from ra_sdk.formats.w3c import MOST_FIELDS

FORMATS = builtin_formats()
NOW = datetime(2026, 11, 30, tzinfo=timezone.utc)


def series(lines):
    return pl.Series("line", lines, dtype=pl.String)


def read(lines, reader=None):
    """Rows (timestamp in ISO or None, severity, body) of lines."""
    records = (reader or Reader(FORMATS)).read(series(lines), whole=True)
    fields = records.fields(NOW)
    stamps = [stamp and stamp.isoformat().replace("+00:00", "Z") for stamp in fields["timestamp"].to_list()]
    return list(zip(stamps, fields["severity"].to_list(), records.bodies().to_list(), strict=True))


def utc(text):
    return text and datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(timezone.utc).isoformat().replace("+00:00", "Z")


PRODUCTS = [  # Elixir, spdlog, Fluent Bit, MaxScale, Telegraf, Elasticsearch, fail2ban, Gunicorn, Tomcat, WildFly, tracing, zap: without formats of their own
    ("2026-03-02 16:27:47,169 ERROR [org.jboss.as.controller] (Boot Thread) WFLYCTL0013: Operation failed - address: ([(deployment => shop.war)])",
     "2026-03-02T16:27:47.169Z", "ERROR", "WFLYCTL0013: Operation failed - address: ([(deployment => shop.war)])"),
    ("16:27:47,169 INFO  [org.jboss.as] (MSC service thread 1-2) WFLYSRV0049: WildFly Full 31.0.0.Final starting",
     None, "INFO", "WFLYSRV0049: WildFly Full 31.0.0.Final starting"),
    ("16:27:47.169 request_id=F9c1a77 [error] GenServer Shop.Till terminating",
     None, "ERROR", "GenServer Shop.Till terminating"),
    ("16:27:47.170 pid=<0.412.0> [info] Running ShopWeb.Endpoint with Bandit 1.2.0 at 0.0.0.0:4000 (http)",
     None, "INFO", "Running ShopWeb.Endpoint with Bandit 1.2.0 at 0.0.0.0:4000 (http)"),
    ("[2026-03-02 16:27:47.169] [net] [error] cannot open socket: Too many open files",
     "2026-03-02T16:27:47.169Z", "ERROR", "cannot open socket: Too many open files"),
    ("[2026-03-02 16:27:47.169123] [0x00007f2a5c1d6700] [warning] low on memory",
     "2026-03-02T16:27:47.169123Z", "WARN", "low on memory"),
    ("15:35:01.773 - ERR : No password tag 'master_password' found",
     None, "ERROR", "No password tag 'master_password' found"),
    ("15:32:55.801 - INFO:     Current directory: /hana/shared/ABC/hdblcm",
     None, "INFO", "Current directory: /hana/shared/ABC/hdblcm"),
    ("[2026/03/02 16:27:47] [ warn] [engine] failed to flush chunk '1-1772468867.flb', retry in 8 seconds: task_id=3, input=tail.0 > output=es.0",
     "2026-03-02T16:27:47Z", "WARN", "[engine] failed to flush chunk '1-1772468867.flb', retry in 8 seconds: task_id=3, input=tail.0 > output=es.0"),
    ("[2026/03/02 16:27:47.169123456] [error] [output:es:es.0] could not pack/validate JSON response",
     "2026-03-02T16:27:47.169123Z", "ERROR", "[output:es:es.0] could not pack/validate JSON response"),
    ("2026-03-02 16:27:47   error  : (12) [mariadbmon] Monitor was unable to connect to server db2[192.0.2.12:3306]",
     "2026-03-02T16:27:47Z", "ERROR", "[mariadbmon] Monitor was unable to connect to server db2[192.0.2.12:3306]"),
    ("2026-03-02 16:27:47.512   notice : Loaded server states from journal file",
     "2026-03-02T16:27:47.512Z", "INFO", "Loaded server states from journal file"),
    ("2026-03-02T16:27:47Z D! [outputs.influxdb] Wrote batch of 84 metrics in 5.3ms",
     "2026-03-02T16:27:47Z", "DEBUG", "[outputs.influxdb] Wrote batch of 84 metrics in 5.3ms"),
    ("2026-03-02T16:27:48Z E! [inputs.snmp] Error in plugin: agent 192.0.2.9: request timeout (after 3 retries)",
     "2026-03-02T16:27:48Z", "ERROR", "[inputs.snmp] Error in plugin: agent 192.0.2.9: request timeout (after 3 retries)"),
    ("[I] 2026-03-02T16:27:47Z Compiling queries service=retention",
     "2026-03-02T16:27:47Z", "INFO", "Compiling queries service=retention"),
    ("[2026-03-02T16:27:47,169][INFO ][o.e.n.Node               ] [node-1] started",
     "2026-03-02T16:27:47.169Z", "INFO", "started"),
    ("[2026-03-02T16:27:47,169][WARN ][o.e.c.r.a.DiskThresholdMonitor] [node-1] high disk watermark [90%] exceeded on [q1][node-1][/data] free: 4.1gb[8.2%]",
     "2026-03-02T16:27:47.169Z", "WARN", "high disk watermark [90%] exceeded on [q1][node-1][/data] free: 4.1gb[8.2%]"),
    ("[2026-03-02T16:27:47,169][ERROR][logstash.agent           ] Failed to execute action {:action=>LogStash::PipelineAction::Create/pipeline_id:main}",
     "2026-03-02T16:27:47.169Z", "ERROR", "Failed to execute action {:action=>LogStash::PipelineAction::Create/pipeline_id:main}"),
    ("2026-03-02 16:27:47,169 fail2ban.actions        [4711]: NOTICE  [sshd] Ban 203.0.113.9",
     "2026-03-02T16:27:47.169Z", "INFO", "[sshd] Ban 203.0.113.9"),
    ("2026-03-02 16:27:47,169 fail2ban.actions: WARNING [ssh] Unban 203.0.113.9",
     "2026-03-02T16:27:47.169Z", "WARN", "[ssh] Unban 203.0.113.9"),
    ("2026-03-02 16:27:47,169 fail2ban.utils          [4711]: ERROR   7f2a -- exec: iptables -w -N f2b-sshd",
     "2026-03-02T16:27:47.169Z", "ERROR", "7f2a -- exec: iptables -w -N f2b-sshd"),
    ("[2026-03-02 16:27:47 +0100] [1234] [CRITICAL] WORKER TIMEOUT (pid:1240)",
     "2026-03-02T15:27:47Z", "FATAL", "WORKER TIMEOUT (pid:1240)"),
    ("[2026-03-02 16:27:47 +0000] [1234] [INFO] Booting worker with pid: 1241",
     "2026-03-02T16:27:47Z", "INFO", "Booting worker with pid: 1241"),
    ("02-Mar-2026 16:27:47.169 SEVERE [main] org.apache.catalina.core.StandardService.initInternal Failed to initialize connector [Connector[HTTP/1.1-8080]]",
     "2026-03-02T16:27:47.169Z", "ERROR", "Failed to initialize connector [Connector[HTTP/1.1-8080]]"),
    ("02-Mar-2026 16:27:47.169 INFO [main] org.apache.catalina.startup.Catalina.start Server startup in [3021] milliseconds",
     "2026-03-02T16:27:47.169Z", "INFO", "Server startup in [3021] milliseconds"),
    ("2026-03-02T10:00:01.123456Z  INFO shop::server: listening addr=0.0.0.0:8080",
     "2026-03-02T10:00:01.123456Z", "INFO", "listening addr=0.0.0.0:8080"),
    ("2026-03-02T16:27:47.169Z\tERROR\tcontroller.Deployment\tReconciler error\t{\"name\": \"shop\", \"error\": \"conflict\"}",
     "2026-03-02T16:27:47.169Z", "ERROR", "controller.Deployment\tReconciler error\t{\"name\": \"shop\", \"error\": \"conflict\"}"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "stamp", "severity", "body"), PRODUCTS)
def test_general_formats_read_what_named_products_write(line, stamp, severity, body):
    assert read([line]) == [(utc(stamp), severity, body)]


@pytest.mark.parametrize(
    ("line", "severity", "body"),
    [
        ('Mar  2 16:27:47 lb1 haproxy[1]: 192.0.2.1:40122 [02/Mar/2026:16:27:47.169] www~ a/b 0/0/1/2/3 503 102 - - sH-- 1/1/2/1/0 0/0 "GET /a.css HTTP/1.1"',
         "ERROR", "GET static file /a.css: 503 Service Unavailable"),
        ("<134>Mar  2 16:27:47 fw filterlog[7]: 5,,,1000000103,igb0,match,block,in,4,0x0,,64,0,0,DF,17,udp,78,192.0.2.7,192.0.2.255,137,137,58",
         "INFO", "block in on igb0 udp from 192.0.2.7 to 192.0.2.255 port 137 (match)"),
        ("Mar  2 16:27:47 vpn charon: 12[IKE] <office|3> received AUTHENTICATION_FAILED notify error", None,
         "received AUTHENTICATION_FAILED notify error"),
        ("Mar  2 16:27:47 db1 postgres[7]: [3-1] user=ann,db=shop ERROR:  duplicate key", "ERROR", "duplicate key"),
        ("Mar  2 16:27:47 fw kernel: [1234.567890] [UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.7", None,
         "[UFW BLOCK] IN=eth0 OUT= SRC=203.0.113.9 DST=192.0.2.7"),
        ('Mar  2 16:27:47 web1 nginx: 192.0.2.1 - - [02/Mar/2026:16:27:47 +0000] "GET /a HTTP/1.1" 502 12 "-" "curl"', "ERROR",
         "GET page /a: 502 Bad Gateway"),
        ('Mar  2 16:27:47 web1 kernel: audit: type=1400 audit(1772468867.169:77): apparmor="DENIED" operation="open"', None,
         'apparmor="DENIED" operation="open"'),
        ("<30>1 2026-03-02T16:27:47Z h redis 12 - - 12:M 02 Mar 2026 16:27:47.169 # Can't save in background: fork", "WARN",
         "Can't save in background: fork"),
        ("Mar  2 16:27:47 web1 consul[1]: 2026-03-02T16:27:47.169Z [WARN]  agent: Check is now critical", "WARN", "Check is now critical"),
        ("Mar  2 16:27:47 h systemd[1]: shop.service: Main process exited, code=exited", None, "shop.service: Main process exited, code=exited"),
    ],
)  # fmt: skip
def test_headers_inside_of_syslog_messages(line, severity, body):
    [(stamp, found, text)] = read([line])
    assert (stamp[:19], found, text) == ("2026-03-02T16:27:47", severity, body)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("/", "page /"),
        ("/cart?id=7#top", "page /cart"),
        ("/sign-up", "page /sign-up"),
        ("/healthz", "health check /healthz"),
        ("/-/ready", "health check /-/ready"),
        ("/actuator/health", "health check /actuator/health"),
        ("/metrics", "metrics /metrics"),
        ("/wp-login.php", "admin path /wp-login.php"),
        ("/admin/users", "admin path /admin/users"),
        ("/administration-of-estates", "page /administration-of-estates"),
        ("/img/LOGO.PNG?v=7", "static file /img/LOGO.PNG"),
        ("/api/v1/orders/7", "API path /api/v1/orders/7"),
        ("/v2/pay", "API path /v2/pay"),
        ("https://shop.example:443/api/pay?card=7", "API path /api/pay"),
        ("http://shop.example", "page /"),
        ("shop.example:443", "target shop.example:443"),
    ],
)
def test_requests_in_words(url, words):
    assert pl.DataFrame({"url": [url]}).select(described(pl.col("url"))).item() == words


IIS = [
    "#Software: Microsoft Internet Information Services 10.0",
    "#Fields: date time s-ip cs-method cs-uri-stem sc-status sc-win32-status",
    "2026-03-02 16:27:47 192.0.2.1 GET /a.css 200 0",
    "2026-03-02 16:27:48 192.0.2.1 POST /api/pay 500 64",
    "#Fields: date time s-sitename cs-method cs-uri-stem sc-status",
    "2026-03-02 16:27:49 W3SVC1 GET / 503",
    "2026-03-02 16:27:50 of another shape",
]
REQUESTS = [
    ("2026-03-02T16:27:47Z", "INFO", "GET static file /a.css: 200 OK"),
    ("2026-03-02T16:27:48Z", "ERROR", "POST API path /api/pay: 500 Internal Server Error"),
    ("2026-03-02T16:27:49Z", "ERROR", "GET page /: 503 Service Unavailable"),
    ("2026-03-02T16:27:50Z", None, "of another shape"),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_w3c_lines_are_read_by_the_fields_line_before_them(size):
    reader = Reader(FORMATS)
    assert [row for at in range(0, len(IIS), size) for row in read(IIS[at : at + size], reader)] == REQUESTS


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["#Fields: date time c-ip cs-method cs-uri-stem sc-status", "2026-03-02\t16:27:47\t192.0.2.1\tGET\t/img/a.png\t404"],
         ("2026-03-02T16:27:47Z", "WARN", "GET static file /img/a.png: 404 Not Found")),
        (["#Fields: date-time,client-ip,event-id,recipient", '2026-03-02T16:27:47Z,192.0.2.1,FAIL,"a,b"'],
         ("2026-03-02T16:27:47Z", None, '192.0.2.1,FAIL,"a,b"')),
        (["#Fields: date time action protocol", "2026-03-02 16:27:47 DROP TCP"], ("2026-03-02T16:27:47Z", None, "DROP TCP")),
        (["#Fields: body pri 9x x x x", "a b c d e f"], (None, None, "a b c d e f")),
        (["#Fields: time (((", "a b"], (None, None, "b")),
        (["#Fields:" + " f" * (MOST_FIELDS + 1), "a b"], (None, None, "a b")),
    ],
)  # fmt: skip
def test_w3c_of_other_shapes(lines, expected):
    assert read(lines) == [expected]


@pytest.mark.parametrize(
    ("lines", "counts"),
    [  # counts: how many lines each record has
        (["# Time: 2026-03-02T16:27:47Z", "# User@Host: a[a] @ h []  Id: 7", "# Query_time: 15.0  Lock_time: 0.0", "use shop;", "SET timestamp=1;",
          "SELECT a", "FROM b;", "# User@Host: a[a] @ h []  Id: 7", "# Query_time: 2.0  Lock_time: 0.0", "SELECT 2;", "2026-03-02T16:27:49Z 7 [Note] up"],
         [7, 3, 1]),
        (["####<May 18, 2026 11:57:01 AM UTC> <Error> <HTTP> <h> <s> <t> <u> <> <> <1> <BEA-1> <Root cause", "java.lang.NullPointerException",
          "\tat a.B.c(B.java:1)", ">", "####<May 18, 2026 11:57:02 AM UTC> <Info> <HTTP> <h> <s> <t> <u> <> <> <1> <BEA-2> <up>"], [4, 1]),
        (["2026-03-02T16:27:47.169123+01:00", "Errors in file /u01/a.trc:", "ORA-00600: internal error code", "2026-03-02T16:27:48.169123+01:00",
          "Thread 1 advanced to log sequence 7 (LGWR switch)", "  Current log# 2"], [3, 3]),
        (["[2026/03/14 09:20:44.123456,  1] ../lib/a.c:12(main)", "  cannot open", "  the file", "[2026/03/14 09:20:45.123456,  3] ../lib/a.c:13(main)",
          "  opened"], [3, 2]),
        (["info: Shop.Till[0]", "      drawer open", "fail: Shop.Till[7]", "      drawer jammed", "         at A.B() in /a.cs:line 1"], [2, 3]),
        (["[08-Oct-2026 13:17:42 UTC] PHP Fatal error:  Uncaught A in a.php:2", "Stack trace:", "#0 /srv/a.php(84): b()", "#1 {main}",
          "  thrown in a.php on line 4", "[08-Oct-2026 13:17:44 UTC] up"], [5, 1]),
    ],
)  # fmt: skip
def test_records_of_several_lines(lines, counts):
    records = Reader(FORMATS).read(series(lines), whole=True)
    assert [last - first + 1 for first, last in zip(records.first.to_list(), records.last.to_list(), strict=True)] == counts


@pytest.mark.parametrize(
    ("sent", "body"),
    [
        (r"\x16\x03\x01\x02\x00\x01", "TLS handshake on a plain HTTP port: 400 Bad Request"),
        (r"\x03\x00\x00/*\xE0\x00Cookie: mstshash=Administr", 'bad request ".../*...Cookie: mstshash=Administr": 400 Bad Request'),
        ("SSH-2.0-Go", 'bad request "SSH-2.0-Go": 400 Bad Request'),
        ("\x07\x9b31m", 'bad request "...31m": 400 Bad Request'),
        ("a" * 500, f'bad request "{"a" * 60}": 400 Bad Request'),
        (r"\x00\xff", "bad request: 400 Bad Request"),
        ("-", "bad request: 400 Bad Request"),
        ("", "bad request: 400 Bad Request"),
    ],
)
def test_what_is_no_request_is_said_in_short(sent, body):
    line = f'192.0.2.7 - - [02/Mar/2026:10:00:01 +0000] "{sent}" 400 157 "-" "-"'
    assert read([line]) == [("2026-03-02T10:00:01Z", "WARN", body)]


AUDIT = {"methodName": "v1.compute.instances.delete", "resourceName": "projects/p/b", "authenticationInfo": {"principalEmail": "ann@example.com"}}


@pytest.mark.parametrize(
    ("row", "severity", "body"),
    [
        ({"severity": "ERROR", "insertId": "x1", "textPayload": "cannot open ledger"}, "ERROR", "cannot open ledger"),
        ({"severity": "ERROR", "jsonPayload": {"message": "cannot open ledger", "code": 7}}, "ERROR", "cannot open ledger"),
        ({"severity": "ERROR", "jsonPayload": {"msg": "cannot open", "error": "EIO"}}, "ERROR", "cannot open: EIO"),
        ({"severity": "NOTICE", "insertId": "x1", "logName": "l", "jsonPayload": {"reason": "host error"}}, "INFO", '{"jsonPayload":{"reason":"host error"}}'),
        ({"severity": "ERROR", "protoPayload": {**AUDIT, "status": {"code": 7, "message": "no access"}}}, "ERROR",
         "v1.compute.instances.delete on projects/p/b by ann@example.com: no access"),
        ({"severity": "ERROR", "protoPayload": {"status": {"code": 7, "message": "no access"}}}, "ERROR", "no access"),
        ({"severity": "NOTICE", "protoPayload": {**AUDIT, "status": {}}}, "INFO", "v1.compute.instances.delete on projects/p/b by ann@example.com"),
        ({"httpRequest": {"requestMethod": "GET", "requestUrl": "https://shop.example/api/pay?x=1", "status": 502}}, "ERROR",
         "GET API path /api/pay: 502 Bad Gateway"),
        ({"httpRequest": {"httpMethod": "GET", "uri": "/cart"}, "action": "BLOCK"}, None, "GET page /cart: BLOCK"),
        ({"level": "Error", "operationName": "Microsoft.Web/sites/log", "properties": {"message": "queue unreachable"}}, "ERROR", "queue unreachable"),
        ({"Level": 4, "resourceId": "/X", "operationName": "Sign-in activity", "resultType": "50126", "resultDescription": "Invalid password"}, "INFO",
         "Sign-in activity: 50126: Invalid password"),
        ({"level": "Informational", "operationName": "VaultGet", "resultType": "Success", "properties": {"id": "x"}}, "INFO", "VaultGet: Success"),
        ({"detail-type": "EC2 State-change", "source": "aws.ec2", "detail": {"state": "terminated"}}, None, 'EC2 State-change: {"state":"terminated"}'),
        ({"kind": "Event", "apiVersion": "audit.k8s.io/v1", "verb": "create", "requestURI": "/api/v1/pods", "user": {"username": "ann"},
          "responseStatus": {"code": 403}, "stageTimestamp": "2026-03-02T10:00:01.2Z"}, None, "create /api/v1/pods by ann: 403 Forbidden"),
        ({"level": "error", "state": "down", "receivedAt": "2026-03-02T10:00:02Z"}, "ERROR", '{"state":"down"}'),
    ],
)  # fmt: skip
def test_messages_of_records_in_json_without_a_message(row, severity, body):
    assert read([json.dumps({"timestamp": "2026-03-02T10:00:01Z", **row})]) == [("2026-03-02T10:00:01Z", severity, body)]


@pytest.mark.parametrize(
    ("line", "body"),
    [
        ('ts=2026-03-02T10:00:01Z caller=main.go:1123 level=error err="opening storage failed: busy"', 'err="opening storage failed: busy"'),
        ("level=error component=tsdb block=01ABC ts=2026-03-02T10:00:01Z", "component=tsdb block=01ABC"),
        ('time="2026-03-02T10:00:01Z" level=error', 'time="2026-03-02T10:00:01Z" level=error'),
    ],
)
def test_pairs_without_a_message_lose_time_and_level(line, body):
    assert read([line]) == [("2026-03-02T10:00:01Z", "ERROR", body)]


def test_postgresql_in_json():
    row = {"timestamp": "2026-03-02 10:00:01.123 UTC", "pid": 4711, "error_severity": "ERROR", "state_code": "23505", "message": "duplicate key"}
    lines = [row | {"detail": "Key (id)=(3) exists.", "hint": "Choose another."}, row | {"error_severity": "LOG", "message": "checkpoint starting: time"}]
    assert read([json.dumps(line) for line in lines]) == [
        ("2026-03-02T10:00:01.123000Z", "ERROR", "duplicate key\nDETAIL:  Key (id)=(3) exists.\nHINT:  Choose another."),
        ("2026-03-02T10:00:01.123000Z", "INFO", "checkpoint starting: time"),
    ]
