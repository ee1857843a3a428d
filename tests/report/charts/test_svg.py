import xml.etree.ElementTree as ElementTree

from p2vit.report.charts.svg import circle, document, line, polyline, rect, text

NAMESPACE = {"svg": "http://www.w3.org/2000/svg"}


def test_a_document_of_every_element_is_well_formed_and_escaped():
    body = [
        text(1, 2, "a < b & c", anchor="end", size=9, more='font-weight="600"'),
        rect(0, 0, 5, 5, "#000", hint="<hint>", opacity=0.5),
        circle(1, 1, 3, "#000", hint="&"),
        line((0, 0), (1, 1)),
        polyline([(0, 0), (1, 2)]),
    ]
    root = ElementTree.fromstring(document(10, 20, body, "title <&>"))
    assert root.get("viewBox") == "0 0 10 20"
    assert root.find("svg:title", NAMESPACE).text == "title <&>"
    assert [child.tag.split("}")[1] for child in root] == [
        "title",
        "text",
        "rect",
        "circle",
        "line",
        "polyline",
    ]
    assert root.find("svg:rect/svg:title", NAMESPACE).text == "<hint>"


def test_a_rectangle_is_never_too_narrow_to_see():
    assert 'width="0.30"' in rect(0, 0, 0.001, 5, "#000")
