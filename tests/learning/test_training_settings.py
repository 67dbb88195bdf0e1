"""Settings of a training: what makes no sense never reaches a job."""

import pytest

from aiida_haml.learning.training import TrainingSettings


def test_settings_survive_a_dictionary():
    settings = TrainingSettings(elements=("Li", "S"), n_committee=3)
    assert TrainingSettings.from_dict(settings.to_dict()) == settings
    assert TrainingSettings.from_dict({"elements": ["Li", "S"], "n_committee": 3}) == settings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"n_committee": 0}, "n_committee is 0"),
        ({"elements": ["Li", "Xx"]}, "elements holds 'Xx'"),
        ({"elements": []}, "no element"),
        ({"lr": 0.0}, "lr is 0.0; give a number above 0"),
        ({"max_L": 3}, "max_L is 3; give an integer from 0 to 2"),
        ({"precision": "float16"}, "precision is 'float16'"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0"),
        ({"epochs": 5}, "did you mean max_epochs"),
        ({"r_max": -1}, "r_max is -1"),
        ({"batch_size": True}, "batch_size is True"),
    ],
)
def test_broken_settings_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings.from_dict(values)
