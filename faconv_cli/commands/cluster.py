"""`faconv cluster`: an embedding file to regimes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from faconv_cli import console
from faconv_cli.commands.options import Overwrite, command_line, split_list, tell
from faconv_cli.commands.settings import REPLAYED, Given, options_of
from faconv_cli.config import DataConfig
from faconv_cli.errors import UsageError

if TYPE_CHECKING:
    from faconv_cli.regimes.result import Regimes


@options_of(DataConfig, only=(*REPLAYED, "deaccumulate", "missing_value"))
def command(
    embedding: Annotated[
        Path,
        typer.Argument(metavar="EMBEDDING.nc", help="Embedding file, as from faconv embed.", readable=False),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Regime file. Default: <stem>_regimes.nc beside the embedding."),
    ] = None,
    clusters: Annotated[
        str | None,
        typer.Option(
            "--clusters",
            "-k",
            help="Number of regimes, or LOW:HIGH to choose the one whose partition halves of the record "
            "reproduce most, beyond red noise. Default: 4.",
        ),
    ] = None,
    method: Annotated[
        Literal["kmeans", "gmm", "hmm", "hmm-ar", "ward", "hdbscan"] | None,
        typer.Option(
            help="How to cluster; hmm is a hidden Markov model, which minds the order of the steps; the "
            "regimes of hmm-ar differ in how a step follows from the one before, so in motion; hdbscan finds "
            "the number itself. Default: kmeans."
        ),
    ] = None,
    modes: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Cluster the first so many modes of the embedding. Default: all; with hmm and hmm-ar as "
            "many as held-out steps ask for; with --assign as in the regime file.",
        ),
    ] = None,
    season: Annotated[
        str | None,
        typer.Option(
            help="Months to cluster: initials in order (DJF, NDJFM) or numbers (12,1,2). Default: all; with "
            "--assign those of the regime file."
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**31 - 1, help="Seed of everything random. Default: 0.")
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(help="The data that were embedded, for composites in physical units; repeatable."),
    ] = None,
    variables: Annotated[
        list[str] | None,
        typer.Option(help="Variables of --data to average. Default: every variable on the grid."),
    ] = None,
    *,
    given: Given,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:VARIABLE]",
            help="Report what the regimes tell of this field or series outside the training period; "
            "repeatable.",
        ),
    ] = None,
    target_lead: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STEPS",
            help="Time steps by which the targets are later than the regimes: one number for all, or one "
            "each. Default: 0.",
        ),
    ] = None,
    assign: Annotated[
        Path | None,
        typer.Option(
            help="Regime file whose regimes to use instead of new ones; same checkpoint only.", readable=False
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(help="Draw composites (with --data) or modes and timeline to this png, pdf or svg."),
    ] = None,
    overwrite: Overwrite = False,
    json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Cluster embeddings into regimes: shares, durations, transitions, composites.

    Example: faconv cluster m_embedding.nc -k 2:8 --season NDJFM --data slp.nc

    With --target comes what the regimes tell of another field or series in years that training has not seen.

    Regimes are numbered by frequency. A small score or a note about red noise means that the regimes cut a
    continuum; they are still a useful summary of it, but not preferred states.
    """
    from faconv_cli.cube.open.paths import expand, local_files
    from faconv_cli.cube.shape.fixed import file_of
    from faconv_cli.files import check_output
    from faconv_cli.regimes.figures import check_figure, save_figure
    from faconv_cli.regimes.netcdf import write_regimes
    from faconv_cli.regimes.report import summary

    output = output or embedding.parent / f"{embedding.stem}_regimes.nc"
    inputs = [embedding, *(local_files(expand(data)[0]) if data else ()), *([assign] if assign else ())]
    inputs += local_files([file_of(text) for text in target or ()])
    later = _target_leads(target or [], target_lead)
    check_output(output, overwrite=overwrite, inputs=inputs)
    if figure:
        check_figure(figure, overwrite=overwrite)
    found = _regimes(
        embedding, assign, clusters=clusters, method=method, modes=modes, season=season, seed=seed
    )
    settings = DataConfig(**{name: value for name, value in given.items() if value is not None})
    if data:
        found = _with_data(found, data, settings.model_copy(update={"variables": split_list(variables)}))
    if target:
        found = _with_targets(found, target, later, settings)
    fresh = not output.exists()
    write_regimes(output, found, command=command_line(), overwrite=overwrite)
    if figure:
        try:
            save_figure(figure, found, overwrite=overwrite)
        except BaseException:
            if fresh:  # both or neither, so that the same command may be given again
                output.unlink(missing_ok=True)
            raise
    report = {"output": str(output), **summary(found)}
    console.result_json(report) if json else _show(report)


def _regimes(
    path: Path,
    assign: Path | None,
    *,
    clusters: str | None,
    method: str | None,
    modes: int | None,
    season: str | None,
    seed: int | None,
) -> Regimes:
    """Fit, or assign where old regimes are given."""
    from faconv_cli.cube.shape.season import parse_season
    from faconv_cli.regimes.analysis import assign_regimes, find_regimes
    from faconv_cli.regimes.embedding import read_embedding
    from faconv_cli.regimes.netcdf import read_known
    from faconv_cli.regimes.options import parse_clusters

    months = parse_season(season)
    numbers = None if clusters is None else parse_clusters(clusters)
    if assign is None:
        return find_regimes(
            read_embedding(path),
            method=method or "kmeans",
            clusters=numbers,
            season=months,
            seed=seed or 0,
            modes=modes,
        )
    given = {"-k": clusters, "--method": method, "--modes": modes, "--seed": seed}
    if extra := [name for name, value in given.items() if value is not None]:
        raise UsageError(
            f"--assign was given with {', '.join(extra)}",
            wanted="--assign uses regimes as they are and fits nothing",
            do=f"leave out {'--assign' if len(extra) == len(given) else ', '.join(extra)}",
        )
    return assign_regimes(read_embedding(path), read_known(assign), months if season else None)


