import jinja2
import pytest

from p2vit.report.template import environment, interval, number


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (1234.5, "1,234.50"), (0, "0.00")])
def test_numbers(value, text):
    assert number(value) == text


def test_an_interval_is_in_percent():
    assert interval([80.123, 90.0]) == "80.12 to 90.00 %"


@pytest.mark.parametrize("name", ["report.html.j2", "simulation.html.j2"])
def test_the_pages_share_one_frame_and_miss_nothing_silently(name):
    template = environment().get_template(name)
    with pytest.raises(jinja2.UndefinedError):
        template.render()
    assert environment().loader.get_source(environment(), name)[0].startswith('{% extends "base.html.j2" %}')
