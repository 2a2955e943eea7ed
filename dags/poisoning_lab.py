"""Attacks against defences on demand, on the public records of this machine.

Trigger it with the form, read the task's log.

Nothing here touches a consortium's rounds: no hospital's records, no ledger, no key.
docs/reference/results/poisoning.md says what was measured before.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, get_current_context, task

FORM = {
    "dataset": Param(
        "pneumonia",
        enum=["pneumonia", "heart_disease"],
        title="Records",
        description="heart_disease: its four real hospitals",
    ),
    "attacks": Param(
        ["none", "label_flip", "targeted_flip+fit", "rule_aware_targeted"],
        type="array",
        items={"type": "string"},
        minItems=1,
        title="Attacks",
        description="One a line; +fit scales an attack to the published budget. A wrong name lists the right ones.",
    ),
    "defences": Param(
        ["wardround", "wardround_without_inference", "fedavg"],
        type="array",
        items={"type": "string"},
        minItems=1,
        title="Defences",
        description="One a line. A wrong name lists the right ones.",
    ),
    "hospitals": Param(10, type="integer", minimum=3, maximum=50, title="Hospitals"),
    "attackers": Param(3, type="integer", minimum=0, maximum=49, title="Attackers among them"),
    "alpha": Param(0.5, type="number", exclusiveMinimum=0, title="Dirichlet alpha", description="Small is skewed"),
    "rounds": Param(12, type="integer", minimum=1, maximum=200, title="Rounds"),
    "seeds": Param(3, type="integer", minimum=1, maximum=50, title="Seeds", description="Runs that are averaged"),
}

with DAG(
    dag_id="poisoning_lab",
    description="Attacks against defences, simulated in plain integers",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    params=FORM,
    tags=["laboratory"],
) as dag:

    @task(queue="provider", owner="provider")
    def play() -> None:
        """Play the form's experiment in a process of its own.

        Runs, rows and pictures stay in the folder that it prints.
        """
        import subprocess
        import sys

        from airflow.sdk.exceptions import AirflowFailException

        from pipeline.site.settings import PROJECT, Settings

        context = get_current_context()
        form = context["params"]
        out = Settings.load().home / "laboratory" / context["run_id"].replace("/", "-")
        single_valued = ("dataset", "hospitals", "attackers", "alpha", "rounds", "seeds")
        arguments = [f"--{name}={form[name]}" for name in single_valued]
        arguments += [f"--attack={name}" for name in form["attacks"]] + [
            f"--defence={name}" for name in form["defences"]
        ]
        command = [sys.executable, "-m", "benchmarks.poisoning.experiment", *arguments, f"--out={out}"]
        done = subprocess.run(
            command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        print(done.stdout)
        if done.returncode:
            raise AirflowFailException(done.stdout.strip().rpartition("\n")[2])
        print(f"runs, rows and pictures: {out}")

    play()
