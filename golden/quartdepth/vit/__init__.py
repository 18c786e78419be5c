"""The larger depth network: ViT-S/14 with a DPT head."""
