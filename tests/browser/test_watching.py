"""What no page may do is seen: a test that reports nothing would be worth nothing if nobody looked."""

from __future__ import annotations

from tab import Tab


def test_forbidden_scripts_and_styles_missing_files_and_errors_are_reported(tab: Tab) -> None:
    tab.open("/guilty/")
    tab.run(
        "() => { setTimeout(() => { throw new Error('late') }); console.error('said'); setTimeout(alert, 0, 'ran'); }"
    )
    seen = tab.wait_for("all of them", lambda: len(tab.reports) >= 8 and list(tab.reports))
    tab.reports.clear()

    for part in (
        "script-src-elem forbids inline",
        "style-src-attr forbids inline",
        "404",
        "late",
        "said",
        "dialog: ran",
    ):
        assert any(part in report for report in seen), (part, seen)
