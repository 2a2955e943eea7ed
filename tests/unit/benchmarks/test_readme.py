from benchmarks.readme import README, rendered


def test_the_readmes_figures_are_those_of_the_results() -> None:
    text = README.read_text()
    assert rendered(text) == text, "run `python -m benchmarks.readme`"
