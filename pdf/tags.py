"""The structure tree: makes a PDF a tagged one, for screen readers and for copying text.

ISO 32000-2, 14.7 (logical structure) and 14.8 (tagged PDF).
"""

from collections import defaultdict

import pikepdf
from pikepdf import Array, Dictionary, Name, Object, Pdf, String

from pdf.shapes import Mark, Tag


def add_structure(pdf: Pdf, root: Tag, language: str) -> None:
    """Add the structure tree below `root` to the PDF, whose pages carry the marks it names."""
    tree = pdf.make_indirect(Dictionary(Type=Name.StructTreeRoot))
    parents: dict[int, dict[int, Object]] = defaultdict(dict)
    tree.K = _element(pdf, root, tree, parents)
    tree.ParentTree = pdf.make_indirect(Dictionary(Nums=Array(_numbers(pdf, parents))))
    tree.ParentTreeNextKey = len(pdf.pages)
    for number, page in enumerate(pdf.pages):
        page.obj.StructParents = number
        page.obj.Tabs = Name.S
    pdf.Root.StructTreeRoot = tree
    pdf.Root.MarkInfo = Dictionary(Marked=True)
    pdf.Root.Lang = String(language)
    pdf.Root.ViewerPreferences = Dictionary(DisplayDocTitle=True)


def _element(
    pdf: Pdf, tag: Tag, parent: Object, parents: dict[int, dict[int, Object]]
) -> pikepdf.Dictionary:
    element = pdf.make_indirect(
        Dictionary(Type=Name.StructElem, S=Name(f"/{tag.kind}"), P=parent, K=Array())
    )
    if tag.scope:
        element.A = Dictionary(O=Name.Table, Scope=Name(f"/{tag.scope}"))
    if tag.shaped:
        element.ActualText = String("".join(tag.lines))
    for child in tag.children:
        if isinstance(child, Mark):
            page = pdf.pages[child.page].obj
            element.K.append(Dictionary(Type=Name.MCR, Pg=page, MCID=child.content))
            parents[child.page][child.content] = element
        else:
            element.K.append(_element(pdf, child, element, parents))
    return element


def _numbers(pdf: Pdf, parents: dict[int, dict[int, Object]]) -> list[Object | int]:
    """The number tree from a page's marks to their elements."""
    numbers: list[Object | int] = []
    for page in range(len(pdf.pages)):
        marks = parents.get(page, {})
        numbers += [page, pdf.make_indirect(Array([marks[n] for n in range(len(marks))]))]
    return numbers
