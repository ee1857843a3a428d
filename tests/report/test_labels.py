from p2vit.report.labels import label_map


def test_by_name_whatever_the_order():
    found, note = label_map(["cat", "dog"], ["dog", "bird", "cat"], 3)
    assert (found.tolist(), note) == ([2, 0], "")


def test_by_position_where_the_model_names_nothing():
    found, note = label_map(["a", "b"], [], 2)
    assert (found.tolist(), note) == ([0, 1], "")


def test_by_position_with_a_note_where_names_differ():
    found, note = label_map(["0", "1"], ["dog", "cat"], 2)
    assert found.tolist() == [0, 1]
    assert "matched by position" in note


def test_no_guess_where_numbers_differ():
    found, note = label_map(["a", "b"], [], 1000)
    assert found is None
    assert "the photos have 2 classes and the model 1000 outputs" in note


def test_no_labels():
    assert label_map([], ["a"], 1)[0] is None
