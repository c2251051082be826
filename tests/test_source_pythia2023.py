"""Pythia's table and derivation against a real module, integers and figures that nothing of them uses."""

import pytest

from derivations.pythia2023 import BATCH, NETWORK, PEAK, STEPS, WORK, derive
from symflops.claims.faults import plant
from symflops.claims.verifying import verify
from symflops.measures import params
from symflops.notation import symbol


def test_the_table_holds_and_its_faults_are_noticed() -> None:
    report = verify("pythia2023")
    assert report.holds and report.counts()["unchecked"] == 0 and len(report.verdicts) >= 60
    spoken = [fault for fault in plant(report.tables[0]) if fault.spoken]
    assert sum(fault.caught for fault in spoken) >= 393 and len(spoken) <= 423


def test_a_real_module_has_as_many_parameters() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPTNeoXConfig(
        hidden_size=512, num_hidden_layers=6, num_attention_heads=8, intermediate_size=2048, vocab_size=50304,
        rotary_pct=0.25, tie_word_embeddings=False,
    )  # fmt: skip
    with pytest.importorskip("torch").device("meta"):
        module = transformers.GPTNeoXForCausalLM(config)
    given = {symbol("n_layer"): 6, symbol("d_model"): 512, symbol("n_vocab"): 50304}
    assert params(NETWORK).subs(given) == module.num_parameters() == 70426624


def test_tokens_batches_and_hours_again_in_integers() -> None:
    assert STEPS * BATCH == 299_892_736_000 == 71_500 * 2 * BATCH
    hours = (510, 1030, 2540, 4830, 7120, 14240, 33500, 72300)
    assert sum(hours) == 136_070 and 4 * sum(hours) == 544_280


def test_padded_vocabularies_are_multiples_that_the_tokenizer_fits_into() -> None:
    for parallel, words in ((1, 50304), (2, 50432), (4, 50688)):
        assert words % (128 * parallel) == 0 and words - 128 * parallel < 50254 <= words


def test_the_share_of_the_peak_of_the_largest_model() -> None:
    given = {symbol("n_layer"): 36, symbol("d_model"): 5120, symbol("n_vocab"): 50688}
    share = int(WORK["6ND"].subs(given)) * STEPS * BATCH / (72300 * 3600 * PEAK)
    assert share == pytest.approx(6 * 11846072320 * 299892736000 / (72300 * 3600 * 312e12))
    assert f"{100 * share:.1f}" == "26.2"
    assert any("26.2 %" in str(section.as_json()) for section in derive().sections)
