"""Any config of any family, at small sizes, is its real module: tensor by tensor, operation by operation."""

from __future__ import annotations

from typing import Any

import pytest
from family_configs import FAMILIES as CHOICES
from family_configs import configs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from symflops import architecture
from symflops.architectures import FAMILIES
from symflops.errors import ConfigError

pytest.importorskip("torch")
pytest.importorskip("transformers")

from symflops.tracing.check import check_model

MIXTURES = {"mixtral", "olmoe", "gpt_oss", "qwen2_moe", "qwen3_moe", "deepseek_v2", "deepseek_v3"}


def tried(family: str, examples: int) -> None:
    """So many configs of a family, each with both kinds of attention that its class has."""

    quick = [HealthCheck.too_slow]

    @settings(
        deadline=None, max_examples=examples, suppress_health_check=quick, database=None, derandomize=examples < 10
    )
    @given(configs(family), st.sampled_from(["eager", "flash"]))
    def holds(config: dict[str, Any], attention: Any) -> None:
        try:
            report = check_model(architecture(config, attention), 2, 5)
        except ConfigError as refused:
            assert attention == "flash" and "does not support" in str(refused), refused
            report = check_model(architecture(config), 2, 5)
        assert report.holds, report.text()

    holds()


@pytest.mark.parametrize("family", CHOICES)
def test_a_config_of_a_family_is_its_real_module(family: str) -> None:
    tried(family, 2)


@pytest.mark.slow
@pytest.mark.parametrize("family", CHOICES)
def test_any_config_of_a_family_is_its_real_module(family: str) -> None:
    tried(family, 25)


def test_every_family_has_its_settings_tried() -> None:
    elsewhere = MIXTURES | {"mamba", "mamba2", "bamba", "falcon_h1"}  # in test_experts and test_ssm
    assert set(CHOICES) | elsewhere == set(FAMILIES) and not set(CHOICES) & elsewhere
