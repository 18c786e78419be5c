"""The terms in which a call is stated: where tokens lie, which blocks are computed, what stands for the rest."""
