"""Mutation of symflops' own declarations: faults planted by rule, and the laws and oracles that find them."""
