"""A verdict as others read it: Markdown for people and pull requests, JUnit XML for continuous integration."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from flows import markdown as escape
from flows.names import named
from flows.promote.gate import Finding
from schemas.events import Candidate
from schemas.records import Verdict

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


NO_NAMES: Mapping[str, str] = {}


def markdown(
    verdict: Verdict, candidate: Candidate, champion: Candidate, eval_set: str, names: Mapping[str, str] = NO_NAMES
) -> str:
    """The verdict first, then every reason, those that decided it at the top. Names made by users are escaped.

    `names` are those of clusters (`flows/names.py`): a reason that is about one says which.
    """
    models = [f"{escape.text(model.model)} ({model.id})" for model in (candidate, champion)]
    reasons = [f"{n}. {escape.text(named(reason, names))}" for n, reason in enumerate(verdict.reasons, 1)]
    return "\n".join(
        [
            f"## Verdict: {verdict.verdict}",
            "",
            f"Candidate {' against '.join(models)} on eval set {escape.text(eval_set)}, policy `{verdict.policy}`.",
            "",
            *reasons,
            "",
        ]
    )


def junit(findings: Sequence[Finding], eval_set: str) -> str:
    """One test case a finding; whatever does not speak for promotion is a failure, its type says which."""
    failures = sum(finding.answer != "promote" for finding in findings)
    suite = ElementTree.Element("testsuite", name="flywheel gate", tests=str(len(findings)), failures=str(failures))
    properties = ElementTree.SubElement(suite, "properties")
    ElementTree.SubElement(properties, "property", name="eval_set", value=_clean(eval_set))
    for finding in findings:
        case = ElementTree.SubElement(suite, "testcase", classname="flywheel.gate", name=_clean(finding.about))
        if finding.answer != "promote":
            failure = ElementTree.SubElement(case, "failure", type=finding.answer, message=_clean(finding.reason))
            failure.text = _clean(finding.reason)
        else:
            ElementTree.SubElement(case, "system-out").text = _clean(finding.reason)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _clean(value: str) -> str:
    return _NOT_XML.sub("?", value)
