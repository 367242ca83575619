"""What of the status leaves the device."""

from edge_agent.app.status import without_prints
from edge_agent.wire.messages import HookReport, HooksReport


def test_what_scripts_print_stays_on_the_device_and_all_else_goes() -> None:
    oil = HookReport(
        name="oil", hook_type="transform", state="running", calls=7, error="said", prints="p" * 4_096
    )
    report = HooksReport(hooks=[oil], layers={"seccomp": "on"}, etag="e", state="applied")
    sent = without_prints(report)
    assert sent is not None
    assert sent == HooksReport(
        hooks=[oil.model_copy(update={"prints": ""})], layers={"seccomp": "on"}, etag="e", state="applied"
    )
    assert report.hooks[0].prints
    assert without_prints(None) is None
