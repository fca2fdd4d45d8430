"""A model that does not make a hop wait: what it was not asked before is undecided at once, or after a while, and judged in the background."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ra_sdk.plugin import BadOption, Mode, RateLimited, TemplateKey, Verdict, asked, reads_severity

if TYPE_CHECKING:
    from ra_sdk.plugin import Reasoner

__all__ = ["Background", "open_background"]

_NAME = re.compile(r"background(?:\+(?P<seconds>[0-9.]+)s)?:(?P<model>.*)", re.DOTALL)
MOST = 20_000  # templates that wait, and verdicts that wait to be fetched
AT_ONCE = 32  # templates in one question: who comes later need not wait for many


def open_background(model: str | None, options: Mapping[str, Any]) -> Reasoner | None:
    """``background:MODEL`` or ``background+2.5s:MODEL``; without MODEL the default one. None: the name is another's. Raises BadOption, ModelError."""
    found = _NAME.fullmatch(model or "")
    if found is None:
        return None
    from ra_sdk.plugin import PluginSet

    try:
        seconds = float(found["seconds"] or 0)
    except ValueError:
        raise BadOption(f"model {model!r} has no number of seconds; write background+2.5s:MODEL") from None
    return Background(PluginSet().open_reasoner(found["model"] or None, options), seconds)


class Background:
    """Asks ``inner`` in a thread of its own. A verdict that is not there within ``wait_s`` seconds is undecided; whoever asks again later gets it.

    Its verdicts are those of ``inner``, and have its digest.
    """

    def __init__(self, inner: Reasoner, wait_s: float) -> None:
        self.inner, self.wait_s = inner, wait_s
        self.name, self.digest = inner.name, inner.digest
        self._state, self._trouble = threading.Condition(), RateLimited()
        self.reads_severity = reads_severity(inner)
        self.thresholds: Mapping[str, float] = getattr(inner, "thresholds", {})
        self._cold: deque[tuple[TemplateKey, Mode]] = deque()
        self._pending: set[tuple[TemplateKey, Mode]] = set()
        self._known: OrderedDict[tuple[TemplateKey, Mode], Verdict] = OrderedDict()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="ra-background", daemon=True)
        self._thread.start()

    def judge(self, templates: Sequence[str], mode: Mode = "direct", *, severities: Sequence[str | None] = ()) -> Iterator[Verdict]:
        """What is known, after waiting for the rest for a while; undecided for what is not."""
        wanted = [(TemplateKey(*pair), mode) for pair in zip(templates, severities or [None] * len(templates), strict=True)]
        with self._state:
            for one in wanted:
                if one not in self._known and one not in self._pending and len(self._pending) < MOST:
                    self._pending.add(one)
                    self._cold.append(one)
            self._state.notify_all()
            self._state.wait_for(lambda: self._closed or not any(one in self._pending for one in wanted), self.wait_s)
            found = [self._known.get(one) for one in wanted]
        for (template, _), verdict in zip(wanted, found):
            yield verdict or Verdict(template.text, model=self.name, severity=template.severity)

    def close(self) -> None:
        """End it; what waits is not judged."""
        with self._state:
            self._closed = True
            self._state.notify_all()
        self._thread.join()
        getattr(self.inner, "close", lambda: None)()

    def _work(self) -> None:
        while batch := self._next():
            mode, templates = batch
            left = list(templates)
            try:
                for verdict in asked(self.inner, templates, mode):
                    left.remove(verdict.key)  # answers may come in any order; one for another template is an error
                    self._settle(verdict.key, mode, verdict)
                    if self._closed:
                        return
            except Exception as error:  # noqa: BLE001  whatever a model does, the stream goes on
                self._trouble.warning("model", f"{len(left)} templates stay undecided, the model {self.name!r} failed: {error!r}")
            for template in left:
                self._settle(template, mode, None)

    def _next(self) -> tuple[Mode, list[TemplateKey]] | None:
        with self._state:
            self._state.wait_for(lambda: self._closed or bool(self._cold))
            if self._closed:
                return None
            mode = self._cold[0][1]
            templates: list[TemplateKey] = []
            while self._cold and self._cold[0][1] == mode and len(templates) < AT_ONCE:
                templates.append(self._cold.popleft()[0])
            return mode, templates

    def _settle(self, template: TemplateKey, mode: Mode, verdict: Verdict | None) -> None:
        with self._state:
            self._pending.discard((template, mode))
            if verdict is not None and verdict.label != "undecided":
                self._known[template, mode] = verdict
                while len(self._known) > MOST:
                    self._known.popitem(last=False)
            self._state.notify_all()
