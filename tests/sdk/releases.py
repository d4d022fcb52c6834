"""The releases of the official SDK that drive the emulator, the generation of each, and the calls that fail."""

RELEASES = {
    "0.0.95": "g1a",
    "0.0.112": "g1a",
    "0.0.118": "g1b",
    "0.0.127": "g1b",
    "0.0.135": "g1b",
    "0.0.138": "g2a",
    "0.0.141": "g2b",
    "0.0.142": "g2c",
    "0.0.143": "g3a",
    "0.0.155": "g3b",
    "0.0.160": "g3c",
}
"""Release -> the generation of its emulator, the oldest first."""

FAILURES = {
    ("0.0.141", "workflows.runs.get_agent_hil_review"): (
        "NotFoundError: 404",
        "no block here has an agent that reviews, and a server without one answers 404",
    ),
}
"""Release and call -> how its failure begins, and why it fails."""
