"""A run on a few sentences, for tests of the stages and their sequence."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sinoner import recipe as recipes
from sinoner.commands import run_recipe as runs
from sinoner.run.screen import Screen
from sinoner.run.stage import Run, Stage, perform
from sinoner.settings import Recipe
from sinoner.stages.flow import STAGES
from sinoner.stages.split import SPLIT, Parts, parts_of

TEXTS = [
    "张伟在北京大学教书。他一九九九年来到上海。",
    "李娜去年在深圳工作，王强在广州的中国银行上班。",
    "今天的天气很好，适合散步。",
    "陈静说：“杭州的西湖很美！”《红楼梦》是曹雪芹写的。",
    "刘洋和赵敏一起去了南京，又到了苏州。",
    "北京市人民政府昨天发布了通知。",
]
DATA = ("chunk", "annotate", "filter", "decontaminate", "split", "retrieve", "build-it-set")


def recipe(corpus: Path, out: Path, *overrides: str) -> Recipe:
    tree = {
        "corpus": {"sources": str(corpus)},
        "annotate": {"by": "jieba"},
        "retrieve": {"strategy": "random", "k": 1},
        "it_set": {"validation": 0.2},
        "out": str(out),
    }
    return recipes.build(tree, overrides)


def execute(settings: Recipe, stages: tuple[str, ...] = DATA, force: bool = False) -> str:
    console = Console(width=200, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    runs.execute(settings, named(*stages), Screen(console), force=force)
    return console.export_text()


def named(*names: str) -> tuple[Stage, ...]:
    return tuple(stage for stage in STAGES if stage.name in names)


def split(run: Run) -> Parts:
    """The parts of a run, computed without output."""
    perform(replace(run, screen=Screen(quiet=True)), SPLIT)
    return parts_of(run)


def skipped(output: str) -> set[str]:
    return {line.partition(":")[0] for line in output.splitlines() if line.endswith("unchanged, skipped")}
