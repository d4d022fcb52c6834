"""Makes every call that a release of the official SDK offers under `workflows` and `files`: `walk URL`.

Run by `test_every_call.py` in a venv that holds the SDK. Prints `{"calls": {name: failure}}`, where the
failure of a call that passed is null.
"""

import json
import sys
import warnings

import call_experiments
import call_files
import call_graphs
import call_old_experiments
import call_reviews
import call_runs
import call_saved_tests
import call_versions
import call_workflows
from calls import Call, find_calls
from scene import Scene

RECIPES = {}
for module in (
    call_workflows, call_graphs, call_versions, call_runs, call_reviews, call_saved_tests, call_experiments,
    call_old_experiments, call_files,
):  # fmt: skip
    RECIPES.update(module.RECIPES)


def failure_of(name, method, scene):
    """Make one call; return why it failed, None where it passed."""
    recipe = RECIPES.get(name)
    if recipe is None:
        return "the walk knows no arguments for it"
    call = Call(method)
    try:
        recipe(call, scene)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
        text = " ".join(str(error).split())
        return f"{type(error).__name__}: {text[:400]}"
    return None if call.answered else "its recipe did not make it"


def main(url):
    """Print what became of each call."""
    warnings.simplefilter("ignore")
    scene = Scene(url)
    found = find_calls(scene.client)
    calls = {name: failure_of(name, method, scene) for name, method in found.items()}
    sys.stdout.write(json.dumps({"calls": calls}))


if __name__ == "__main__":
    main(sys.argv[1])
