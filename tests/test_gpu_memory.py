"""What a GPU allocates in a forward pass against the declared activations; skipped where there is none."""

import pytest

from symflops.architectures import architecture
from symflops.plans.memory import Holding, held
from symflops.training.precision import precision


@pytest.mark.gpu
def test_the_allocator_holds_the_activations_of_the_plan() -> None:
    import torch
    from transformers import AutoModelForCausalLM, BloomConfig

    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    config = BloomConfig(
        hidden_size=256, n_head=8, n_layer=6, vocab_size=512, hidden_dropout=0.0, attention_dropout=0.0, use_cache=False
    )
    real = AutoModelForCausalLM.from_config(config, attn_implementation="eager").cuda().train()
    ids = torch.randint(512, (4, 256), device="cuda")
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    logits = real(ids).logits
    found = torch.cuda.memory_allocated() - before - logits.nbytes
    model = architecture({**config.to_dict(), "model_type": "bloom"})
    plan = held(Holding(model, precision("fp32"), batch=4, seq=256))
    # The allocator rounds up to 512 bytes; the mask and the slopes of the heads stay as well.
    assert found == pytest.approx(float(plan.result("activations").value), rel=0.02)
