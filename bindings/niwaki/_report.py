"""What a run found, as report.json has it."""

from __future__ import annotations

import html
import json
from typing import Any

from niwaki._errors import GateMissed
from niwaki._native import core


class Report:
    """The report of one run. `passed` is true only where every gate passed."""

    def __init__(self, document: dict[str, Any]):
        self._document = document

    @property
    def status(self) -> str:
        return self._document.get("status", "")

    @property
    def verdict(self) -> str:
        """"pass", "fail", "inconclusive" or "not_gated"."""
        return self._document.get("verdict", "")

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    @property
    def gates(self) -> list[dict[str, Any]]:
        return self._document.get("gates", [])

    @property
    def quality(self) -> list[dict[str, Any]]:
        return self._document.get("quality", [])

    @property
    def nodes(self) -> list[dict[str, Any]]:
        return self._document.get("nodes", [])

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self._document.get("messages", [])

    def to_dict(self) -> dict[str, Any]:
        return self._document

    def to_pandas(self):
        """One row per node; needs pandas."""
        import pandas

        return pandas.DataFrame(self.nodes)

    def render(self, format: str = "md") -> str:
        """The report as "html", "md", "json", "junit" or "csv"."""
        return core().render(json.dumps(self._document), format)

    def require_pass(self) -> None:
        """Raises GateMissed unless every gate passed; a run without gates passes."""
        if self.verdict in ("pass", "not_gated"):
            return
        missed = [gate for gate in self.gates if gate.get("verdict") != "pass" and not gate.get("informational")]
        named = ", ".join(f"{gate.get('name')} {gate.get('value')} (limit {gate.get('limit')})" for gate in missed)
        raise GateMissed(f"{self.verdict or self.status}: {named or 'see the report'}", self)

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return core().headline(json.dumps(self._document))

    def __str__(self) -> str:
        return core().terminal_table(json.dumps(self._document))

    def __repr__(self) -> str:
        lines = [f"<niwaki.Report {self.status}, {self.verdict}"]
        for label, before, after, change, verdict in self._rows()[:10]:
            lines.append("  " + "  ".join(part for part in (label, before, "->" if after else "", after, change, verdict) if part))
        return "\n".join(lines) + ">"

    def _repr_html_(self) -> str:
        cells = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows()
        )
        head = "<tr><th></th><th>original</th><th>result</th><th>change</th><th></th></tr>"
        return f"<p><b>{html.escape(self.verdict)}</b></p><table>{head}{cells}</table>"
