"""Recognising refusals of a language model."""

from __future__ import annotations

import re

# Short answers that begin by saying that the model will not. "No entities can be found" says something else.
_LONGEST_ANSWER = 400
_WILL_NOT = (
    r"(?:无法|不能|不可以|不便|没办法|没有办法|没有能力|不具备|拒绝)"
    r"(?!.{0,16}(?:找到|发现|识别|提取|抽取|检测|确定|判断))"
)
_CANNOT = (
    r"(?:can['’]?t|cannot|can[ ]not|unable(?:[ ]to)?|not[ ]able(?:[ ]to)?|won['’]?t|will[ ]not)\b"
    r"(?!.{0,12}[ ](?:find|identify|see|detect|locate|extract|determine))"
)
_HELP = (
    r"(?:assist|help|provide|comply|fulfill?|complete|continue|engage|process|support|create|generate|answer"
    r"|do[ ]that)"
)
_MODEL = r"(?:AI|人工智能|大?型?语言)[^。！？\n]{0,12}?(?:模型|助手|助理|程序)"
_LACKS = r"没有[^。！？\n]{0,6}(?:能力|权限|情感|意识)"
# What only a model says, in an answer or in the passage of a synthetic corpus.
_OF_A_MODEL = rf"""
      (?:(?:非常|很|十分|真的)?(?:抱歉|对不起|遗憾)|不好意思)[，,。！!\s]{{0,3}}(?:但是?|不过|因为)?[，,\s]{{0,2}}
        (?:我|作为|这个|您的)[^。！？\n]{{0,20}}?{_WILL_NOT}
    | 我{_WILL_NOT}(?:为[您你])?(?:协助|帮助|提供|回答|完成|处理|满足|继续|参与|讨论|生成)
    | 作为一?[个名款]?\s?{_MODEL}[^。！？\n]{{0,40}}?(?:{_WILL_NOT}|{_LACKS}|不会)
    | (?:我|本人)只?是一?[个名款]?\s?(?:{_MODEL}|AI)[^。！？\n]{{0,40}}?{_WILL_NOT}
    | (?:i['’]?m|i[ ]am)[ ](?:very[ ]|so[ ]|really[ ])?(?:sorry|afraid)\b[^.!?\n]{{0,40}}?\b{_CANNOT}
    | (?:sorry|apologies|unfortunately),?[ ](?:but[ ])?i(?:[ ]am|['’]m)?[ ]{_CANNOT}
    | i(?:[ ]am|['’]m)?[ ]{_CANNOT}[ ]{_HELP}
    | as[ ]an?[ ][^.!?\n]{{0,20}}(?:ai|artificial[ ]intelligence|language[ ]model)\b[^.!?\n]{{0,60}}?
        \b(?:{_CANNOT}|don['’]?t|do[ ]not)
"""
# What a person may write in a text, and a model means as a refusal where it answers a question.
_APOLOGY = rf"""
      (?:(?:非常|很|十分|真的)?(?:抱歉|对不起|遗憾)|不好意思)[^。！？\n]{{0,30}}?{_WILL_NOT}
    | 作为一?[个名款]?[^。！？\n]{{0,20}}(?:语言模型|人工智能|AI|助手)[^。！？\n]{{0,40}}?{_WILL_NOT}
    | (?:i['’]?[ ]?a?m[ ](?:very[ ]|so[ ])?sorry|sorry|i[ ]apologi[sz]e|unfortunately)[^.!?\n]{{0,40}}?{_CANNOT}
"""
_BEGIN = r"[\s*\"“]*"
_ANSWER = re.compile(rf"{_BEGIN}(?:{_OF_A_MODEL}|{_APOLOGY})", re.VERBOSE | re.IGNORECASE)
_PASSAGE = re.compile(rf"\W{{0,4}}(?:{_OF_A_MODEL})", re.VERBOSE | re.IGNORECASE)


def refuses(text: str) -> bool:
    """Whether an answer without its reasoning is a short apology."""
    return len(text) < _LONGEST_ANSWER and _ANSWER.match(text) is not None


def refusal(passage: str) -> str | None:
    """The opening words of a passage that is a model refusal, or None."""
    found = _PASSAGE.match(passage)
    return found[0] if found else None
