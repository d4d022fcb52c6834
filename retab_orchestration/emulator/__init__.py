"""A Retab that runs on this machine, for demos, for our tests and for yours.

```python
with Emulator(workflows="workflows.yaml") as emulator:
    client = RetabClient("any key", emulator.url)
```

Some workflows are built in, and a YAML file adds others:

```yaml
workflows:
  - id: wf_slow_invoice          # a copy of another workflow, slower
    like: wf_invoice
    seconds: 30

  - id: wf_order                 # one of your own
    name: Orders                 # optional, as are the next seven
    seconds: 2                   # from the start of a run to its end
    pending_seconds: 0           # from its creation until it is queued
    queued_seconds: 0            # from there to its start
    published: true
    cancel_seconds: 0            # how long a cancellation is only requested
    # cancel_error: No signal    # why every cancellation is refused
    trigger_type: api            # or manual, schedule, webhook, email
    on_reject: cancelled         # or completed, or error
    nodes:                       # each takes the output of the node above it, or of all the starts above it
      - {id: start-node-1, type: start, label: Order}
      - id: extract-node-1
        type: extract
        fields:                  # output key: label of the line `Label: value`
          order_number: Order number
          total: {label: Total, type: number}
      - {id: hil-node-1, type: hil}
      - {id: end-node-1, type: end}
    tests:
      - {id: wfnodetest_order_1, node: extract-node-1, verdict: passed}
```

`docs/emulator.md` says the rest.
"""

from retab_orchestration.emulator.embedded import Emulator
from retab_orchestration.emulator.service import Service
from retab_orchestration.emulator.serving.faults import Fault
from retab_orchestration.emulator.serving.wire import Request, Response
from retab_orchestration.emulator.workflows.values import Field, Node, NodeTest, Workflow

__all__ = ["Emulator", "Fault", "Field", "Node", "NodeTest", "Request", "Response", "Service", "Workflow"]
