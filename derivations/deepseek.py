"""stub"""
from symflops.layers.attention import Heads, attention_core
from symflops.layers.latent import HEADS, absorbed_attention, expanded_attention
from symflops.masks import Causal
from symflops.notation import d_head, n_head, n_kv_head, n_layer, n_seq
_SEEN = Causal(n_seq, n_seq)
NETWORKS = {"heads": n_layer * attention_core(Heads(n_head, n_kv_head, d_head), _SEEN),
 "latents": n_layer * absorbed_attention(HEADS, _SEEN), "latents expanded": n_layer * expanded_attention(HEADS, _SEEN)}
