"""A hospital's own data docs: the page of Great Expectations, cut off from the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

# The page quotes records and names scripts and styles at foreign hosts: a script could read it, and each request would
# tell of it.
_POLICY = (
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src"
    ' data:"><meta name="referrer" content="no-referrer">'
)


def render(results: ExpectationSuiteValidationResult) -> bytes:
    """One HTML page; a browser that opens it fetches nothing."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    page = DefaultJinjaPageView().render(ValidationResultsPageRenderer(run_info_at_end=True).render(results))
    before, head, after = page.partition("<head>")
    if not head:
        raise ValueError("the page has no head to put the policy in")
    return f"{before}{head}{_POLICY}{after}".encode()
