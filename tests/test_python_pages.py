"""The pages about Python: every code block runs, in order, in one folder."""

import ast
import re
from pathlib import Path

import pytest
from public_examples import ENDPOINT, add_model, endpoint

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PRINTED = """\
news:1#0 [('张伟', '人名', (0,)), ('北京大学', '组织机构', (3,))]
news:2#0 [('李娜', '人名', (0,)), ('去年', '时间', (2,)), ('深圳', '地点', (5,))]
"""
ANNOTATED = "[('张伟', '人名'), ('北京大学', '组织机构')]\nＡＣＭＥ公司 (3,)\n100.0 (100.0, 100.0) 100.0 100.0 100.0\n"


def blocks(page: str) -> list[str]:
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def run(code: list[str], url: str) -> None:
    names: dict[str, object] = {}
    for number, block in enumerate(code, 1):
        exec(compile(block.replace(ENDPOINT, url), f"block {number}", "exec"), names)


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_blocks_of_the_page_run(
    lang: str,
    tiny_llama: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    add_model(tmp_path, tiny_llama)
    code = blocks(f"docs/{lang}/python.md")
    assert len(code) == 5
    with endpoint(monkeypatch, tmp_path) as server:
        run(code, server.url)
        assert {request.body["model"] for request in server.requests} == {"qwen2.5-72b-instruct"}
    said = capsys.readouterr().out
    assert said.startswith(PRINTED)
    assert ANNOTATED in said
    assert re.search(r"^news\.jsonl:3 .* no_text .*news\.jsonl:3: ", said, re.MULTILINE)


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_blocks_of_the_readme_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = blocks(name)
    assert code
    with endpoint(monkeypatch, tmp_path) as server:
        run(code, server.url)
    assert capsys.readouterr().out == "[('张伟', '人名', (0,)), ('北京大学', '组织机构', (3,))]\n100.0\n"


class _Blank(ast.NodeTransformer):
    """Takes the texts out of code: they may be in another language."""

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        return ast.Constant("") if isinstance(node.value, str) else node

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Constant:
        return ast.Constant("")


def test_the_pages_have_the_same_code() -> None:
    def code(page: str) -> list[str]:
        return [ast.dump(_Blank().visit(ast.parse(block)), indent=1) for block in blocks(page)]

    assert code("docs/en/python.md") == code("docs/zh/python.md")
    assert blocks("README.md") == blocks("README.zh.md")