def _with_data(found: Regimes, paths: list[str], settings: DataConfig) -> Regimes:
    from faconv_cli.cube.pipeline import open_record
    from faconv_cli.regimes.additions import add_data
    from faconv_cli.regimes.composites import blocks

    cube = open_record(paths, settings)
    cube.time.need_one_pass()
    tell(cube)
    with console.progress("composites: block", len(blocks(cube))) as line:
        return add_data(found, cube, line.advance)


def _target_leads(targets: list[str], texts: list[str] | None) -> list[int]:
    """One lead for each target."""
    given = split_list(texts) or ()
    if not all(text.isdecimal() for text in given) or len(given) not in (
        {0, 1, len(targets)} if targets else {0}
    ):
        raise UsageError(
            f"--target-lead {','.join(given)} was given for {len(targets)} targets",
            wanted="it takes whole numbers of time steps, one for all targets or one each",
            do="correct --target-lead",
        )
    leads = [int(text) for text in given] or [0]
    return leads * len(targets) if len(leads) == 1 else leads


def _with_targets(found: Regimes, texts: list[str], leads: list[int], settings: DataConfig) -> Regimes:
    from faconv_cli.cube.target import open_target
    from faconv_cli.regimes.additions import add_targets

    cubes = [open_target(text, settings).cached() for text in texts]
    for cube in cubes:
        tell(cube)
    return add_targets(found, list(zip(texts, cubes, leads, strict=True)))


def _show(report: dict[str, Any]) -> None:
    """Print the report as tables."""
    step = report["time_step"]
    console.table(
        f"{report['clusters']} regimes ({report['method']}, season {report['season']}), "
        f"{report['labelled_steps']} steps",
        ["regime", "steps", "share", "spells", f"mean duration (steps of {step})", "persistence"],
        [
            [
                row["regime"],
                row["steps"],
                _text(row["share"], ".1%"),
                row["spells"],
                _text(row["mean_duration"], ".2f"),
                _text(row["persistence"], ".2f"),
            ]
            for row in report["regimes"]
        ],
    )
    numbers = [row["regime"] for row in report["regimes"]]
    console.table(
        "Transition probability to the next step's regime",
        ["from \\ to", *map(str, numbers)],
        [
            [number, *(_text(value, ".2f") for value in row)]
            for number, row in zip(numbers, report["transition"], strict=True)
        ],
    )
    if report["model"]:
        console.table(
            "Spells by the hidden Markov model",
            ["regime", f"expected duration (steps of {step})", *(f"to {number}" for number in numbers)],
            [
                [number, _text(duration, ".2f"), *(_text(value, ".2f") for value in row)]
                for number, duration, row in zip(
                    numbers, report["model"]["expected_duration"], report["model"]["transition"], strict=True
                )
            ],
        )
    _show_separation(report["separation"])
    if report["targets"]:
        _show_targets(report["targets"])
    if report["criterion"]:
        _show_criterion(report["criterion"])
    for note in report["notes"]:
        console.note(f"note: {note}")
    console.result(report["output"])


def _show_separation(scores: dict[str, dict[str, Any] | None]) -> None:
    given = {name: values for name, values in scores.items() if values}
    names = [name for name in next(iter(given.values()), {}) if name != "every"]
    console.table(
        "Separation (on the input: min-max scaled cells)" if "input" in given else "Separation",
        ["score", *given],
        [[name.replace("_", " "), *(_text(given[one][name], ".4g") for one in given)] for name in names],
    )


def _show_targets(targets: list[dict[str, Any]]) -> None:
    console.table(
        "Targets outside the training period, with 90 % confidence intervals (bootstrap over years)",
        [
            "target",
            "period",
            "steps (years)",
            "variance between regimes",
            "Brier skill, above 95 %",
            "persistence",
            "even and odd years agree",
        ],
        [
            [
                f"{row['name']} + {row['lead']}" if row["lead"] else row["name"],
                f"{row['period'][0]} to {row['period'][1]}",
                f"{row['steps']} ({row['years']})",
                *(_interval(row[name], row[f"{name}_interval"]) for name in ("share", "brier_skill")),
                *(_text(row[name], ".3f") for name in ("persistence", "stability")),
            ]
            for row in targets
        ],
    )


def _interval(value: float | None, interval: list[float | None]) -> str:
    if interval[0] is None:
        return _text(value, ".3f")
    return f"{_text(value, '.3f')} ({_text(interval[0], '.3f')} to {_text(interval[1], '.3f')})"


def _show_criterion(criterion: dict[str, Any]) -> None:
    console.table(
        f"Number of regimes: reproducibility by half of the record (p = {criterion['p_value']:.3f})",
        ["k", "reproducibility", "of red noise", "skill", ""],
        [
            [
                row["clusters"],
                *(_text(row[name], ".3f") for name in ("reproducibility", "red_noise", "skill")),
                "chosen" if row["clusters"] == criterion["chosen"] else "",
            ]
            for row in criterion["scores"]
        ],
    )


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
